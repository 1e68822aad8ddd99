//! Apps are told of their events, whatever becomes of the sender or the receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rollcall::engine::journal;
use rollcall::wiring::DataDir;
use serde_json::{Value, json};

use crate::support::{App, Reply, Service, place, rollcall};

mod crashes;
mod docs;
mod faces;
mod presence;
pub(crate) mod receiver;
mod receivers;
mod recipients;
mod signatures;
mod stores;

use receiver::{Does, Received, Receiver};

const APP: App = App::PRODUCTION;
/// Receivers of the tests are on this machine, and nobody waits for five minutes.
const ARGS: &[&str] = &[
    "--webhook-allow",
    "127.0.0.0/8",
    "--webhook-waits",
    "0.1,0.2,0.3,0.5,0.5,0.5,1,1",
    "--webhook-timeout-seconds",
    "1",
];

/// A service, and a key of the scope `operator`.
struct Started {
    service: Service,
    key: String,
    _dir: tempfile::TempDir,
}

fn data(dir: &tempfile::TempDir) -> std::path::PathBuf {
    dir.path().join("data")
}

impl Started {
    fn new() -> Self {
        Self::with(ARGS)
    }

    fn with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut service = Service::start_in(&data(&dir), &[APP, App::OTHER]);
        service.stop();
        let output = rollcall(&["apps", "add-key", APP.key, "--scope", "operator"], service.data());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let service = Service::try_start_with(&data(&dir), &[APP, App::OTHER], args).unwrap();
        Self { service, key, _dir: dir }
    }

    /// Starts it again over the same data.
    fn restart(&mut self, args: &[&str]) {
        self.service.kill();
        let path = self.service.data().to_owned();
        self.service = Service::try_start_with(&path, &[APP, App::OTHER], args).unwrap();
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        let headers = [("Authorization".to_owned(), format!("Bearer {}", self.key))];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
    }

    /// Registers a webhook; answers its id and its secret.
    #[track_caller]
    fn webhook(&self, url: &str, types: &[&str], format: &str) -> (String, Value) {
        let reply = self.call("POST", "webhooks", &json!({"url": url, "types": types, "format": format}));
        assert_eq!(reply.status, 201, "{}", reply.text);
        let json = reply.json();
        (json["webhook_id"].as_str().unwrap().to_owned(), json)
    }

    fn show(&self, webhook: &str) -> Value {
        self.call("GET", &format!("webhooks/{webhook}"), &Value::Null).json()
    }

    fn deliveries(&self, webhook: &str, state: &str) -> Vec<Value> {
        let listed = self.call("GET", &format!("webhooks/{webhook}/deliveries?state={state}"), &Value::Null).json();
        listed["deliveries"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
    }

    fn register(&self, users: &[&str]) {
        self.service.register(APP, users);
    }

    /// Waits until a webhook has nothing left to send.
    #[track_caller]
    fn until_told(&self, webhook: &str) {
        self.service.eventually("everything is told", |_| {
            let shown = self.show(webhook);
            shown["lag_events"] == 0 && shown["waiting"] == 0
        });
    }
}

/// Positions of the events of the app by subject that have one of these beginnings; the service must be stopped.
fn logged(path: &Path, names: &[&str], after: u64) -> BTreeMap<String, Vec<u64>> {
    let data = DataDir::open(&place(path)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let events = runtime.block_on(data.log.read_all(after, 1_000_000)).unwrap();
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for raw in events.iter().filter(|raw| names.iter().any(|name| raw.name.starts_with(name))) {
        let recorded = journal::decode(raw).unwrap();
        if recorded.metadata.app.as_str() == APP.key {
            let subject = recorded.event.about().0.map_or(String::new(), |subject| subject.to_string());
            found.entry(subject).or_default().push(raw.position);
        }
    }
    found
}

/// The positions received of each subject, each the first time it came.
fn told(received: &[Received]) -> BTreeMap<String, Vec<u64>> {
    let (mut seen, mut told) = (BTreeSet::new(), BTreeMap::<String, Vec<u64>>::new());
    for one in received {
        if seen.insert(one.position()) {
            told.entry(one.subject()).or_default().push(one.position());
        }
    }
    told
}

/// What the service has counted under a name.
fn counted(started: &Started, series: &str) -> u64 {
    let metrics = started.service.request("GET", "/metrics", &[], b"").text;
    let line = metrics.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_receiver_is_told_what_it_wants_of_its_app_in_the_order_of_each_subject_and_nothing_personal() {
    let (mut started, receiver) = (Started::new(), Receiver::start());
    started.register(&["before"]);
    let (webhook, registered) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    let start = registered["position"].as_u64().unwrap();
    started.register(&["ada", "bob", "eve"]);
    started.service.register(App::OTHER, &["joe"]);
    started.service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "10")]).ok();
    started.service.post(APP, "/user/unblock.json", &[("userId", "ada")]).ok();
    started.service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]).ok();
    started.service.post(APP, "/user/refresh.json", &[("userId", "bob"), ("name", "Robert")]).ok();
    started.until_told(&webhook);
    started.service.stop();
    let received = receiver.received();
    let names = ["user.", "ban."];
    assert_eq!(told(&received), logged(started.service.data(), &names, start));
    assert_eq!(received.len(), told(&received).values().map(Vec::len).sum::<usize>(), "each once");
    let kinds: BTreeSet<String> = received.iter().map(Received::kind).collect();
    assert!(kinds.contains("rollcall.user.banned.v1") && kinds.contains("rollcall.user.registered.v1"), "{kinds:?}");
    for one in &received {
        let text = String::from_utf8_lossy(&one.body);
        // In quotes: the digits of a reference may spell a name.
        assert!(!["\"ada\"", "Name of", "Robert"].iter().any(|word| text.contains(word)), "{text}");
        assert_eq!(one.header("content-type"), "application/cloudevents+json");
        assert_eq!(one.header("webhook-id"), one.json()["id"].as_str().unwrap());
    }
}

