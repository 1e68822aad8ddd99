//! `GET /docs`: a page to try the REST faces. It is made in the browser of the documents that this service serves, and loads
//! nothing from elsewhere (docs/decisions/0036-a-page-of-our-own.md).

use actix_web::http::Method;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse};

/// Path, type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("/docs", "text/html; charset=utf-8", include_str!("index.html")),
    ("/docs/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/docs/docs.css", "text/css; charset=utf-8", include_str!("docs.css")),
    ("/docs/docs.js", "text/javascript; charset=utf-8", include_str!("docs.js")),
];

/// Scripts, styles and answers of this service only, none within the page; nobody shows the page in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers `/docs` and the files of the page; `None`: it is none of them.
pub(super) fn answer(request: &HttpRequest, path: &str) -> Option<HttpResponse> {
    let (_, kind, content) = FILES.iter().find(|(file, ..)| *file == path)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(HttpResponse::MethodNotAllowed().insert_header((ALLOW, "GET, HEAD")).finish());
    }
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, *kind))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("content-security-policy", POLICY))
        .insert_header(("referrer-policy", "no-referrer"))
        .insert_header(("x-content-type-options", "nosniff"));
    Some(response.body(*content))
}
