//! How both versions answer over HTTP. What stands in a successful body is each version's own.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::Serialize;

use super::fault::{Family, Fault, codes, profile_key, text};
use crate::engine;
use crate::http::exchange;
use crate::http::served::Cause;

#[derive(Serialize)]
struct Failure<'f> {
    code: u16,
    #[serde(rename = "errorMessage")]
    error_message: &'f str,
    #[serde(rename = "profileKey", skip_serializing_if = "Option::is_none")]
    profile_key: Option<&'f str>,
}

/// The HTTP response to what was asked of `path`.
pub(in crate::http) fn respond(
    request: &HttpRequest,
    path: &str,
    content_type: &'static str,
    outcome: Result<Bytes, Fault>,
) -> HttpResponse {
    let content_type = (CONTENT_TYPE, HeaderValue::from_static(content_type));
    match outcome {
        Ok(body) => {
            let mut response = HttpResponse::Ok();
            response.insert_header(content_type);
            let body = exchange::compressed(&mut response, request, body);
            response.body(body)
        }
        Err(fault) => failed(path, content_type, &fault),
    }
}

fn failed(path: &str, content_type: impl actix_web::http::header::TryIntoHeaderPair, fault: &Fault) -> HttpResponse {
    let family = Family::of(path);
    let (status, code) = codes(fault, family);
    let cause = match fault {
        Fault::Engine(error) if status.is_server_error() => Some(error.to_string()),
        Fault::Unwritable(error) => Some(format!("the answer cannot be written: {error}")),
        _ => None,
    };
    tracing::debug!(code, "a call was refused");
    let mut response = HttpResponse::build(status);
    response.insert_header(content_type);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((ALLOW, HeaderValue::from_static("POST")));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, HeaderValue::from_static("1")));
    }
    if let Fault::Slowed(slowed) = fault {
        response.insert_header((RETRY_AFTER, HeaderValue::from(slowed.seconds)));
    }
    if let Fault::TooOften(reached) = fault {
        response.insert_header((RETRY_AFTER, HeaderValue::from(reached.retry_after())));
    }
    if let Fault::Engine(engine::Error::Braked { seconds }) = fault {
        response.insert_header((RETRY_AFTER, HeaderValue::from(*seconds)));
    }
    let failure = Failure { code, error_message: &text(fault), profile_key: profile_key(fault, family) };
    let body = serde_json::to_vec(&failure).unwrap_or_else(|_| br#"{"code":1000,"errorMessage":""}"#.to_vec());
    let mut response = response.body(body);
    Cause::note(cause, &mut response);
    response
}
