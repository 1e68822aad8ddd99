//! Pages of other origins.

use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
const PAGE: &str = "https://app.example.org";

fn call(service: &Service, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    service.request(method, path, &headers, b"")
}

#[test]
fn a_page_of_an_allowed_origin_may_call_the_client_face_and_another_one_may_not() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--cors-origin", PAGE, "--cors-origin", "http://localhost:3000"];
    let service = Service::try_start_with(&data.path().join("data"), &[APP], &args).unwrap();
    let asks = |origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "PATCH")];
        call(&service, "OPTIONS", "/client/v1/me", &headers)
    };
    for origin in [PAGE, "http://localhost:3000"] {
        let told = asks(origin);
        assert_eq!((told.status, told.header("access-control-allow-origin")), (204, Some(origin)));
        assert!(told.header("access-control-allow-methods").unwrap().contains("PATCH"));
        assert!(told.header("access-control-allow-headers").unwrap().contains("authorization"));
        assert_eq!(told.header("vary"), Some("origin"));
        assert!(told.header("access-control-allow-credentials").is_none());
    }
    for origin in ["https://app.example.org.evil.example", "null", "https://app.example.org:8443", "*"] {
        let told = asks(origin);
        assert!(told.header("access-control-allow-origin").is_none(), "{origin}");
        assert!(told.header("access-control-allow-methods").is_none(), "{origin}");
    }
    // An answer that is a refusal can be read too.
    let refused = call(&service, "GET", "/client/v1/me", &[("Origin", PAGE)]);
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(PAGE)));
    assert!(refused.header("access-control-expose-headers").unwrap().contains("retry-after"));
    // What shows an API key is not for pages.
    let rest = call(&service, "GET", "/api/v1/users", &[("Origin", PAGE)]);
    assert!(rest.header("access-control-allow-origin").is_none());
}

#[test]
fn without_a_setting_no_page_may_call_and_a_wrong_origin_is_refused_at_the_start() {
    let service = Service::start(&[APP]);
    let told =
        call(&service, "OPTIONS", "/client/v1/me", &[("Origin", PAGE), ("Access-Control-Request-Method", "GET")]);
    assert!(told.status >= 400 && told.header("access-control-allow-origin").is_none(), "{}", told.status);
    let data = tempfile::tempdir().unwrap();
    for bad in ["*", "app.example.org", "https://app.example.org/"] {
        let refused = Service::try_start_with(&data.path().join("data"), &[APP], &["--cors-origin", bad]);
        let said = refused.err().expect(bad);
        assert!(said.contains("an origin such as https://app.example.org"), "{said}");
    }
}
