//! Which web pages of other origins may call the client face (CORS). A page shows the access token of its user itself; nothing
//! is ever sent along by the browser, so that no answer allows credentials.

use std::str::FromStr;

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use actix_web::http::{Method, Uri};
use actix_web::{HttpRequest, HttpResponse};

/// What a page may send.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type, idempotency-key, x-request-id";
/// What a page may read of an answer beside its body.
const EXPOSED: &str = "rollcall-position, x-request-id, retry-after, location";
/// For how many seconds a browser need not ask again.
const MAX_AGE: &str = "600";

/// The origin of a web page, such as `https://app.example.org`, as browsers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "an origin such as https://app.example.org: scheme, host and, unless usual, port".to_owned();
        let uri: Uri = text.parse().map_err(|_| form())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(form()) };
        let is_usual = matches!((scheme, uri.port_u16()), ("https", Some(443)) | ("http", Some(80)));
        let is_written_so = text == format!("{scheme}://{authority}") && !text.bytes().any(|b| b.is_ascii_uppercase());
        if ["http", "https"].contains(&scheme) && is_written_so && !is_usual && !authority.as_str().contains(['@', '*'])
        {
            Ok(Self(text.into()))
        } else {
            Err(form())
        }
    }
}

/// The origins that are allowed.
#[derive(Debug, Clone, Default)]
pub(super) struct Cors(Vec<Origin>);

impl Cors {
    pub(super) fn new(origins: Vec<Origin>) -> Self {
        Self(origins)
    }

    /// The origin of a request, if it is allowed.
    fn allowed(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let origin = request.headers().get(ORIGIN)?;
        self.0.iter().any(|allowed| allowed.0.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Answers a browser that asks what a page may do; `None`: it does not ask.
    pub(super) fn preflight(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(ORIGIN)
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if self.0.is_empty() || !asks {
            return None;
        }
        let mut response = HttpResponse::NoContent();
        if self.allowed(request).is_some() {
            response.insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS));
            response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, HEADERS));
            response.insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE));
        }
        Some(response.finish())
    }

    /// Lets a page read an answer, if its origin is allowed.
    pub(super) fn allow(&self, request: &HttpRequest, response: &mut HttpResponse) {
        if self.0.is_empty() {
            return;
        }
        // Caches must not give the answer for one origin to another one.
        response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.allowed(request) {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_exactly_as_a_browser_writes_it() {
        for good in ["https://app.example.org", "http://localhost:3000", "https://[::1]:8443", "http://192.0.2.1"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "*",
            "",
            "null",
            "app.example.org",
            "https://app.example.org/",
            "https://app.example.org:443",
            "https://App.example.org",
            "https://*.example.org",
            "https://a@example.org",
            "ftp://example.org",
            "https://app.example.org/path",
            "https://app.example.org?x",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
