//! Receivers that are slow, gone, elsewhere or not to be reached at all.

use super::*;

#[test]
fn a_receiver_that_hangs_or_drips_delays_no_other_one() {
    let started = Started::new();
    let (hanging, dripping, quick) =
        (Receiver::that(|_| Does::Hang), Receiver::that(|_| Does::Drip), Receiver::start());
    let slow =
        [&hanging, &dripping].map(|receiver| started.webhook(&receiver.url(), &["rollcall.user.*"], "standard").0);
    let (webhook, _) = started.webhook(&quick.url(), &["rollcall.user.*"], "standard");
    let users: Vec<String> = (0..40).map(|number| format!("user{number}")).collect();
    started.register(&users.iter().map(String::as_str).collect::<Vec<_>>());
    started.until_told(&webhook);
    assert_eq!(quick.acknowledged().len(), 40);
    for (webhook, receiver) in slow.iter().zip([&hanging, &dripping]) {
        started.service.eventually("it is tried again", |_| receiver.received().len() >= 4);
        started.service.eventually("what is wrong is told", |_| {
            let waiting = started.deliveries(webhook, "waiting");
            waiting.iter().any(|row| row["reason"] == "there was no whole answer in time")
        });
    }
    for receiver in [&hanging, &dripping] {
        receiver.now(|_| Does::Answer(200, ""));
    }
    slow.iter().for_each(|webhook| started.until_told(webhook));
    assert_eq!(told(&hanging.acknowledged()).len(), 40);
}

#[test]
fn receivers_that_hang_hold_up_no_other_app_and_a_webhook_can_be_tried_out_meanwhile() {
    let args = &["--webhook-allow", "127.0.0.0/8", "--webhook-timeout-seconds", "60"];
    let mut started = Started::with(args);
    started.service.stop();
    let added = rollcall(&["apps", "add-key", App::OTHER.key, "--scope", "operator"], started.service.data());
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    started.restart(args);
    let (hanging, quick) = (Receiver::that(|_| Does::Hang), Receiver::start());
    (0..9).for_each(|_| drop(started.webhook(&hanging.url(), &["rollcall.user.*"], "standard")));
    let users: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    started.register(&users.iter().map(String::as_str).collect::<Vec<_>>());
    started.service.eventually("all exchanges hang", |_| hanging.received().len() >= 128);
    let (webhook, _) = started.webhook(&quick.url(), &["rollcall.user.banned.v1"], "standard");
    let tested = started.call("POST", &format!("webhooks/{webhook}/test"), &Value::Null);
    assert_eq!((tested.status, &tested.json()["delivered"]), (200, &json!(true)), "{}", tested.text);
    started.key = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let (webhook, _) = started.webhook(&quick.url(), &["rollcall.user.*"], "standard");
    started.service.register(App::OTHER, &["ada"]);
    started.until_told(&webhook);
    assert!(quick.received().iter().any(|received| received.kind().starts_with("rollcall.user.registered")));
    assert_eq!(hanging.received().len(), 128, "the first exchanges still hang");
}

/// The threads of a process by name, each with how much it yields to others.
fn threads(process: u32) -> Vec<(String, i32)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
    let thread = |stat: String| {
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
        // Field 19 of proc(5); the state is field 3.
        (name.to_owned(), rest.split(' ').nth(16).unwrap().parse().unwrap())
    };
    stats.map(thread).collect()
}

#[test]
fn the_threads_that_deliver_get_the_processor_after_all_others() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada", "bob"]);
    started.until_told(&webhook);
    let threads = threads(started.service.pid());
    let (delivering, others): (Vec<_>, Vec<_>) = threads.into_iter().partition(|(name, _)| name == "deliveries");
    assert!(delivering.len() > 1 && delivering.iter().all(|(_, niceness)| *niceness == 10), "{delivering:?}");
    assert!(others.len() > 5 && others.iter().all(|(_, niceness)| *niceness == 0), "{others:?}");
}

