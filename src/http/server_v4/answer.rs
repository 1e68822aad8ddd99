//! What a caller is answered: `{"code":0}` with a result where there is one, and HTTP 200 for success alone.

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::Serialize;

use crate::http::platform::answer;
pub(super) use crate::http::platform::fault::Fault;

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

/// The HTTP response.
pub(super) fn respond(request: &HttpRequest, path: &str, outcome: Result<Answer, Fault>) -> HttpResponse {
    let outcome = outcome.map(|Answer(body)| body);
    answer::respond(request, path, "application/json; charset=utf-8", outcome)
}
