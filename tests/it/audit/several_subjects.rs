//! A log that has two subjects of one userId: they are found, and whatever is done about the userId reaches both.

use std::path::Path;

use rollcall::audit::report::Report;
use rollcall::audit::report::verify::{Verdict, verify};
use rollcall::engine::journal;
use rollcall::eventlog::{self, EventLog as _, RawEvent};
use rollcall::privacy::key_tree::KeyTree;
use rollcall::privacy::{self, Vault as _};
use rollcall_schemas::ids::SubjectRef;
use serde_json::{Value, json};

use super::reports::in_python;
use super::{APP, Service, copy_dir, succeeds, text};
use crate::canary::scanner::Scanner;
use crate::support::second_subject::register_in;
use crate::support::soundness::recorded;
use crate::support::{Reply, rollcall};

/// In the name that is recorded under the second subject.
const CANARY: &str = "Ud6VogelZwei";

/// A stopped service in which the userId `sybil` is two subjects, and `bob` one.
struct Given {
    service: Service,
    first: SubjectRef,
    second: SubjectRef,
}

fn given() -> Given {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["bob", "sybil"]);
    service.stop();
    let first = events(service.data()).iter().filter(|event| event.name == "user.registered").map(subject).last();
    let second = register_in(service.data(), APP.key, "sybil", CANARY);
    Given { service, first: first.unwrap(), second }
}

fn subject(event: &RawEvent) -> SubjectRef {
    SubjectRef(event.stream.strip_prefix("user-").unwrap().parse().unwrap())
}

fn events(dir: &Path) -> Vec<RawEvent> {
    let log = eventlog::embedded::Embedded::open(&dir.join("log.db")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(log.read_all(0, 100_000)).unwrap()
}

/// How many of the values about a subject that these events hold a vault opens.
fn opened(vault: &Path, events: &[RawEvent], subject: SubjectRef) -> usize {
    let vault = KeyTree::open(vault, &Default::default()).unwrap();
    let values = events.iter().flat_map(|event| journal::sealed_values(event).unwrap());
    let of_subject = values.filter(|(header, sealed)| header.subject == subject && sealed.ciphertext.is_some());
    let opens = |(header, sealed): &(_, _)| match vault.open(header, sealed) {
        Ok(_) => true,
        Err(privacy::Error::Erased) => false,
        Err(error) => panic!("{error}"),
    };
    of_subject.filter(opens).count()
}

/// Starts the stopped service again over its directory.
fn started(given: &mut Given) -> &Service {
    given.service.restart();
    &given.service
}

fn ask(service: &Service, method: &str, path: &str, body: &Value) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, path, &headers, body.as_bytes())
}

fn first_key(keys: &str) -> String {
    keys.lines().next().unwrap().split('\t').next().unwrap().to_owned()
}

fn finalised(service: &Service, count: u64) {
    service.eventually("the erasures are finished", |service| recorded(service.data(), "erasure.finalised") == count);
}

#[test]
fn verify_and_doctor_name_the_subjects_of_a_user_id_by_position_and_never_the_user_id() {
    let Given { service, first, second } = given();
    let position = |subject: SubjectRef| {
        let stream = format!("user-{}", subject.0);
        events(service.data()).iter().find(|event| *event.stream == *stream).unwrap().position
    };
    let named = format!(
        "user-{} (position {}) and user-{} (position {})",
        first.0,
        position(first),
        second.0,
        position(second)
    );
    let verified = succeeds(&["verify"], service.data());
    assert!(verified.contains(&named) && verified.contains("1 userIds have several subjects"), "{verified}");
    assert_eq!(succeeds(&["parked", "list"], service.data()), "none\n");
    let doctor = succeeds(&["doctor"], service.data());
    assert!(
        doctor.contains(&format!("note  userId with several subjects: one userId of {} is {named}", APP.key)),
        "{doctor}"
    );
    assert!(!verified.contains("sybil") && !doctor.contains("sybil"), "{verified}{doctor}");
    succeeds(&["rebuild", "all"], service.data());
    assert!(succeeds(&["verify"], service.data()).contains(&named));
}

