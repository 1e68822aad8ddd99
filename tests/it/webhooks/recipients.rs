//! Who is sent personal data is known, named and told; and what is erased is not sent.

use std::fs;

use super::*;
use crate::support::soundness::recorded;

#[test]
fn a_recipient_of_personal_data_is_recorded_once_named_in_the_report_and_told_of_the_erasure() {
    let (mut started, receiver) = (Started::new(), Receiver::start());
    let second = Receiver::start();
    // They do not ask to be told of erasures.
    started.webhook(&receiver.url(), &["rollcall.user.profile_*"], "v1");
    started.webhook(&second.url(), &["rollcall.user.profile_*"], "v4");
    let (thin, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada", "bob"]);
    for name in ["Ada", "Ada L"] {
        let profile = json!({"name": name}).to_string();
        started.service.post(APP, "/user/profile/set.json", &[("userId", "ada"), ("userProfile", &profile)]).ok();
    }
    let of = |receiver: &Receiver, member: &str| {
        receiver.acknowledged().iter().filter(|one| one.json().get(member).is_some()).count()
    };
    started.service.eventually("both are told", |_| of(&receiver, "userProfile") == 2 && of(&second, "data") == 2);
    started.until_told(&thin);
    assert_eq!(recorded(started.service.data(), "access.disclosed"), 2, "one for each recipient");

    let erased = started.service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok().json();
    let form = |one: &Received| String::from_utf8_lossy(&one.body).starts_with("userId=ada&operateId=");
    started.service.eventually("it is told of the erasure", |_| receiver.acknowledged().iter().any(form));
    let told = receiver.acknowledged().into_iter().find(form).unwrap();
    let operation = erased["operateId"].as_str().unwrap();
    assert!(String::from_utf8_lossy(&told.body).contains(&format!("operateId={operation}&type=0&code=0")));
    let data = started.service.data().to_owned();
    started.service.eventually("both acknowledgements are recorded", |_| recorded(&data, "erasure.notified") == 2);

    // Who was sent nothing of a person is not told.
    let before =
        receiver.acknowledged().iter().filter(|one| String::from_utf8_lossy(&one.body).contains("operateId")).count();
    started.service.post(APP, "/user/deactivate.json", &[("userId", "bob")]).ok();
    started.service.eventually("it is erased", |_| recorded(&data, "erasure.finalised") == 2);
    started.until_told(&thin);
    let after =
        receiver.acknowledged().iter().filter(|one| String::from_utf8_lossy(&one.body).contains("operateId")).count();
    assert_eq!(before, after);

    started.service.stop();
    let listed = String::from_utf8(rollcall(&["erasure", "list", APP.key], &data).stdout).unwrap();
    let erasure = listed.lines().map(|line| line.split('\t').next().unwrap()).find_map(|erasure| {
        let report = rollcall(&["erasure", "report", APP.key, erasure], &data).stdout;
        let keys = rollcall(&["audit", "keys"], &data).stdout;
        let trusted: Vec<_> = String::from_utf8(keys).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        match rollcall::audit::report::verify::verify(&report, &trusted) {
            rollcall::audit::report::verify::Verdict::Final(report) if !report.recipients.is_empty() => Some(report),
            _ => None,
        }
    });
    let report = erasure.expect("a report names recipients");
    let mut named: Vec<_> = report.recipients.iter().map(|one| one.name.clone()).collect();
    let mut expected = [&receiver, &second].map(|receiver| receiver.address.to_string()).to_vec();
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    assert!(report.recipients.iter().all(|one| one.acknowledged_at.is_some()));
    assert_eq!(report.number, 3);
}

#[test]
fn nothing_of_an_erased_person_waits_for_a_receiver_that_was_away() {
    const CANARY: &str = "canary-mia";
    let mut started = Started::new();
    let receiver = Receiver::that(|_| Does::Answer(503, ""));
    for format in ["standard", "v1", "v4"] {
        started.webhook(&receiver.url(), &["*"], format);
    }
    started.register(&[CANARY, "bob"]);
    let profile = json!({"name": CANARY, "email": format!("{CANARY}@example.org")}).to_string();
    started.service.post(APP, "/user/profile/set.json", &[("userId", CANARY), ("userProfile", &profile)]).ok();
    started.service.eventually("it is tried", |_| receiver.received().len() > 5);
    started.service.kill();
    let forgotten = rollcall(&["erasure", "request", APP.key, CANARY, "--forget"], started.service.data());
    assert!(forgotten.status.success(), "{}", String::from_utf8_lossy(&forgotten.stderr));
    let before = receiver.received().len();
    receiver.now(|_| Does::Answer(200, ""));
    started.restart(ARGS);
    let listed = started.call("GET", "webhooks", &Value::Null).json();
    for webhook in listed["webhooks"].as_array().unwrap() {
        started.until_told(webhook["webhook_id"].as_str().unwrap());
    }
    started.service.stop();
    let sent = &receiver.received()[before..];
    assert!(sent.len() > 3);
    for one in sent {
        assert!(!String::from_utf8_lossy(&one.body).contains(CANARY), "{one:?}");
    }
    for file in fs::read_dir(started.service.data()).unwrap().map(|entry| entry.unwrap().path()) {
        let is_ours = file.file_name().unwrap().to_str().unwrap().starts_with("deliveries");
        assert!(!is_ours || !String::from_utf8_lossy(&fs::read(&file).unwrap()).contains(CANARY), "{}", file.display());
    }
}
