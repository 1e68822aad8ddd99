//! The report for people: a letter to the person and a certificate for an auditor, as HTML that prints well.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{Finality, LegalBasis, ReportStatus, Requester, Scope};

use super::issue::Issued;
use super::{About, Method, Report};

const STYLE: &str = "
@page { size: A4; margin: 22mm 20mm }
body { font: 11pt/1.45 Georgia, 'Times New Roman', serif; color: #111; max-width: 42em; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin: 0 0 .6em } h2 { font-size: 1.1em; margin: 1.4em 0 .3em }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .15em .6em .15em 0 }
th { font-weight: normal; color: #444; width: 13em } code { font: 9pt/1.3 monospace; overflow-wrap: anywhere }
section { break-inside: avoid }
@media print { body { margin: 0; max-width: none; padding: 0 } }";

pub(in crate::audit) fn page(title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
    .into_string()
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y").to_string()
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

fn basis(basis: LegalBasis) -> &'static str {
    match basis {
        LegalBasis::AccountClosed => "the account was closed",
        LegalBasis::NoLongerNecessary => "the data is no longer necessary (Article 17(1)(a) GDPR)",
        LegalBasis::ConsentWithdrawn => "consent was withdrawn (Article 17(1)(b) GDPR)",
        LegalBasis::Objection => "the person objected (Article 17(1)(c) GDPR)",
        LegalBasis::UnlawfulProcessing => "the data was processed unlawfully (Article 17(1)(d) GDPR)",
        LegalBasis::LegalObligation => "the law demands it (Article 17(1)(e) GDPR)",
        LegalBasis::Child => "the data is of a child (Article 17(1)(f) GDPR)",
    }
}

fn requester(requester: Requester) -> &'static str {
    match requester {
        Requester::Controller => "the operator of the app",
        Requester::Subject => "the person",
        Requester::Representative => "a representative of the person",
        Requester::Authority => "an authority",
        Requester::Drill => "nobody: this was a drill with a person that was made up",
    }
}

fn status(report: &Report) -> &'static str {
    match report.status {
        ReportStatus::Fenced => "The erasure was requested and has not begun; nothing new is recorded about you.",
        ReportStatus::Scrubbed => {
            "The keys to the data are destroyed; the check that nothing can be read is under way."
        }
        ReportStatus::PendingFinality => {
            "The data cannot be read any more. Until the date below the destruction of the keys could be called back."
        }
        ReportStatus::Final => "The erasure is complete and final.",
        ReportStatus::Partial => "A part of the data is not erased yet.",
        ReportStatus::Failed => "The erasure could not be completed.",
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Profile => "Profile: names, pictures, profile fields, tags, and what others noted about the person",
        Class::Identity => "Identity: the id of the account",
        Class::Moderation => "Moderation: reasons and notes of moderators in free text",
        Class::Hold => "Legal holds: why data had to be kept",
    }
}

/// The root cell without the path that was recorded with it before a cell described itself without one.
fn root_cell(described: &str) -> String {
    let without_path = |cell: &str| match (cell.find("local file /"), cell.rfind(", A/B slots")) {
        (Some(at), Some(end)) if at < end => format!("{}local file{}", &cell[..at], &cell[end..]),
        _ => cell.to_owned(),
    };
    described.split("; ").map(without_path).collect::<Vec<_>>().join("; ")
}

fn finality(method: &Method) -> &'static str {
    match method.finality {
        Finality::Immediate => "A: at once",
        Finality::Delayed => "B: after a waiting period",
        Finality::LocalFile => "C: overwritten in place in a local file",
    }
}

/// The letter to the person.
#[must_use]
pub fn letter(Issued { report, sha256, .. }: &Issued) -> String {
    let about = &report.erasure;
    let whole = about.scope == Scope::Forget;
    page(
        "Your data was erased",
        &html! {
            p { (day(report.issued_at)) }
            h1 { "Erasure of your personal data" }
            p {
                "On " (day(about.requested_at)) " the erasure of the personal data of your account was requested by "
                (requester(about.requester)) ", because " (basis(about.legal_basis)) ". It had to be done by "
                (day(about.due_at)) "."
            }
            p { strong { (status(report)) } @if let Some(at) = report.final_at { " It is final on " (day(at)) "." } }
            @if !about.further_subjects.is_empty() {
                p {
                    "Your account was recorded under more than one reference. This letter is about one of them; there is one "
                    "for each of the others on which something was left to erase."
                }
            }
            @if !report.erased.is_empty() {
                h2 { "What was erased" }
                ul { @for erased in &report.erased { li { (class(erased.class)) } } }
                p {
                    "The data was stored encrypted only. The keys were destroyed, so that it cannot be read any more: "
                    "not in the service, and not in any backup."
                }
            }
            h2 { "What is kept" }
            ul { @for kept in &report.retained { li { (kept.what) ". " (kept.why) ". Until: " (kept.until) "." } } }
            @if !whole { p { "You may ask that the id of your account is erased as well." } }
            h2 { "What this letter does not cover" }
            ul { @for text in &report.not_covered { li { (text) } } }
            h2 { "Your proof" }
            p {
                "This letter was made from a signed report. Its number is " code { (about.id.0) } ", the SHA-256 of its file is "
                code { (sha256) } ". You may ask for that file; anybody can check it without us."
                @if about.commitment.is_some() {
                    " The person who made the request was given a secret number with which the report can be shown to be about your account."
                }
            }
            p { "You have the right to lodge a complaint with a supervisory authority (Article 77 GDPR)." }
        },
    )
}