#[test]
fn an_erasure_of_a_user_id_reaches_every_subject_of_it_and_each_report_names_the_others() {
    for forget in [false, true] {
        let Given { service, first, second } = given();
        let data = service.data();
        let before = tempfile::tempdir().unwrap();
        copy_dir(data, before.path());
        let old = events(before.path());
        let of_second = opened(data, &old, second);
        assert_eq!(of_second, 2, "the control: name and userId are sealed under the second subject");
        let request = ["erasure", "request", APP.key, "sybil", "--forget"];
        let said = succeeds(&request[..if forget { 5 } else { 4 }], data);
        let erasures: Vec<_> = said.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
        assert_eq!((erasures.len(), said.matches("\tfinalised\t").count()), (2, 2), "{said}");

        // Only the userId is kept where it is not forgotten.
        let kept = usize::from(!forget);
        for (events, what) in [(&old, "an old copy of the log"), (&events(data), "the log")] {
            assert_eq!(opened(data, events, first), kept, "{what}");
            assert_eq!(opened(data, events, second), kept, "{what}");
        }
        assert!(Scanner::of(&[CANARY]).found_below(data).is_empty());

        let keys = succeeds(&["audit", "keys"], data);
        let trusted: Vec<_> = keys.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
        let schema = include_str!("../../../schemas/api/erasure-report.schema.json");
        let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
        let mut reported = vec![];
        for (erasure, other) in [(&erasures[0], &erasures[1]), (&erasures[1], &erasures[0])] {
            let envelope = succeeds(&["erasure", "report", APP.key, erasure], data).trim_end().to_owned();
            let Verdict::Final(report) = verify(envelope.as_bytes(), &trusted) else { panic!("{envelope}") };
            let Report { erasure: about, .. } = *report.clone();
            let further: Vec<_> = about.further_subjects.iter().map(|one| (one.subject, one.erasure)).collect();
            let other_subject = if about.subject == first { second } else { first };
            assert_eq!(further.len(), 1);
            assert_eq!((further[0].0, further[0].1.unwrap().0.to_string()), (other_subject, other.clone()));
            assert!(schema.is_valid(&serde_json::to_value(&*report).unwrap()));
            assert_eq!(in_python(&first_key(&keys), &[envelope.as_bytes()]), [0]);
            let page = succeeds(&["erasure", "report", APP.key, erasure, "--form", "certificate"], data);
            assert!(page.contains("Further subject of the userId") && page.contains(other), "{page}");
            reported.push(about.subject);
        }
        assert_eq!(reported, [first, second]);
        let verified = succeeds(&["verify"], data);
        assert_eq!(verified.contains("several subjects"), !forget, "{verified}");
    }
}

#[test]
fn a_report_that_hides_a_further_subject_is_believed_by_neither_verifier() {
    let Given { service, .. } = given();
    let data = service.data();
    let said = succeeds(&["erasure", "request", APP.key, "sybil"], data);
    let erasure = said.split('\t').next().unwrap();
    let envelope = succeeds(&["erasure", "report", APP.key, erasure], data).trim_end().to_owned();
    let keys = succeeds(&["audit", "keys"], data);
    let key = first_key(&keys);
    let Verdict::Final(report) = verify(envelope.as_bytes(), &[key.parse().unwrap()]) else { panic!("{envelope}") };
    let vault = KeyTree::open(data, &Default::default()).unwrap();
    let mut hides = (*report).clone();
    hides.erasure.further_subjects.clear();
    let mut hides_the_step = hides.clone();
    hides_the_step.steps.retain(|step| step.event != "erasure.linked");
    let mut adds = (*report).clone();
    adds.erasure.further_subjects.push(adds.erasure.further_subjects[0]);
    for lie in [hides, adds, hides_the_step] {
        let signed = rollcall::audit::report::dsse::sign(&vault, &serde_json::to_vec(&lie).unwrap());
        let signed = serde_json::to_vec(&signed).unwrap();
        assert!(matches!(verify(&signed, &[key.parse().unwrap()]), Verdict::Tampered(_)));
        assert_eq!(in_python(&key, &[&signed]), [1]);
    }
}