#[test]
fn a_receiver_that_answers_no_http_is_told_again_what_it_did_not_acknowledge_once_it_does() {
    let (started, receiver) = (Started::new(), Receiver::that(|_| Does::Garble));
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada", "bob"]);
    started.service.eventually("what is wrong is told", |_| {
        let waiting = started.deliveries(&webhook, "waiting");
        waiting.iter().any(|row| row["reason"] == "it does not speak HTTP" && row["status"].is_null())
    });
    receiver.now(|_| Does::Answer(200, ""));
    started.until_told(&webhook);
    assert_eq!(told(&receiver.acknowledged()).len(), 2);
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let (started, elsewhere) = (Started::new(), Receiver::start());
    let head: &'static str = format!("Location: {}\r\n", elsewhere.url()).leak();
    let receiver = Receiver::that(move |_| Does::Answer(307, head));
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada"]);
    started.service.eventually("it is given up", |_| started.deliveries(&webhook, "dead").len() == 1);
    let dead = started.deliveries(&webhook, "dead").remove(0);
    assert_eq!((&dead["status"], &dead["reason"]), (&json!(307), &json!("a redirect is not followed")));
    assert!(elsewhere.received().is_empty());
}

#[test]
fn a_receiver_that_is_gone_is_disabled_and_goes_on_where_it_stopped_once_it_is_enabled() {
    let (started, receiver) = (Started::new(), Receiver::that(|_| Does::Answer(410, "")));
    let watcher = Receiver::start();
    started.webhook(&watcher.url(), &["rollcall.webhook.*"], "standard");
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada"]);
    started.service.eventually("it is disabled", |_| started.show(&webhook)["enabled"] == false);
    assert_eq!(started.show(&webhook)["disabled_cause"], "gone");
    started.service.eventually("others are told that it is", |_| {
        watcher.acknowledged().iter().any(|one| {
            one.kind() == "rollcall.webhook.disabled.v1" && one.json()["data"]["webhook"] == webhook.as_str()
        })
    });
    let tries = receiver.received().len();
    started.register(&["bob"]);
    receiver.now(|_| Does::Answer(200, ""));
    let enabled = started.call("PATCH", &format!("webhooks/{webhook}"), &json!({"enabled": true}));
    assert_eq!((enabled.status, &enabled.json()["disabled_cause"]), (200, &Value::Null));
    started.until_told(&webhook);
    assert_eq!(told(&receiver.acknowledged()).len(), 2, "{tries}");
}

#[test]
fn a_receiver_that_asks_for_time_is_given_it() {
    let (started, receiver) = (Started::new(), Receiver::that(|_| Does::Answer(429, "Retry-After: 3600\r\n")));
    let (webhook, registered) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada"]);
    started.service.eventually("it is held", |_| !started.deliveries(&webhook, "waiting").is_empty());
    let row = started.deliveries(&webhook, "waiting").remove(0);
    let [next, registered] = [&row["next_at"], &registered["registered_at"]]
        .map(|time| time.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert!(next >= registered + chrono::TimeDelta::hours(1), "{row}");
    // Nobody else is sent anything either.
    started.register(&["bob"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn a_webhook_to_an_address_that_is_not_public_is_refused_when_it_is_registered_or_when_it_is_resolved() {
    let (started, receiver) = (Started::with(&[]), Receiver::start());
    for url in [
        receiver.url().as_str(),
        "https://169.254.169.254/latest",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00:ec2::254]/",
        "http://1.1.1.1/",
        "https://a:b@example.org/",
        "ftp://example.org/",
        "/hook",
    ] {
        let refused = started.call("POST", "webhooks", &json!({"url": url, "types": ["*"]}));
        assert_eq!(
            (refused.status, &refused.json()["type"]),
            (422, &json!("urn:rollcall:problem:invalid-value")),
            "{url}"
        );
        assert_eq!(refused.json()["errors"][0]["pointer"], "#/url");
    }
    // A name is resolved each time, whatever it was before.
    let port = receiver.address.port();
    let (webhook, _) = started.webhook(&format!("https://localhost:{port}/"), &["*"], "standard");
    let tested = started.call("POST", &format!("webhooks/{webhook}/test"), &Value::Null).json();
    assert_eq!(tested["delivered"], false);
    assert!(tested["reason"].as_str().unwrap().contains("is not on the public internet"), "{tested}");
    assert!(receiver.received().is_empty());
}

#[test]
fn nothing_acknowledged_for_long_is_recorded_and_so_is_that_it_is_again() {
    let receiver = Receiver::that(|_| Does::Answer(500, ""));
    let mut started = Started::new();
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada", "bob", "eve", "joe"]);
    started.service.eventually("it is tried", |_| receiver.received().len() > 3);
    started.restart(&[ARGS, &["--webhook-failing-after-seconds", "0"]].concat());
    started.service.eventually("it is failing", |_| started.show(&webhook)["failing_since"].is_string());
    receiver.now(|_| Does::Answer(200, ""));
    started.register(&["mia"]);
    started.service.eventually("it is not any more", |_| started.show(&webhook)["failing_since"].is_null());
}