/// A row for each further subject of the same userId.
fn further_subjects(about: &About) -> Markup {
    html! {
        @for further in &about.further_subjects {
            tr {
                th { "Further subject of the userId" }
                td {
                    code { (further.subject.0) }
                    @if let Some(erasure) = further.erasure { ", by erasure " code { (erasure.0) } }
                    @else { ", nothing left to erase" }
                }
            }
        }
    }
}

/// The certificate for an auditor.
#[must_use]
pub fn certificate(Issued { report, sha256, .. }: &Issued) -> String {
    let about = &report.erasure;
    page(
        "Certificate of erasure",
        &html! {
            h1 { "Certificate of erasure" }
            p { strong { (status(report)) } }
            section {
                h2 { "Erasure" }
                table {
                    tr { th { "Erasure" } td { code { (about.id.0) } } }
                    tr { th { "Operation" } td { code { (about.operation.0) } } }
                    tr { th { "App" } td { code { (about.app) } } }
                    tr { th { "Subject (random reference)" } td { code { (about.subject.0) } } }
                    (further_subjects(about))
                    tr { th { "Commitment to the userId" } td { code { (about.commitment.as_deref().unwrap_or("none")) } } }
                    tr { th { "Ground" } td { (basis(about.legal_basis)) } }
                    tr { th { "Requested by" } td { (requester(about.requester)) } }
                    tr { th { "Requested" } td { (moment(about.requested_at)) } }
                    tr { th { "Due" } td { (moment(about.due_at)) } }
                    tr { th { "Report" } td { "number " (report.number) ", " (moment(report.issued_at)) } }
                    @if let Some(sha256) = &report.supersedes { tr { th { "Takes the place of" } td { code { (sha256) } } } }
                    tr { th { "SHA-256 of the envelope" } td { code { (sha256) } } }
                }
            }
            @for erased in &report.erased {
                section {
                    h2 { "Erased: " (class(erased.class)) }
                    p { code { (erased.fields.join(", ")) } }
                }
            }
            section {
                h2 { "Kept" }
                table {
                    @for kept in &report.retained { tr { th { (kept.what) } td { (kept.why) ". Until: " (kept.until) "." } } }
                }
            }
            @if let Some(method) = &report.method {
                section {
                    h2 { "Method" }
                    p { (method.algorithm) }
                    table {
                        tr { th { "Root key" } td { (root_cell(&method.root_cell)) "; finality " (finality(method)) } }
                        tr { th { "Generation" } td { (method.generation_before) " → " (method.generation_after) } }
                        tr { th { "Ciphertexts detached" } td { (method.values_detached) " from " (method.events_detached) " events" } }
                        @for key in &method.keys {
                            tr { th { "Key of epoch " (key.epoch) ", " (key.class) } td { code { (key.commitment) } } }
                        }
                    }
                }
            }
            section {
                h2 { "Steps in the log" }
                table {
                    @for step in &report.steps {
                        tr { th { (step.event) } td { "event " (step.position) ", " (moment(step.recorded_at)) } }
                    }
                }
            }
            @if !report.stores.is_empty() {
                section {
                    h2 { "What read models still hold" }
                    table { @for store in &report.stores { tr { th { (store.store) } td { (store.values) } } } }
                }
            }
            @if !report.recipients.is_empty() {
                section {
                    h2 { "Recipients told (Article 19)" }
                    table {
                        @for recipient in &report.recipients {
                            tr { th { (recipient.name) } td { (recipient.acknowledged_at.map_or_else(|| "not acknowledged".to_owned(), moment)) } }
                        }
                    }
                }
            }
            @if let Some(verification) = &report.verification {
                section {
                    h2 { "Verification" }
                    p {
                        (verification.tried) " sealed values were tried, " (verification.opened) " opened. A value that is not erased "
                        @if verification.control_opened { "opened." } @else { "did not open." }
                    }
                }
            }
            section {
                h2 { "Log" }
                p { "Signed checkpoint that covers every step:" }
                pre { code { (report.log.checkpoint) } }
            }
            section {
                h2 { "Not covered" }
                ul { @for text in &report.not_covered { li { (text) } } }
            }
            p { "Check it offline: " code { "rollcall erasure verify REPORT --key KEY" } }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::root_cell;

    #[test]
    fn a_certificate_names_the_kind_of_a_root_cell_and_no_path_of_the_disk() {
        for (recorded, shown) in [
            ("local file /var/lib/rollcall/root.cell, A/B slots in place", "local file, A/B slots in place"),
            ("local file /odd, A/B slots/root.cell, A/B slots in place", "local file, A/B slots in place"),
            ("local file, A/B slots in place", "local file, A/B slots in place"),
            (
                "split over two: local file /a/root.cell, A/B slots in place; local file /b, A/B slots in place",
                "split over two: local file, A/B slots in place; local file, A/B slots in place",
            ),
        ] {
            assert_eq!(root_cell(recorded), shown);
        }
    }
}