#[test]
fn a_subject_that_is_rejected_holds_up_only_itself_and_is_given_up_after_its_last_attempt() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada"]);
    started.until_told(&webhook);
    let ada = receiver.received()[0].subject();
    let rejected = ada.clone();
    receiver.now(move |one| Does::Answer(if one.subject() == rejected { 500 } else { 200 }, ""));
    started.service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "10")]).ok();
    started.service.post(APP, "/user/unblock.json", &[("userId", "ada")]).ok();
    let users: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    started.register(&users.iter().map(String::as_str).collect::<Vec<_>>());
    let others = |received: &[Received]| {
        received.iter().filter(|one| one.subject() != ada).map(Received::subject).collect::<BTreeSet<_>>().len()
    };
    started.service.eventually("the others are told", |_| others(&receiver.acknowledged()) == 20);
    started.service.eventually("both are given up", |_| started.deliveries(&webhook, "dead").len() == 2);
    let dead = started.deliveries(&webhook, "dead");
    assert_eq!((&dead[0]["status"], &dead[0]["attempts"]), (&json!(500), &json!(9)), "{dead:?}");
    assert_eq!(dead[0]["reason"], "the answer is not 2xx");
    let tries = receiver.received();
    let of_ada: Vec<u64> = tries.iter().filter(|one| one.subject() == ada).map(Received::position).collect();
    assert!(of_ada.is_sorted(), "{of_ada:?}");

    // Whoever mends the receiver asks for what it missed.
    receiver.now(|_| Does::Answer(204, ""));
    let before = receiver.acknowledged().len();
    let (from, to) = (dead[0]["position"].as_u64().unwrap(), dead[1]["position"].as_u64().unwrap());
    let replay = |dry_run: bool| {
        let body = json!({"from": from, "to": to, "dry_run": dry_run});
        started.call("POST", &format!("webhooks/{webhook}/replay"), &body)
    };
    let counted = replay(true);
    assert_eq!((counted.status, &counted.json()["events"]), (200, &json!(2)), "{}", counted.text);
    assert_eq!(started.deliveries(&webhook, "dead").len(), 2, "nothing was changed");
    assert_eq!(replay(false).status, 202);
    started.service.eventually("they are told", |_| receiver.acknowledged().len() == before + 2);
    let replayed: Vec<u64> = receiver.acknowledged()[before..].iter().map(Received::position).collect();
    assert_eq!(replayed, [from, to]);
    started.service.eventually("no row is left", |_| {
        ["waiting", "replay", "dead"].iter().all(|state| started.deliveries(&webhook, state).is_empty())
    });
}

#[test]
fn what_a_receiver_was_not_there_for_is_told_when_it_is_back() {
    let mut started = Started::new();
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (webhook, registered) = started.webhook(&format!("http://{down}/"), &["*"], "standard");
    let users: Vec<String> = (0..30).map(|number| format!("user{number}")).collect();
    started.register(&users.iter().map(String::as_str).collect::<Vec<_>>());
    started.service.eventually("it is behind", |_| started.show(&webhook)["lag_events"] != 0);
    started.restart(ARGS);
    let receiver = Receiver::start();
    let moved = started.call("PATCH", &format!("webhooks/{webhook}"), &json!({"url": receiver.url()}));
    assert_eq!(moved.status, 200, "{}", moved.text);
    started.until_told(&webhook);
    std::thread::sleep(Duration::from_millis(300));
    started.service.stop();
    let start = registered["position"].as_u64().unwrap();
    let all = logged(started.service.data(), &[""], start);
    assert_eq!(told(&receiver.received()), all);
}

#[test]
fn a_delivery_that_failed_is_counted_from_the_moment_it_is_behind() {
    let (started, receiver) = (Started::new(), Receiver::that(|_| Does::Answer(502, "")));
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    // Each fails once and then waits for a second: what is known only to the sender's memory must be counted as well.
    for number in 0..12 {
        started.register(&[&format!("user{number}")]);
        for _ in 0..20 {
            let shown = started.show(&webhook);
            assert!(shown["lag_events"] != 0 || shown["waiting"] != 0, "{number}: {shown}");
        }
    }
}

#[test]
fn what_is_sent_has_no_event_applied_by_itself_so_that_commands_cost_what_they_do_without_a_webhook() {
    let (started, receiver) = (Started::new(), Receiver::start());
    started.webhook(&receiver.url(), &["rollcall.user.registered.*"], "standard");
    started.register(&["first"]);
    started.service.eventually("it is told", |_| receiver.acknowledged().len() == 1);
    let before = counted(&started, "rollcall_apply_waits_total");
    let users: Vec<String> = (0..60).map(|number| format!("user{number}")).collect();
    started.register(&users.iter().map(String::as_str).collect::<Vec<_>>());
    started.service.eventually("all are told", |_| receiver.acknowledged().len() == 61);
    // Who ends bans looks once a second, and may wait.
    let waits = counted(&started, "rollcall_apply_waits_total") - before;
    assert!(waits < 10, "the read models were waited for {waits} times");
}
