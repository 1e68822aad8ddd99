//! Answers of the REST face, and how they are written: status, headers, body.

use std::io;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::problem::{Problem, detail, kind};
use crate::engine;
use crate::http::exchange;
use crate::http::served::Cause;

static ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static POSITION: HeaderName = HeaderName::from_static("rollcall-position");

/// A successful answer.
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
    /// Further pieces of the body, sent as they are made.
    chunks: Option<mpsc::Receiver<io::Result<Bytes>>>,
    content_type: &'static str,
    location: Option<String>,
    /// Whether it tells a secret, and is never compressed.
    tells_secret: bool,
    position: Option<u64>,
    etag: Option<String>,
}

const JSON: &str = "application/json";

impl Answer {
    /// The answer of a query.
    ///
    /// # Errors
    /// The body has no JSON form.
    pub(super) fn query(body: &impl Serialize) -> Result<Self, Problem> {
        Self::json(serde_json::to_vec(body))
    }

    fn json(body: serde_json::Result<Vec<u8>>) -> Result<Self, Problem> {
        Ok(Self::of_type(JSON, body.map_err(|_| Problem::Unwritable)?))
    }

    /// The answer of a query that is no JSON of the face's own.
    pub(super) fn of_type(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            body: body.into(),
            content_type,
            chunks: None,
            location: None,
            tells_secret: false,
            position: None,
            etag: None,
        }
    }

    /// An answer that is sent while it is made.
    pub(super) fn stream(content_type: &'static str, chunks: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { chunks: Some(chunks), ..Self::of_type(content_type, Bytes::new()) }
    }

    /// The answer of a command that has nothing to tell.
    pub(super) fn done(position: u64) -> Self {
        let position = Some(position).filter(|position| *position > 0);
        Self { status: StatusCode::NO_CONTENT, position, ..Self::of_type(JSON, Bytes::new()) }
    }

    /// The answer to who knows already what is asked for.
    pub(super) fn not_modified(etag: String) -> Self {
        Self { status: StatusCode::NOT_MODIFIED, ..Self::of_type(JSON, Bytes::new()) }.tagged(etag)
    }

    /// Says of which revision it is.
    pub(super) fn tagged(self, etag: String) -> Self {
        Self { etag: Some(etag), ..self }
    }

    /// Says whether it tells a secret.
    pub(super) fn telling_secret(self, tells_secret: bool) -> Self {
        Self { tells_secret, ..self }
    }

    /// Sets the address of what was created.
    pub(super) fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    /// The answer of a command whose events the log holds at `position`.
    ///
    /// # Errors
    /// The body has no JSON form.
    pub(super) fn command(status: StatusCode, body: &impl Serialize, position: u64) -> Result<Self, Problem> {
        let answer = Self::query(body)?;
        // An answer kept from an earlier call comes without a position.
        Ok(Self { status, position: Some(position).filter(|position| *position > 0), ..answer })
    }
}

#[derive(Serialize)]
struct Details<'d> {
    r#type: String,
    title: &'d str,
    status: u16,
    detail: &'d str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Pointer<'d>>,
}

#[derive(Serialize)]
struct Pointer<'d> {
    pointer: &'d str,
    detail: &'d str,
}

/// The HTTP response.
pub(super) fn respond(request: &HttpRequest, outcome: Result<Answer, Problem>) -> HttpResponse {
    match outcome {
        Ok(answer) => {
            let mut response = HttpResponse::build(answer.status);
            if !matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
                response.insert_header((CONTENT_TYPE, HeaderValue::from_static(answer.content_type)));
            }
            if let Some(location) = answer.location {
                response.insert_header((LOCATION, location));
            }
            if let Some(etag) = answer.etag {
                response.insert_header((ETAG, etag));
            }
            // Answers carry tokens and personal data.
            response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
            // A browser must not guess another type than the one that is sent.
            response.insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
            if let Some(position) = answer.position {
                response.insert_header((POSITION.clone(), BASE64_URL_SAFE_NO_PAD.encode(position.to_be_bytes())));
            }
            if let Some(mut chunks) = answer.chunks {
                // A proxy must pass on each piece when it comes.
                response.insert_header((ACCEL_BUFFERING.clone(), HeaderValue::from_static("no")));
                return response.streaming(futures_util::stream::poll_fn(move |context| chunks.poll_recv(context)));
            }
            if answer.tells_secret {
                return response.body(answer.body);
            }
            let body = exchange::compressed(&mut response, request, answer.body);
            response.body(body)
        }
        Err(problem) => failed(&problem),
    }
}

fn failed(problem: &Problem) -> HttpResponse {
    let (status, name) = kind(problem);
    let cause = match problem {
        Problem::Engine(error) if status.is_server_error() => Some(error.to_string()),
        Problem::Unwritable => Some("the answer cannot be written".into()),
        _ => None,
    };
    tracing::debug!(name, "a call was refused");
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
    if let Problem::Method(allowed) = problem {
        response.insert_header((ALLOW, allowed.as_str()));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, HeaderValue::from_static("1")));
    }
    if let Problem::Slowed(slowed) = problem {
        response.insert_header((RETRY_AFTER, HeaderValue::from(slowed.seconds)));
    }
    if let Problem::TooOften(reached) = problem {
        response.insert_header((RETRY_AFTER, HeaderValue::from(reached.retry_after())));
    }
    if let Problem::Engine(engine::Error::Braked { seconds }) = problem {
        response.insert_header((RETRY_AFTER, HeaderValue::from(*seconds)));
    }
    let detail = detail(problem);
    let errors = match problem {
        Problem::Invalid(pointer, _) => vec![Pointer { pointer, detail: &detail }],
        Problem::UnknownScope(_) => vec![Pointer { pointer: "#/scopes", detail: &detail }],
        _ => vec![],
    };
    let details = Details {
        r#type: format!("urn:rollcall:problem:{name}"),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: &detail,
        errors,
    };
    let body = serde_json::to_vec(&details).unwrap_or_default();
    let mut response = response.body(body);
    Cause::note(cause, &mut response);
    if let Problem::TooOften(reached) = problem {
        tell_limit(&mut response, reached.quota, 0, reached.retry_after());
    }
    response
}

/// Tells a caller how often it may call the endpoint in a second, how many calls are left, and in how many seconds there are
/// more (draft-ietf-httpapi-ratelimit-headers-10).
pub(super) fn tell_limit(response: &mut HttpResponse, quota: u32, left: u32, seconds: u64) {
    let told = [
        (&RATE_LIMIT_POLICY, format!("\"endpoint\";q={quota};w=1")),
        (&RATE_LIMIT, format!("\"endpoint\";r={left};t={seconds}")),
    ];
    for (name, value) in told {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name.clone(), value);
        }
    }
}
