//! The app is told that an erasure is done, until it says that it heard.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use crate::support::service::signature;
use crate::support::soundness::recorded;
use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

/// A query and a form.
type Call = (HashMap<String, String>, HashMap<String, String>);

/// An app's server that answers with these statuses, the last one from then on; hands over the calls: query and form.
fn receiver(statuses: Vec<u16>) -> (String, Receiver<Call>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/erased?from=rollcall", listener.local_addr().unwrap());
    let (calls, received) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let (mut request, mut buffer) = (String::new(), [0; 4096]);
            loop {
                let read = stream.read(&mut buffer).unwrap();
                request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) || read == 0 {
                    break;
                }
            }
            let status = statuses.get(number).or(statuses.last()).unwrap();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let pairs = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            let query = head.split(['?', ' ']).nth(2).unwrap();
            if calls.send((pairs(query), pairs(body))).is_err() {
                return;
            }
        }
    });
    (url, received)
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
    let wait = std::time::Duration::from_secs(30);
    let (_, refused) = received.recv_timeout(wait).unwrap();
    assert_eq!(recorded(service.data(), "erasure.notified"), 0, "it did not hear");
    // Nothing of it is in memory alone.
    service.restart();
    let (query, form) = received.recv_timeout(wait).unwrap();
    assert_eq!((&form["userId"], &form["type"], &form["code"]), (&"ada".into(), &"0".into(), &"0".into()));
    assert_eq!(deactivated["operateId"], json!(form["operateId"]));
    assert_eq!((&form["time"], &form["operateId"]), (&refused["time"], &refused["operateId"]));
    assert_eq!(query["signature"], signature(APP.secret, &query["nonce"], &query["timestamp"]));
    assert_eq!((query["appKey"].as_str(), query["from"].as_str()), (APP.key, "rollcall"));
    service.eventually("that it heard is recorded", |service| recorded(service.data(), "erasure.notified") == 1);
    std::thread::sleep(std::time::Duration::from_secs(3));
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
