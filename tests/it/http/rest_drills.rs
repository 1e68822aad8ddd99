//! Drills: erasures of people who were made up for it.

use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
const DRILLS: &str = "/api/v1/compliance/drills";

fn call(service: &Service, method: &str, path: &str, key: Option<&str>) -> Reply {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    headers.extend(key.map(|key| ("Idempotency-Key".to_owned(), key.to_owned())));
    service.request(method, path, &headers, b"")
}

#[test]
fn a_drill_that_is_repeated_under_its_key_is_the_same_drill_also_after_it_has_ended() {
    let service = Service::start(&[APP]);
    let first = call(&service, "POST", DRILLS, Some("monday"));
    assert_eq!(first.status, 202, "{}", first.text);
    let path = first.header("location").unwrap().to_owned();
    let again = call(&service, "POST", DRILLS, Some("monday"));
    assert_eq!((again.status, again.header("location")), (200, Some(path.as_str())), "{}", again.text);
    service
        .eventually("the drill is done", |service| call(service, "GET", &path, None).json()["status"] == "finalised");
    let again = call(&service, "POST", DRILLS, Some("monday"));
    assert_eq!((again.status, again.header("location")), (200, Some(path.as_str())), "{}", again.text);
    // Another key, and none at all, are drills of their own.
    for key in [Some("tuesday"), None, None] {
        let other = call(&service, "POST", DRILLS, key);
        assert!(other.status == 202 && other.header("location") != Some(path.as_str()), "{}", other.text);
    }
    let listed = call(&service, "GET", "/api/v1/erasures", None).json();
    assert_eq!(listed["erasures"].as_array().map(Vec::len), Some(4));
}
