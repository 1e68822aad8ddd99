//! The sender is killed at every labelled point, and the receiver whenever it likes.

use rollcall::crash_point::WEBHOOK_LABELS;

use super::*;

/// Starts it so that it dies at a label.
fn dying(started: &mut Started, label: &str) {
    started.service.kill();
    let (path, wrapper) = (started.service.data().to_owned(), format!("ROLLCALL_CRASH_AT={label}"));
    started.service = Service::launch_node(&path, &[APP, App::OTHER], &["env", &wrapper], ARGS).unwrap();
}

#[test]
fn a_sender_that_dies_at_any_point_tells_everything_at_least_once_in_the_order_of_each_subject() {
    let receiver = Receiver::start();
    let mut started = Started::new();
    let (webhook, registered) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    let start = registered["position"].as_u64().unwrap();
    for label in WEBHOOK_LABELS {
        // Every third request is answered with an error, so that the ways of failures are walked as well.
        let mut number = 0;
        receiver.now(move |_| {
            number += 1;
            Does::Answer(if number % 3 == 0 { 503 } else { 200 }, "")
        });
        let users: Vec<String> = (0..6).map(|number| format!("{}{number}", label.replace('.', "-"))).collect();
        started.register(&users.iter().map(String::as_str).collect::<Vec<_>>());
        dying(&mut started, &format!("{label}:2"));
        // It may die while it is asked.
        for user in &users {
            Service::registers(started.service.address, APP, user);
        }
        let (status, _) = started.service.ended();
        assert!(!status.success(), "{label}");
        started.restart(ARGS);
        started.until_told(&webhook);
    }
    started.service.stop();
    assert_eq!(told(&receiver.acknowledged()), logged(started.service.data(), &["user.", "ban."], start));
}

#[test]
fn a_receiver_that_dies_again_and_again_hears_of_everything() {
    let mut started = Started::new();
    let mut attempts: BTreeMap<u64, u64> = BTreeMap::new();
    // It has the request, and dies before it says so; or answers. Each delivery is acknowledged in the end.
    let receiver = Receiver::that(move |one| {
        let attempt = attempts.entry(one.position()).or_default();
        *attempt += 1;
        match (*attempt, one.position() % 8) {
            (1, 0 | 1) => Does::Answer(0, ""),
            (1, 4 | 5) => Does::Answer(502, ""),
            _ => Does::Answer(200, ""),
        }
    });
    let (webhook, registered) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    let users: Vec<String> = (0..25).map(|number| format!("user{number}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    started.register(&users);
    started.register(&users);
    started.until_told(&webhook);
    started.service.stop();
    let start = registered["position"].as_u64().unwrap();
    assert_eq!(told(&receiver.acknowledged()), logged(started.service.data(), &["user."], start));
}
