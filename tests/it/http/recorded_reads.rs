//! Where an app asks for it, every answer that tells a personal value is recorded: all endpoints of both faces are walked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::hostile::{everything, paths};
use crate::support::{App, Reply, Service, rollcall};

/// Users can be listed in a development app only.
const APP: App = App::DEVELOPMENT;
/// Everybody whose values an answer may tell. `eve` is named by no request.
const PEOPLE: [&str; 4] = ["canary-ada", "canary-bob", "canary-eve", "canary-gone"];

fn rest(service: &Service, method: &str, path: &str, body: &str) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    service.request(method, path, &headers, body.as_bytes())
}

/// What of a person an answer could tell.
fn canaries(user: &str) -> Vec<String> {
    let word = user.trim_start_matches("canary-");
    let mut canaries: Vec<_> = ["Name of canary-", "portrait-", "mail-", "tag-", "remark-", "group-of-"]
        .iter()
        .map(|kind| format!("{kind}{word}"))
        .collect();
    canaries.push(user.to_owned());
    canaries
}

/// The reference by which the log names a person, which is left also of somebody who was forgotten.
fn subject(service: &Service, user: &str) -> String {
    let user = rest(service, "GET", &format!("/api/v1/users/{user}/as-of"), "").json();
    format!("subject:{}", user["subject"].as_str().unwrap())
}

/// How many reads of a subject are recorded.
fn reads(service: &Service, subject: &str) -> usize {
    let (mut reads, mut cursor) = (0, String::new());
    loop {
        let page = rest(service, "GET", &format!("/api/v1/users/{subject}/history?limit=500{cursor}"), "").json();
        let events = page["events"].as_array().unwrap_or_else(|| panic!("no history of {subject}: {page}"));
        reads += events.iter().filter(|event| event["event"] == "access.read").count();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return reads,
        }
    }
}

/// A service with people who are on each other's lists, which records reads.
fn peopled() -> Service {
    let mut service = Service::start(&[APP]);
    for user in PEOPLE {
        let word = user.trim_start_matches("canary-");
        let (name, portrait) = (format!("Name of {user}"), format!("https://example.com/portrait-{word}"));
        let form = [("userId", user), ("name", name.as_str()), ("portraitUri", portrait.as_str())];
        service.post(APP, "/user/getToken.json", &form).ok();
        let profile = json!({"email": format!("mail-{word}@example.com")}).to_string();
        service.post(APP, "/user/profile/set.json", &[("userId", user), ("userProfile", &profile)]).ok();
        service.post_json(APP, "/user/tag/set.json", &json!({"userId": user, "tags": [format!("tag-{word}")]})).ok();
        service.post(APP, "/user/chat/fb/set.json", &[("userId", user), ("state", "1"), ("type", "PERSON")]).ok();
        service.post(APP, "/user/block.json", &[("userId", user), ("minute", "60")]).ok();
    }
    for who in ["canary-ada", "canary-bob"] {
        for (path, form) in [
            ("/user/blacklist/add.json", [("userId", who), ("blackUserId", "canary-eve")]),
            ("/user/whitelist/add.json", [("userId", who), ("whiteUserId", "canary-eve")]),
        ] {
            service.post(APP, path, &form).ok();
        }
        let other = if who == "canary-ada" { "canary-bob" } else { "canary-ada" };
        let about_other = format!("remark-{}", other.trim_start_matches("canary-"));
        let remarks =
            json!([{"id": "canary-eve", "remark": "remark-eve"}, {"id": other, "remark": about_other}]).to_string();
        service.post(APP, "/user/remarks/set.json", &[("userId", who), ("remarks", &remarks)]).ok();
    }
    for who in ["canary-ada", "canary-bob"] {
        service.post(APP, "/user/blacklist/remove.json", &[("userId", who), ("blackUserId", "canary-eve")]).ok();
        service.post(APP, "/user/whitelist/add.json", &[("userId", "canary-eve"), ("whiteUserId", who)]).ok();
        let befriend = [("userId", who), ("targetId", "canary-eve"), ("optType", "2")];
        service.post(APP, "/friend/add.json", &befriend).ok();
        service.post(APP, "/user/blacklist/add.json", &[("userId", who), ("blackUserId", "canary-eve")]).ok();
        let group = format!("/api/v1/users/{who}/friend-groups/1");
        let label = json!({"label": format!("group-of-{}", who.trim_start_matches("canary-"))}).to_string();
        assert_eq!(rest(&service, "PUT", &group, &label).status, 204);
        assert_eq!(rest(&service, "PUT", &format!("{group}/friends/canary-eve"), "").status, 204);
    }
    service.post(APP, "/user/deactivate.json", &[("userId", "canary-gone")]).ok();
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--record-reads", "true"], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    service.restart();
    service
}

/// Watches answers, and fails where one tells of a person what was not asked with, unless a read of that person was
/// recorded with it.
struct Watch<'s> {
    service: &'s Service,
    subjects: BTreeMap<&'static str, String>,
    recorded: BTreeMap<&'static str, usize>,
    /// What told something.
    telling: BTreeSet<String>,
}

impl<'s> Watch<'s> {
    fn new(service: &'s Service) -> Self {
        let subjects: BTreeMap<_, _> = PEOPLE.iter().map(|user| (*user, subject(service, user))).collect();
        let recorded = subjects.iter().map(|(user, subject)| (*user, reads(service, subject))).collect();
        Self { service, subjects, recorded, telling: BTreeSet::new() }
    }

