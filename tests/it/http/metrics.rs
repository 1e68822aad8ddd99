//! `/metrics`: who may read it, what stands in it, and that page, rules and dashboard speak of what there is.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

fn read(service: &Service, headers: &[(String, String)]) -> (u16, String) {
    let response = service.request("GET", "/metrics", headers, b"");
    (response.status, response.text)
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

/// The names that samples have, and those of histograms without the endings of their series.
fn exported(text: &str) -> BTreeSet<String> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let name = |(name, kind): (&str, &str)| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    };
    declared.map(name).collect()
}

/// Every word of a text that is the name of one of our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let name = |word: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|ending| word.strip_suffix(ending));
        base.unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("rollcall_")).map(name).collect()
}

fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn what_was_done_is_counted_without_a_word_of_a_caller() {
    let service = Service::start(&[APP]);
    service.register(APP, &["canary-ada", "canary-bob"]);
    service.post(APP, "/user/block.json", &[("userId", "canary-bob"), ("minute", "10")]);
    service.post(APP, "/user/deactivate.json", &[("userId", "canary-bob")]).ok();
    service.post(APP, "/user/getToken.json", &[("userId", "canary-bob"), ("name", "canary")]).refused(403, 31029);
    service.post(APP, "/user/info.json", &[("userId", "canary-ada")]).ok();
    service.request("GET", "/canary/path", &[], b"");
    let mut text = String::new();
    service.eventually("the erasure is applied", |service| {
        text = read(service, &[]).1;
        text.contains("rollcall_lag_events 0") && !text.contains(r#"rollcall_open_erasures{step="requested"} 1"#)
    });
    for line in [
        r#"rollcall_commands_total{command="user::register::Register",outcome="done"} 2"#,
        r#"rollcall_http_request_duration_seconds_count{face="server_v1",route="register"} 3"#,
        r#"rollcall_http_requests_total{face="server_v1",status="404"} 1"#,
        "rollcall_ready 1",
        "rollcall_leader 1",
        r#"rollcall_log_broken{reason="none"} 0"#,
        "rollcall_lag_events 0",
        "rollcall_parked_streams 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    // A query is named by its place, and told once it was asked.
    let of_directory = r#"rollcall_query_duration_seconds_count{read_model="user_directory",query="user_by_tag"} "#;
    let asked = text.lines().find_map(|line| line.strip_prefix(of_directory)).unwrap_or("0").parse::<u64>().unwrap();
    assert!(asked > 0, "{text}");
    let names = text.lines().filter(|line| line.starts_with("rollcall_query_duration_seconds_count")).count();
    assert!((5..300).contains(&names), "{names}");
    assert!(text.contains(r#"outcome="refused""#) && text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains("canary") && !text.contains(APP.key), "{text}");
}

#[test]
fn another_machine_needs_the_key_of_an_operator() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let added = rollcall(&["apps", "add-key", APP.key, "--scope", "operator"], service.data());
    let added = String::from_utf8(added.stdout).unwrap();
    let key = added.split_whitespace().find(|word| word.starts_with("rk_")).unwrap_or_else(|| panic!("{added}"));
    let service = Service::start_in(service.data(), &[APP]);
    let passed_on = header("X-Forwarded-For", "192.0.2.1");
    let bearer = |shown: &str| header("Authorization", &format!("Bearer {shown}"));
    let asked = |headers: &[(String, String)]| read(&service, headers).0;
    assert_eq!(asked(&[]), 200, "this machine asks for itself");
    assert_eq!(asked(std::slice::from_ref(&passed_on)), 401);
    assert_eq!(asked(&[passed_on.clone(), bearer("nonsense")]), 401);
    assert_eq!(asked(&[passed_on.clone(), bearer(&format!("{}:{}", APP.key, APP.secret))]), 403);
    assert_eq!(asked(&[passed_on, bearer(key)]), 200);
    assert_eq!(service.request("POST", "/metrics", &[], b"").status, 405);
}

#[test]
fn page_rules_and_dashboard_name_what_is_exported() {
    let service = Service::start(&[APP]);
    // The first answer is counted after it is made.
    read(&service, &[]);
    let exported = exported(&read(&service, &[]).1);
    assert!(exported.len() > 15, "{exported:?}");
    assert_eq!(named(&file("docs/metrics.md")), exported, "docs/metrics.md and the program");
    for path in ["deploy/prometheus/alerts.yml", "deploy/grafana/rollcall.json"] {
        let named = named(&file(path));
        let unknown: Vec<_> = named.difference(&exported).collect();
        assert!(named.len() > 5 && unknown.is_empty(), "{path} names {unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&file("deploy/grafana/rollcall.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{panel}");
    }
}
