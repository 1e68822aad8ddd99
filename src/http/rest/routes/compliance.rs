//! Erasures, requests about data, exports, the past and its proofs.

use super::super::{compliance, erasures, export, past, requests};
use super::{ApiScope, Endpoint, Untyped, shape};

endpoints! {
    "POST" "erasures" => erasures::request, "requestErasure" Compliance []
        erasures::ErasureRequest => erasures::Accepted, "Request the erasure of a user's data. The salt is told only once.";
    "GET" "erasures" => erasures::list, "listErasures" Compliance ["cursor", "limit"]
        () => erasures::Page, "The erasures, the latest first.";
    "GET" "erasures/{id}" => erasures::show, "getErasure" Compliance []
        () => erasures::Resource, "How far an erasure has come.";
    "POST" "erasures/{id}/cancel" => erasures::cancel, "cancelErasure" Compliance []
        () => erasures::Resource, "Call an erasure off that has not begun.";
    "GET" "erasures/{id}/report" => erasures::report, "getErasureReport" Compliance []
        () => (), "The newest signed report (DSSE); of one that is not done, a report made now.";
    "GET" "erasures/{id}/letter" => erasures::letter, "getErasureLetter" Compliance []
        () => (), "The letter to the person, as HTML.";
    "GET" "erasures/{id}/certificate" => erasures::certificate, "getErasureCertificate" Compliance []
        () => (), "The certificate for an auditor, as HTML.";
    "GET" "users/{id}/erasure-preview" => erasures::preview, "previewErasure" Compliance ["scope"]
        () => erasures::Preview, "What an erasure would erase and what it would keep.";
    "PUT" "users/{id}/legal-hold" => erasures::hold, "placeLegalHold" Compliance []
        erasures::Hold => (), "Keep a user's data for legal reasons: no erasure of it begins.";
    "DELETE" "users/{id}/legal-hold" => erasures::release, "releaseLegalHold" Compliance []
        () => (), "Let the erasures of a user go on.";
    "GET" "users/{id}/history" => past::history, "getHistory" Compliance ["cursor", "limit"]
        () => Untyped, "What happened to a user, by whom and in which request, the earliest first.";
    "GET" "users/{id}/as-of" => past::user, "getUserAsOf" Compliance ["at"]
        () => Untyped, "A user at a position or a time; what was erased since is told as erased.";
    "GET" "users/{id}/diff" => past::diff, "diffUser" Compliance ["from", "to"]
        () => Untyped, "What changed about a user between two positions or times.";
    "GET" "users/{id}/export" => export::export, "exportUser" Compliance []
        () => (), "Everything that is held about a user (GDPR, Articles 15 and 20), as a ZIP of JSON.";
    "GET" "bans/as-of" => past::bans, "listBansAsOf" Moderator ["at", "page"]
        () => Untyped, "Who was banned at a position or a time; reads the whole log, one call at a time.";
    "POST" "explain" => past::explain, "explainCommand" Compliance []
        past::ExplainBody => Untyped, "Whether a command is allowed, and if not, the facts that make it so.";
    "GET" "compliance/data-map" => compliance::data_map, "getDataMap" Compliance []
        () => compliance::DataMap, "Every personal field that can be recorded (GDPR, Article 30); HTML where it is asked for.";
    "GET" "compliance/estate" => compliance::estate, "getEstate" Compliance ["month"]
        () => crate::audit::estate::Estate, "The erasures of a month in figures.";
    "POST" "compliance/drills" => erasures::drill, "beginDrill" Compliance []
        () => erasures::Resource, "Erase a person that is made up for it, to see that the whole way is open.";
    "POST" "compliance/requests" => requests::receive, "receiveRequest" Compliance []
        requests::DataRequestBody => requests::Resource, "Record what a person asks about their data.";
    "GET" "compliance/requests" => requests::list, "listRequests" Compliance ["cursor", "limit", "due_before"]
        () => requests::Requests, "The requests, the latest first; with due_before, the open ones that are due before then.";
    "GET" "compliance/requests/{id}" => requests::show, "getRequest" Compliance []
        () => requests::Resource, "One request.";
    "POST" "compliance/requests/{id}/extend" => requests::extend, "extendRequest" Compliance []
        () => requests::Resource, "Take two more months, once (GDPR, Article 12(3)).";
    "POST" "compliance/requests/{id}/answer" => requests::answer, "answerRequest" Compliance []
        () => requests::Resource, "Record that what was asked was done.";
    "POST" "compliance/requests/{id}/refuse" => requests::refuse, "refuseRequest" Compliance []
        requests::Why => requests::Resource, "Record that what was asked was not done, and why.";
    "GET" "audit/proof" => compliance::proof, "proveEvent" Compliance ["position", "since"]
        () => crate::audit::proof::Proof, "The proof that the log holds an event of the app.";
}