    #[track_caller]
    fn saw(&mut self, endpoint: &str, asked: &str, answered: &str) {
        for user in PEOPLE {
            let tells = |canary: &String| answered.contains(canary.as_str()) && !asked.contains(canary.as_str());
            let told: Vec<_> = canaries(user).into_iter().filter(tells).collect();
            let (before, now) = (self.recorded[user], reads(self.service, &self.subjects[user]));
            assert!(told.is_empty() || now > before, "{endpoint} tells {told:?} and nothing is recorded");
            if !told.is_empty() {
                self.telling.insert(endpoint.to_owned());
            }
            self.recorded.insert(user, now);
        }
    }
}

#[test]
fn every_answer_of_the_v1_face_that_tells_a_personal_value_is_recorded() {
    let service = peopled();
    let mut watch = Watch::new(&service);
    let asks = |path: &str| ["query", "get.json", "info", "check"].iter().any(|word| path.contains(word));
    let (asking, changing): (Vec<_>, Vec<_>) = paths().into_iter().partition(|path| asks(path));
    for path in asking.iter().chain(&changing) {
        for who in ["canary-ada", "canary-bob"] {
            let body = everything("1")
                .replace("size=1", "size=50")
                .replace("count=1", "count=50")
                .replace("pageSize=1", "pageSize=50")
                .replace("num=1", "num=50")
                .replace("offset=1", "offset=0")
                .replace("=a&", &format!("={who}&"))
                .replace("=b&", "=canary-bob&");
            let reply = super::form(&service, APP, path, &body);
            watch.saw(path, &body, &reply.text);
        }
    }
    let telling: Vec<_> = watch.telling.iter().map(String::as_str).collect();
    for endpoint in [
        "/friend/get.json",
        "/user/blacklist/query.json",
        "/user/block/query.json",
        "/user/chat/fb/querylist.json",
        "/user/deactivate/query.json",
        "/user/info.json",
        "/user/profile/batch/query.json",
        "/user/profile/query.json",
        "/user/query.json",
        "/user/remarks/get.json",
        "/user/tags/get.json",
        "/user/whitelist/query.json",
    ] {
        assert!(telling.contains(&endpoint), "{endpoint} told nothing; only these did: {telling:?}");
    }
}

#[test]
fn every_answer_of_the_rest_face_that_tells_a_personal_value_is_recorded() {
    let service = peopled();
    let mut watch = Watch::new(&service);
    let document: Value = serde_json::from_str(include_str!("../../../schemas/api/openapi.json")).unwrap();
    let mut calls: Vec<(String, String)> = vec![];
    for (path, methods) in document["paths"].as_object().unwrap() {
        calls.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    // What changes something comes last.
    calls.sort_by_key(|(method, _)| method != "GET");
    for (method, path) in calls {
        let asked = path.replace("{id}", "canary-bob").replace("{key}", APP.key).replace("{number}", "1");
        let asked = asked.replace("{target}", "canary-ada").replace("{other}", "canary-ada");
        let asked = asked.replace("{request_id}", "1").replace("{group_id}", "1");
        let query = match path.rsplit('/').next() {
            Some("proof") => "?position=1",
            Some("diff") => "?from=0",
            Some("path") => "?from=canary-ada&to=canary-bob",
            Some("events") => "?include=personal&limit=500",
            _ => "",
        };
        let body = match path.as_str() {
            "/api/v1/explain" => r#"{"command":["befriend","canary-bob","canary-ada"]}"#,
            "/api/v1/users/query" | "/api/v1/profiles/query" => r#"{"user_ids":["canary-bob"]}"#,
            _ => "",
        };
        let reply = rest(&service, &method, &format!("{asked}{query}"), body);
        let endpoint = format!("{method} {path}");
        if path.ends_with("/export") {
            // A ZIP, in which nothing can be looked for here: it tells all of the person and whom it listed.
            watch.saw(&endpoint, "", "canary-bob and canary-eve");
        } else {
            watch.saw(&endpoint, &format!("{asked}{body}"), &reply.text);
        }
    }
    let telling: Vec<_> = watch.telling.iter().map(String::as_str).collect();
    for endpoint in [
        "GET /api/v1/bans",
        "GET /api/v1/bans/as-of",
        "GET /api/v1/deactivated-users",
        "GET /api/v1/events",
        "GET /api/v1/friends/path",
        "GET /api/v1/mutes",
        "GET /api/v1/profiles",
        "GET /api/v1/users",
        "GET /api/v1/users/{id}",
        "GET /api/v1/users/{id}/allowlist",
        "GET /api/v1/users/{id}/as-of",
        "GET /api/v1/users/{id}/allowed-by",
        "GET /api/v1/users/{id}/blocklist",
        "GET /api/v1/users/{id}/diff",
        "GET /api/v1/users/{id}/export",
        "GET /api/v1/users/{id}/friend-groups",
        "GET /api/v1/users/{id}/friend-groups/{group_id}",
        "GET /api/v1/users/{id}/friends",
        "GET /api/v1/users/{id}/friends/as-of",
        "GET /api/v1/users/{id}/friends/mutual/{other}",
        "GET /api/v1/users/{id}/profile",
        "GET /api/v1/users/{id}/remarks",
        "GET /api/v1/users/{id}/remarks/{target}",
        "GET /api/v1/users/{id}/tags",
        "POST /api/v1/profiles/query",
        "POST /api/v1/users/query",
    ] {
        assert!(telling.contains(&endpoint), "{endpoint} told nothing; only these did: {telling:?}");
    }
}
