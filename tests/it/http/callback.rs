//! The app is told that an erasure is done, until it says that it heard.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::json;

use crate::support::service::signature;
use crate::support::soundness::recorded;
use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

/// A query and a form.
type Call = (HashMap<String, String>, HashMap<String, String>);

/// How long a call is waited for.
const WAIT: Duration = Duration::from_secs(30);

/// An app's server that answers with these statuses, the last one from then on; hands over the calls: query and form.
fn receiver(statuses: Vec<u16>) -> (String, Receiver<Call>) {
    let mut number = 0;
    receiver_that(move |_| {
        number += 1;
        *statuses.get(number - 1).or(statuses.last()).unwrap()
    })
}

/// An app's server that decides on the status of each call. A redirect names the server itself.
fn receiver_that(mut decide: impl FnMut(&Call) -> u16 + Send + 'static) -> (String, Receiver<Call>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/erased?from=rollcall", listener.local_addr().unwrap());
    let (calls, received) = channel();
    let redirect = url.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(call) = read(&mut stream) else { continue };
            let status = decide(&call);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nLocation: {redirect}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            // Whoever waited too long for the answer has closed the connection.
            let _ = stream.write_all(answer.as_bytes());
            if calls.send(call).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn read(stream: &mut TcpStream) -> Option<Call> {
    let (mut request, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        if read == 0 {
            return None;
        }
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let pairs = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    Some((pairs(head.split(['?', ' ']).nth(2).unwrap()), pairs(body)))
}

/// A service whose apps have users and are told of erasures at these URLs.
fn told(apps: &[(App, &str, &[&str])]) -> Service {
    let keys: Vec<App> = apps.iter().map(|(app, ..)| *app).collect();
    let mut service = Service::start(&keys);
    for (app, _, users) in apps {
        service.register(*app, users);
    }
    service.stop();
    for (app, url, _) in apps {
        let set = rollcall(&["apps", "set", app.key, "--erasure-callback-url", url], service.data());
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    }
    service.restart();
    service
}

#[test]
fn a_redirect_is_no_acknowledgement() {
    let (url, received) = receiver(vec![302, 304, 200]);
    let mut service = told(&[(APP, &url, &["ada"])]);
    service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    let calls: Vec<Call> = (0..3).map(|_| received.recv_timeout(WAIT).unwrap()).collect();
    assert!(calls.iter().all(|(_, form)| form["userId"] == "ada"));
    service.eventually("the 200 is recorded", |service| recorded(service.data(), "erasure.notified") == 1);
    service.stop();
    assert_eq!(recorded(service.data(), "erasure.report_issued"), 2, "no report says so of a redirect");
}

#[test]
fn what_a_callback_shows_of_its_signature_is_no_credential() {
    let (url, received) = receiver(vec![200]);
    let service = told(&[(APP, &url, &["ada", "bob"])]);
    service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    let (query, _) = received.recv_timeout(WAIT).unwrap();
    let (nonce, timestamp) = (&query["nonce"], &query["timestamp"]);
    assert_eq!(query["signature"], signature(APP.secret, nonce, timestamp), "receivers check it as the platform's");
    let sent = format!("{nonce}{timestamp}");
    for cut in 0..=sent.len() {
        let (nonce, timestamp) = sent.split_at(cut);
        for prefix in ["", "RC-"] {
            let header = |name: &str, value: &str| (format!("{prefix}{name}"), value.to_owned());
            let headers = [
                header("App-Key", &query["appKey"]),
                header("Nonce", nonce),
                header("Timestamp", timestamp),
                header("Signature", &query["signature"]),
                ("Content-Type".into(), "application/x-www-form-urlencoded".into()),
            ];
            let reply = service.request("POST", "/user/info.json", &headers, b"userId=bob");
            // Whoever tries again and again is slowed.
            assert!([401, 429].contains(&reply.status), "{nonce} {timestamp}: {}", reply.text);
        }
    }
}

#[test]
fn an_app_whose_server_does_not_answer_does_not_delay_another_app() {
    let (release, released) = channel::<()>();
    let (slow, of_slow) = receiver_that(move |_| {
        let _ = released.recv();
        200
    });
    let (quick, of_quick) = receiver(vec![200]);
    let (mine, theirs) = (App::PRODUCTION, App::OTHER);
    let service = told(&[(mine, &slow, &["ada", "bob", "eve"]), (theirs, &quick, &["joe"])]);
    for user in ["ada", "bob", "eve"] {
        service.post(mine, "/user/deactivate.json", &[("userId", user)]).ok();
    }
    service.eventually("they are erased", |service| recorded(service.data(), "erasure.finalised") == 3);
    service.post(theirs, "/user/deactivate.json", &[("userId", "joe")]).ok();
    // The other server has answered nothing by then, and never does before this one was called.
    let (_, form) = of_quick.recv_timeout(WAIT).unwrap();
    assert_eq!(form["userId"], "joe");
    assert!(of_slow.try_recv().is_err());
    drop(release);
}

#[test]
fn an_erasure_that_an_app_always_rejects_does_not_hold_up_its_others() {
    let rejected = |(_, form): &Call| if form["userId"] == "ada" { 400 } else { 200 };
    let (url, received) = receiver_that(rejected);
    let users = ["ada", "bob", "cat", "dan", "eve"];
    let service = told(&[(APP, &url, &users)]);
    for user in users {
        service.post(APP, "/user/deactivate.json", &[("userId", user)]).ok();
    }
    service.eventually("all others are told", |service| recorded(service.data(), "erasure.notified") == 4);
    let told: Vec<String> = received.try_iter().map(|(_, form)| form["userId"].clone()).collect();
    assert!(told.contains(&"ada".to_owned()), "{told:?}");
    // It is not given up either.
    while received.recv_timeout(WAIT).unwrap().1["userId"] != "ada" {}
}

#[test]
fn an_app_is_told_as_the_platform_tells_until_it_answers_and_the_report_names_it() {
    let (url, received) = receiver(vec![500, 200]);
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--erasure-callback-url", &url], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let mut service = Service::start_in(service.data(), &[APP]);
    let deactivated = service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok().json();
    let (_, refused) = received.recv_timeout(WAIT).unwrap();
    assert_eq!(recorded(service.data(), "erasure.notified"), 0, "it did not hear");
    // Nothing of it is in memory alone.
    service.restart();
    let (query, form) = received.recv_timeout(WAIT).unwrap();
    assert_eq!((&form["userId"], &form["type"], &form["code"]), (&"ada".into(), &"0".into(), &"0".into()));
    assert_eq!(deactivated["operateId"], json!(form["operateId"]));
    assert_eq!((&form["time"], &form["operateId"]), (&refused["time"], &refused["operateId"]));
    assert_eq!(query["signature"], signature(APP.secret, &query["nonce"], &query["timestamp"]));
    assert_eq!((query["appKey"].as_str(), query["from"].as_str()), (APP.key, "rollcall"));
    service.eventually("that it heard is recorded", |service| recorded(service.data(), "erasure.notified") == 1);
    std::thread::sleep(Duration::from_secs(3));
    assert!(received.try_recv().is_err(), "once it heard it is not told again");

    service.stop();
    assert_eq!(
        recorded(service.data(), "erasure.report_issued"),
        2,
        "a report that names it takes the place of the first"
    );
    let listed = String::from_utf8(rollcall(&["erasure", "list", APP.key], service.data()).stdout).unwrap();
    let erasure = listed.split('\t').next().unwrap();
    let report = rollcall(&["erasure", "report", APP.key, erasure], service.data());
    let keys = rollcall(&["audit", "keys"], service.data());
    let (report, keys) = (report.stdout, String::from_utf8(keys.stdout).unwrap());
    let trusted: Vec<_> = keys.lines().map(|line| line.parse().unwrap()).collect();
    let verdict = rollcall::audit::report::verify::verify(&report, &trusted);
    let rollcall::audit::report::verify::Verdict::Final(report) = verdict else { panic!("{verdict:?}") };
    assert_eq!(report.number, 2);
    assert!(report.supersedes.is_some());
    assert!(url.contains(&report.recipients[0].name) && report.recipients[0].acknowledged_at.is_some());
}