#[test]
fn deactivating_and_reactivating_in_bulk_reaches_every_subject_and_so_does_an_export() {
    let mut given = given();
    let set = ["apps", "set", APP.key, "--reactivation-wait-seconds", "0"];
    assert!(rollcall(&set, given.service.data()).status.success());
    let (first, second) = (given.first, given.second);
    let service = started(&mut given);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export");
    let url = format!("http://{}/api/v1/users/sybil/export", service.address);
    let bearer = format!("Authorization: Bearer {}:{}", APP.key, APP.secret);
    let curl =
        std::process::Command::new("curl").args(["-sS", "--fail", "-H", &bearer, &url, "-o"]).arg(&file).output();
    let curl = curl.unwrap();
    assert!(curl.status.success(), "{}", text(&curl.stderr));
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&file).unwrap()).unwrap();
    let mut member = |name: &str| std::io::read_to_string(zip.by_name(name).unwrap()).unwrap();
    assert!(member("user.json").contains("Name of sybil") && !member("history.jsonl").contains(CANARY));
    assert!(member("subject-2/user.json").contains(CANARY) && member("subject-2/history.jsonl").contains(CANARY));
    member("subject-2/friends.json");
    let manifest: Value = serde_json::from_str(&member("manifest.json")).unwrap();
    assert_eq!(manifest["subject"], json!(first.0));
    assert_eq!(manifest["further_subjects"][0]["subject"], json!(second.0));
    let schema: Value = serde_json::from_str(&member("schema.json")).unwrap();
    assert!(jsonschema::validator_for(&schema["$defs"]["manifest.json"]).unwrap().is_valid(&manifest), "{manifest}");
    let preview = ask(service, "GET", "/api/v1/users/sybil/erasure-preview", &Value::Null).json();
    assert_eq!(preview["classes"][0]["values"], 2, "the names of both: {preview}");

    service.post(APP, "/user/deactivate.json", &[("userId", "bob"), ("userId", "sybil")]).ok();
    finalised(service, 3);
    let erased = service.post(APP, "/user/getToken.json", &[("userId", "sybil"), ("name", "Ada")]);
    assert_ne!(erased.code(), 200, "{}", erased.text);
    service.post(APP, "/user/reactivate.json", &[("userId", "sybil")]).ok();
    assert_eq!(recorded(service.data(), "user.reactivated"), 2);
    service.post(APP, "/user/getToken.json", &[("userId", "sybil"), ("name", "Ada")]).ok();
    ask(service, "POST", "/api/v1/erasures", &json!({"user_id": "sybil", "scope": "forget"}));
    finalised(service, 5);
    given.service.stop();
    assert!(!succeeds(&["verify"], given.service.data()).contains("several"), "both are forgotten");
}

#[test]
fn what_waits_or_is_held_of_one_subject_waits_or_is_held_of_all() {
    let mut given = given();
    let set = ["apps", "set", APP.key, "--erasure-grace-seconds", "3600"];
    assert!(rollcall(&set, given.service.data()).status.success());
    let service = started(&mut given);
    let erasure = json!({"user_id": "sybil", "scope": "deactivate"});
    let accepted = ask(service, "POST", "/api/v1/erasures", &erasure).json();
    let statuses = |service: &Service| {
        let page = ask(service, "GET", "/api/v1/erasures", &Value::Null).json();
        let all = page["erasures"].as_array().unwrap().clone();
        all.iter().map(|one| (one["status"].as_str().unwrap().to_owned(), one["held"] == true)).collect::<Vec<_>>()
    };
    let both = |status: &str, held: bool| vec![(status.to_owned(), held); 2];
    assert_eq!(statuses(service), both("requested", false));
    ask(service, "POST", &format!("/api/v1/erasures/{}/cancel", accepted["id"].as_str().unwrap()), &Value::Null);
    assert_eq!(statuses(service), both("cancelled", false));
    assert_eq!(ask(service, "GET", "/api/v1/users/sybil", &Value::Null).json()["name"], "Name of sybil");

    ask(service, "PUT", "/api/v1/users/sybil/legal-hold", &Value::Null);
    assert_eq!(recorded(service.data(), "user.hold_placed"), 2);
    ask(service, "POST", "/api/v1/erasures", &erasure);
    assert_eq!(statuses(service)[..2], both("requested", true));
    ask(service, "DELETE", "/api/v1/users/sybil/legal-hold", &Value::Null);
    assert_eq!(statuses(service)[..2], both("requested", false));
}
