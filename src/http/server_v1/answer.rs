//! What a caller is answered: always JSON with a numeric `code`.

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::Serialize;

use crate::http::platform::answer;
pub(super) use crate::http::platform::fault::Fault;

/// The `code` of success.
pub(super) const OK: u16 = 200;

/// The body of a successful answer.
pub(super) struct Answer(Bytes);

impl Answer {
    /// Done, with nothing to tell.
    pub(super) const DONE: Self = Self(Bytes::from_static(br#"{"code":200}"#));

    /// Something to tell; members are written in the order of `body`.
    ///
    /// # Errors
    /// It has no JSON form.
    pub(super) fn of(body: &impl Serialize) -> Result<Self, Fault> {
        serde_json::to_vec(body).map(|json| Self(json.into())).map_err(Fault::Unwritable)
    }
}

/// The HTTP response.
pub(super) fn respond(request: &HttpRequest, path: &str, outcome: Result<Answer, Fault>) -> HttpResponse {
    let outcome = outcome.map(|Answer(body)| body);
    answer::respond(request, path, "application/json", outcome)
}
