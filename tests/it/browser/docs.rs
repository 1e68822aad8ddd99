//! The page to try the REST faces, `GET /docs`.

use std::process::Command;

use serde_json::Value;

use super::Browser;
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

#[test]
fn the_page_to_try_sends_what_the_documents_describe_and_shows_the_answer_and_the_same_with_curl() {
    let service = Service::start(&[APP]);
    let here = format!("http://{}", service.address);
    let browser = Browser::start();
    browser.open(&format!("{here}/docs"));
    let operations = |document| {
        let document: Value = serde_json::from_str(document).unwrap();
        document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum::<usize>()
    };
    let count = operations(rollcall::http::openapi()) + operations(rollcall::http::client_openapi());
    browser.until("#told", &format!("{count} operations"));
    // Each form can be made.
    browser.run("for (const one of document.querySelectorAll('details.operation')) one.open = true");
    let made = "return document.querySelectorAll('details.operation form').length";
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while browser.run(made) != count {
        assert!(std::time::Instant::now() < until, "{:?}", browser.complaints());
    }
    browser.run("for (const one of document.querySelectorAll('details.operation')) one.open = false");

    let secret = format!("{}:{}", APP.key, APP.secret);
    browser.type_into("#api-key", &secret);
    browser.type_into("#filter", "registerUser");
    let register = "#api-key\\.registerUser";
    browser.click(&format!("{register} > summary"));
    browser.click(&format!("{register} button:not([type])"));
    browser.until(&format!("{register} .status"), "201");
    let answer: Value = serde_json::from_str(&browser.text(&format!("{register} .body"))).unwrap();
    assert_eq!(answer["id"], "ada");
    browser.until(&format!("{register} .headers"), "content-type: application/json");

    // The same, as it is shown, does the same: the user is known by now.
    let curl = browser.text(&format!("{register} .curl"));
    assert!(!curl.contains(APP.secret), "{curl}");
    let output = Command::new("bash").args(["-c", &curl]).env("API_KEY", &secret).output().unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.starts_with("HTTP/1.1 200") && output.contains("\"token\""), "{curl}\n{output}");

    // The users' own face, with the token.
    browser.type_into("#access-token", answer["token"].as_str().unwrap());
    browser.clear("#filter");
    browser.type_into("#filter", "me.get");
    let me = "#access-token\\.me\\.get";
    browser.click(&format!("{me} > summary"));
    browser.click(&format!("{me} button:not([type])"));
    browser.until(&format!("{me} .body"), "\"user_id\": \"ada\"");
    assert_eq!(browser.complaints(), [""; 0]);

    for url in browser.requested() {
        assert!(url.starts_with(&here), "the page asks for {url}");
        assert!(!url.contains(APP.secret), "{url}");
    }
}

#[test]
fn the_page_to_try_is_served_with_a_policy_that_lets_nothing_in_from_elsewhere() {
    let service = Service::start(&[APP]);
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/", "text/html; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
    ] {
        let reply = service.request("GET", path, &[], b"");
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        // Neither scripts nor styles stand in the page, and nothing that it names is elsewhere.
        assert!(!reply.text.contains("<style") && !reply.text.contains("src=\"http"), "{path}");
        assert_eq!(service.request("POST", path, &[], b"").status, 405);
    }
    assert_eq!(service.request("GET", "/docs/nothing", &[], b"").status, 404);
}
