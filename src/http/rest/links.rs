//! Links of the document: which calls an answer leads to, and where their parameters stand in it or in its request.

use std::iter;

use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use crate::http::router;

/// A parameter of the call that is led to, and the runtime expression that tells it.
type Told = (&'static str, &'static str);

/// Operations, what their answers tell, and the operations that need it.
type Lead = (&'static [&'static str], &'static [Told], &'static [&'static str]);

const USER: &[Told] = &[("id", "$request.path.id")];
const PAIR: &[Told] = &[("id", "$request.path.id"), ("target", "$request.path.target")];
const GROUP: &[Told] = &[("id", "$request.path.id"), ("group_id", "$request.path.group_id")];
const MADE: &[Told] = &[("id", "$response.body#/id")];
const OPERATION: &[Told] = &[("id", "$response.body#/operation_id")];
const REVISION: Told = ("If-Match", "$response.header.ETag");

const LEADS: &[Lead] = &[
    (
        &["registerUser"],
        MADE,
        &["getUser", "banUser", "muteUser", "issueToken", "getProfile", "tagUser", "getHistory", "deactivateUser"],
    ),
    (&["getUser"], &[("id", "$response.body#/id"), REVISION], &["modifyUser"]),
    (&["getProfile"], &[("id", "$request.path.id"), REVISION], &["changeProfile"]),
    (&["getApp"], &[REVISION], &["changeApp"]),
    (&["issueToken"], &[("id", "$request.path.id"), ("token_id", "$response.body#/token_id")], &["revokeToken"]),
    (&["tagUser"], USER, &["getTags"]),
    (&["banUser"], USER, &["getBan", "listBansOfUser", "liftBan"]),
    (&["remarkUser"], PAIR, &["getRemark", "unremarkUser"]),
    (&["muteUser"], USER, &["getMute", "unmuteUser"]),
    (&["blockUser"], PAIR, &["getBlocked", "unblockUser"]),
    (&["allowUser"], PAIR, &["getAllowed", "disallowUser"]),
    (&["addFriend"], PAIR, &["getFriend", "describeFriend", "removeFriend"]),
    (
        &["befriendUser"],
        &[("id", "$request.path.id"), ("request_id", "$response.body#/request_id")],
        &["cancelFriendRequest"],
    ),
    (
        &["befriendUser"],
        &[("id", "$request.body#/user_id"), ("request_id", "$response.body#/request_id")],
        &["acceptFriendRequest", "refuseFriendRequest"],
    ),
    (&["labelFriendGroup"], GROUP, &["getFriendGroup", "removeFriendGroup"]),
    (&["banUsers", "liftBans", "deactivateUsers"], OPERATION, &["getOperation", "undoOperation"]),
    (&["importRecords"], OPERATION, &["getImport"]),
    (&["requestErasure", "beginDrill"], MADE, &["getErasure", "cancelErasure"]),
    (&["getErasure"], USER, &["getErasureReport", "getErasureLetter", "getErasureCertificate"]),
    (&["receiveRequest"], MADE, &["getRequest", "extendRequest", "answerRequest", "refuseRequest"]),
    (
        &["registerWebhook"],
        &[("id", "$response.body#/webhook_id")],
        &[
            "getWebhook",
            "changeWebhook",
            "rotateWebhookSecret",
            "listWebhookDeliveries",
            "replayWebhook",
            "testWebhook",
            "removeWebhook",
        ],
    ),
    (&["addApiKey"], &[("number", "$response.body#/number")], &["retireApiKey"]),
    (&["addSecret"], &[("key", "$request.path.key"), ("number", "$response.body#/number")], &["retireSecret"]),
    (&["listReadModels"], &[("name", "$response.body#/read_models/0/name")], &["rebuildReadModel"]),
    (&["listParked"], &[("stream", "$response.body#/parked/0/stream")], &["retryParked", "resolveParked"]),
];

/// The links of an operation's answer, by name.
pub(super) fn of(endpoint: &Endpoint) -> Map<String, Value> {
    let leads = LEADS.iter().filter(|(from, ..)| from.contains(&endpoint.operation));
    let leads = leads.flat_map(|(_, told, to)| to.iter().map(|to| ((*to).to_owned(), link(to, told.iter().copied()))));
    let goes_back = (endpoint.answers)().iter().any(|(name, _)| name == "PageLinks");
    let pages =
        [("next", "The next page", endpoint.query.contains(&"cursor")), ("previous", "The page before", goes_back)];
    let pages = pages.into_iter().filter(|(.., is_there)| *is_there);
    let mut links = Map::new();
    links.extend(leads);
    links.extend(pages.map(|(name, says, _)| (name.to_owned(), page(endpoint, name, says))));
    links
}

/// Another page of a list: the same call with a cursor that the answer tells. A parameter that a call may leave out cannot be
/// told by an expression: it would name nothing.
fn page(endpoint: &Endpoint, member: &str, says: &str) -> Value {
    let of_path = endpoint.path.split('/').filter_map(router::parameter);
    let of_path = of_path.map(|name| (name, format!("$request.path.{name}")));
    let cursor = iter::once(("cursor", format!("$response.body#/{member}")));
    let mut page = link(endpoint.operation, of_path.chain(cursor));
    page["description"] =
        format!("{says}; null: there is none. The other parameters of the query are those of this call.").into();
    page
}

fn link<'n>(operation: &str, told: impl Iterator<Item = (&'n str, impl Into<String>)>) -> Value {
    let mut parameters = Map::new();
    parameters.extend(told.map(|(name, told)| (name.to_owned(), Value::String(told.into()))));
    json!({"operationId": operation, "parameters": parameters})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::super::openapi::document;
    use super::super::routes::endpoints;
    use super::*;

    fn named(operation: &str) -> &'static Endpoint {
        endpoints().find(|endpoint| endpoint.operation == operation).unwrap()
    }

    fn parameters(endpoint: &Endpoint) -> BTreeSet<&'static str> {
        endpoint.path.split('/').filter_map(router::parameter).collect()
    }

    #[test]
    fn a_link_leads_to_a_call_with_the_parameters_of_its_path_and_tells_them_from_what_there_is() {
        for (from, told, to) in LEADS {
            for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (named(from), named(to)))) {
                let of_path: BTreeSet<_> =
                    told.iter().map(|(name, _)| *name).filter(|name| *name != REVISION.0).collect();
                assert_eq!(of_path, parameters(to), "{} to {}", from.operation, to.operation);
                assert!(to.is_versioned() || !told.contains(&REVISION), "{}", to.operation);
                for (_, expression) in *told {
                    let asked = expression.strip_prefix("$request.path.");
                    assert!(
                        asked.is_none_or(|name| parameters(from).contains(name)),
                        "{}: {expression}",
                        from.operation
                    );
                }
            }
        }
        let document = document();
        let operations =
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
        let linked = operations.filter(|operation| operation["responses"]["2XX"]["links"].is_object());
        assert!(linked.count() > LEADS.len());
    }

    #[test]
    fn whatever_the_service_makes_a_name_for_is_led_to() {
        // Whoever asks has made up the others.
        let chosen = ["target", "other", "group_id", "uniqueId", "key"];
        let made = |endpoint: &&Endpoint| {
            let of_user = |name: &&str| *name == "id" && endpoint.path.starts_with("users/");
            parameters(endpoint).iter().any(|name| !chosen.contains(name) && !of_user(name))
        };
        for endpoint in endpoints().filter(made) {
            let is_led_to = LEADS.iter().any(|(.., to)| to.contains(&endpoint.operation));
            assert!(is_led_to, "no link leads to {}", endpoint.operation);
        }
    }
}
