//! What a caller is answered: `{"code":0}` with a result where there is one, and HTTP 200 for success alone.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::Serialize;

use super::Route;
use crate::engine;
use crate::http::exchange;
pub(super) use crate::http::platform::fault::Fault;
use crate::http::platform::fault::{Family, codes, profile_key, text};

/// The body of a successful answer.
pub(super) struct Answer(Bytes);

#[derive(Serialize)]
struct Success<'r, R> {
    code: u16,
    result: &'r R,
}

impl Answer {
    /// Done, with nothing to tell: exactly this, since an SDK refuses a member that it does not declare.
    pub(super) const DONE: Self = Self(Bytes::from_static(br#"{"code":0}"#));

    /// Something to tell; members are written in the order of `result`.
    ///
    /// # Errors
    /// It has no JSON form.
    pub(super) fn of(result: &impl Serialize) -> Result<Self, Fault> {
        serde_json::to_vec(&Success { code: 0, result }).map(|json| Self(json.into())).map_err(Fault::Unwritable)
    }
}

#[derive(Serialize)]
struct Failure<'f> {
    code: u16,
    #[serde(rename = "errorMessage")]
    error_message: &'f str,
    #[serde(rename = "profileKey", skip_serializing_if = "Option::is_none")]
    profile_key: Option<&'f str>,
}

/// The HTTP response.
pub(super) fn respond(request: &HttpRequest, path: &str, outcome: Result<Answer, Fault>) -> HttpResponse {
    match outcome {
        Ok(Answer(body)) => {
            let mut response = HttpResponse::Ok();
            response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")));
            exchange::echo(&mut response, request);
            let body = exchange::compressed(&mut response, request, body);
            response.body(body)
        }
        Err(fault) => failed(request, path, &fault),
    }
}

fn failed(request: &HttpRequest, path: &str, fault: &Fault) -> HttpResponse {
    let family = Family::of(path);
    let (status, code) = codes(fault, family);
    // The path is only logged where it is one of the table: another one may hold anything.
    let route = if Route::of(path).is_some() { path } else { "none" };
    match fault {
        Fault::Engine(error @ (engine::Error::Unavailable(_) | engine::Error::Ambiguous(_))) => {
            tracing::warn!(route, %error, "a call failed")
        }
        Fault::Unwritable(error) => tracing::error!(route, %error, "an answer could not be written"),
        _ => tracing::debug!(route, code, "a call was refused"),
    }
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")));
    exchange::echo(&mut response, request);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((ALLOW, HeaderValue::from_static("POST")));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, HeaderValue::from_static("1")));
    }
    if let Fault::Engine(engine::Error::Braked { seconds }) = fault {
        response.insert_header((RETRY_AFTER, HeaderValue::from(*seconds)));
    }
    let failure = Failure { code, error_message: &text(fault), profile_key: profile_key(fault, family) };
    let body = serde_json::to_vec(&failure).unwrap_or_else(|_| br#"{"code":1000,"errorMessage":""}"#.to_vec());
    response.body(body)
}
