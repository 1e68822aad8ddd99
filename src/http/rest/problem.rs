//! Answers of the REST face, and the one table from its errors to problem details (RFC 9457).

use std::borrow::Cow;
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
use rollcall_schemas::plain::ApiScope;
use serde::Serialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::audit::erasure::drill;
use crate::domain::Refusal;
use crate::domain::values::Invalid;
use crate::engine;
use crate::engine::search::Unsearchable;
use crate::http::exchange::{self, Unread};
use crate::http::failures::Slowed;
use crate::http::rates::Reached;
use crate::http::served::Cause;
use crate::http::upload::UPLOAD_MAX;

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
        let body = serde_json::to_vec(body).map_err(|_| Problem::Unwritable)?;
        Ok(Self::of_type(JSON, body))
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
        // An answer kept from an earlier call comes without a position.
        Ok(Self { status, position: Some(position).filter(|position| *position > 0), ..Self::query(body)? })
    }
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no such path.
    NoSuchEndpoint,
    /// The path takes these methods only.
    Method(String),
    /// The body could not be read.
    Unread(Unread),
    /// The credentials are missing or wrong.
    Unauthenticated,
    /// Too many wrong credentials came from the caller's address.
    Slowed(Slowed),
    /// The app's endpoint is called too often.
    TooOften(Reached),
    /// The caller may not do this; what is missing.
    Scope(ApiScope),
    /// The log holds no such event of the app.
    NoSuchEvent,
    /// The two users are not friends.
    NoSuchFriend,
    /// No path of at most four friendships leads from the one user to the other.
    NoPath,
    /// It is not known whether there is one.
    SearchTooWide,
    /// The user has no ban that runs or is to begin.
    NotBanned,
    /// The user is not muted.
    NotMuted,
    /// There is no such read model.
    NoSuchReadModel,
    /// Read models on a server are built anew by the command.
    RebuildByCommand,
    /// Another read model is being built anew.
    RebuildRuns,
    /// No read model has parked the stream.
    NotParked,
    /// The caller's key is of another app, or there is no such app.
    NoSuchApp,
    /// An earlier call with the same idempotency key was given the secret, which is shown only once.
    ToldBefore,
    /// The idempotency key is not one.
    MalformedKey,
    /// A value is missing or wrong; where, as a JSON pointer or the name of a parameter.
    Invalid(&'static str, Invalid),
    /// The body is not the JSON it should be.
    Json(String),
    /// A body that is dealt with while it arrives is too long.
    UploadTooLarge,
    /// Such a body is not what it should be; what is wrong, without any of its content.
    Upload(String),
    /// The engine refused or could not.
    Engine(engine::Error),
    /// Users cannot be searched now.
    Search(Unsearchable),
    /// The answer could not be written.
    Unwritable,
}

impl From<Unsearchable> for Problem {
    fn from(error: Unsearchable) -> Self {
        match error {
            Unsearchable::Unavailable(error) => Self::Engine(error),
            error => Self::Search(error),
        }
    }
}

impl Problem {
    /// Something cannot be done at the moment; only the operator is told why.
    pub(super) fn unavailable(error: &impl std::error::Error) -> Self {
        Self::Engine(engine::Error::Unavailable(error.to_string()))
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<drill::Error> for Problem {
    fn from(error: drill::Error) -> Self {
        match error {
            drill::Error::Engine(error) => error.into(),
            drill::Error::MadeUp(_) => Self::unavailable(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Engine(engine::Error::Refused(refusal))
    }
}

impl From<rollcall_projections::store::Error> for Problem {
    fn from(error: rollcall_projections::store::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// Status and stable type of each error.
fn kind(problem: &Problem) -> (StatusCode, &'static str) {
    match problem {
        Problem::NoSuchEndpoint => (StatusCode::NOT_FOUND, "no-such-endpoint"),
        Problem::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
        Problem::Unread(Unread::TooLarge) => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        Problem::Unread(Unread::Stalled) => (StatusCode::REQUEST_TIMEOUT, "body-stalled"),
        Problem::Unread(Unread::Broken) => (StatusCode::BAD_REQUEST, "body-broken"),
        Problem::Unread(Unread::NoSpace) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Problem::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Problem::Slowed(_) => (StatusCode::TOO_MANY_REQUESTS, "authentication-slowed"),
        Problem::TooOften(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
        Problem::Scope(_) => (StatusCode::FORBIDDEN, "scope-missing"),
        Problem::NoSuchEvent => (StatusCode::NOT_FOUND, "no-such-event"),
        Problem::NoSuchFriend => (StatusCode::NOT_FOUND, "no-such-friend"),
        Problem::NoPath => (StatusCode::NOT_FOUND, "no-path"),
        Problem::SearchTooWide => (StatusCode::UNPROCESSABLE_ENTITY, "search-too-wide"),
        Problem::NotBanned => (StatusCode::NOT_FOUND, "not-banned"),
        Problem::NotMuted => (StatusCode::NOT_FOUND, "not-muted"),
        Problem::NoSuchReadModel => (StatusCode::NOT_FOUND, "no-such-read-model"),
        Problem::RebuildByCommand => (StatusCode::CONFLICT, "rebuild-by-command"),
        Problem::RebuildRuns => (StatusCode::CONFLICT, "rebuild-runs"),
        Problem::NotParked => (StatusCode::NOT_FOUND, "not-parked"),
        Problem::NoSuchApp => (StatusCode::NOT_FOUND, "no-such-app"),
        Problem::ToldBefore => (StatusCode::CONFLICT, "told-before"),
        Problem::MalformedKey => (StatusCode::BAD_REQUEST, "malformed-idempotency-key"),
        Problem::Invalid(..) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-value"),
        Problem::Json(_) => (StatusCode::BAD_REQUEST, "malformed-json"),
        Problem::UploadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        Problem::Upload(_) => (StatusCode::BAD_REQUEST, "malformed-body"),
        Problem::Engine(error) => match error {
            engine::Error::Refused(refusal) => kind_of_refusal(refusal),
            engine::Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            engine::Error::Behind => (StatusCode::SERVICE_UNAVAILABLE, "behind"),
            engine::Error::Ambiguous(_) => (StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown"),
            engine::Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            engine::Error::LogBroken(_) => (StatusCode::SERVICE_UNAVAILABLE, "log-broken"),
            engine::Error::Braked { .. } => (StatusCode::TOO_MANY_REQUESTS, "erasures-braked"),
            engine::Error::KeyInUse => (StatusCode::CONFLICT, "idempotency-key-in-use"),
            engine::Error::Defect(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            engine::Error::KeyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-mismatch"),
        },
        Problem::Search(Unsearchable::Building { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "search-building"),
        Problem::Search(Unsearchable::TooMany) => (StatusCode::NOT_IMPLEMENTED, "search-too-many-users"),
        Problem::Search(Unsearchable::Unavailable(_)) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Problem::Unwritable => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// Status and type of the problem that a refusal is.
pub(super) fn kind_of_refusal(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NoSuchApp => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Refusal::AppExists => (StatusCode::CONFLICT, "app-exists"),
        Refusal::NoSuchApiKey(_) => (StatusCode::NOT_FOUND, "no-such-api-key"),
        Refusal::NoSuchDataRequest => (StatusCode::NOT_FOUND, "no-such-request"),
        Refusal::NoSuchFriendGroup => (StatusCode::NOT_FOUND, "no-such-friend-group"),
        Refusal::FriendGroupExists => (StatusCode::CONFLICT, "friend-group-exists"),
        Refusal::NoSuchWebhook => (StatusCode::NOT_FOUND, "no-such-webhook"),
        Refusal::WebhooksFull => (StatusCode::CONFLICT, "webhooks-full"),
        Refusal::DataRequestClosed => (StatusCode::CONFLICT, "request-closed"),
        Refusal::DataRequestExtended => (StatusCode::CONFLICT, "request-extended"),
        Refusal::NoSuchSecret(_) => (StatusCode::NOT_FOUND, "no-such-secret"),
        Refusal::SecretNumberTaken { .. } => (StatusCode::CONFLICT, "secret-number-taken"),
        Refusal::LastSecret => (StatusCode::CONFLICT, "last-secret"),
        Refusal::SeatsTaken => (StatusCode::FORBIDDEN, "seats-taken"),
        Refusal::NotRegistered => (StatusCode::NOT_FOUND, "not-registered"),
        Refusal::Deactivated => (StatusCode::GONE, "deactivated"),
        Refusal::ReactivationTooEarly { .. } => (StatusCode::CONFLICT, "reactivation-too-early"),
        Refusal::ErasureWaits => (StatusCode::CONFLICT, "erasure-waits"),
        Refusal::NoSuchErasure => (StatusCode::NOT_FOUND, "no-such-erasure"),
        Refusal::ErasureBegun => (StatusCode::CONFLICT, "erasure-begun"),
        Refusal::ListFull(_) => (StatusCode::CONFLICT, "list-full"),
        Refusal::BanEndsTooEarly => (StatusCode::UNPROCESSABLE_ENTITY, "ban-ends-too-early"),
        Refusal::BanChanged => (StatusCode::CONFLICT, "ban-changed"),
        Refusal::NoSuchOperation => (StatusCode::NOT_FOUND, "no-such-operation"),
        Refusal::ImportMovedOn => (StatusCode::CONFLICT, "import-moved-on"),
        Refusal::OperationRuns => (StatusCode::CONFLICT, "operation-runs"),
        Refusal::OperationHasNoUndo => (StatusCode::CONFLICT, "operation-has-no-undo"),
        Refusal::BanRuns => (StatusCode::CONFLICT, "ban-runs"),
        Refusal::Changed => (StatusCode::PRECONDITION_FAILED, "changed"),
        Refusal::NoSuchToken => (StatusCode::NOT_FOUND, "no-such-token"),
        Refusal::RevocationsFull => (StatusCode::CONFLICT, "revocations-full"),
        Refusal::OwnTarget => (StatusCode::UNPROCESSABLE_ENTITY, "own-target"),
        Refusal::AlreadyFriends => (StatusCode::CONFLICT, "already-friends"),
        Refusal::NotFriends => (StatusCode::CONFLICT, "not-friends"),
        Refusal::NoSuchFriendRequest => (StatusCode::NOT_FOUND, "no-such-friend-request"),
        Refusal::FriendRequestEnded => (StatusCode::CONFLICT, "friend-request-ended"),
        Refusal::OtherSideOfRequest => (StatusCode::FORBIDDEN, "other-side-of-request"),
        Refusal::TargetRefusesAll => (StatusCode::FORBIDDEN, "target-refuses-all"),
        Refusal::TargetBlocks => (StatusCode::FORBIDDEN, "target-blocks"),
        Refusal::BlocksTarget => (StatusCode::FORBIDDEN, "blocks-target"),
        Refusal::TargetDoesNotAllow => (StatusCode::FORBIDDEN, "target-does-not-allow"),
        Refusal::DoesNotAllowTarget => (StatusCode::FORBIDDEN, "does-not-allow-target"),
        Refusal::FriendsFull => (StatusCode::CONFLICT, "friends-full"),
        Refusal::TargetFriendsFull => (StatusCode::CONFLICT, "target-friends-full"),
        Refusal::SentRequestsFull => (StatusCode::CONFLICT, "sent-requests-full"),
        Refusal::ReceivedRequestsFull => (StatusCode::CONFLICT, "received-requests-full"),
        Refusal::UndeclaredField(_) => (StatusCode::UNPROCESSABLE_ENTITY, "undeclared-field"),
    }
}

/// The text for the caller. What only the operator may know is in the log instead.
fn detail(problem: &Problem) -> Cow<'static, str> {
    match problem {
        Problem::NoSuchEndpoint => "there is no such endpoint".into(),
        Problem::Method(allowed) => format!("this endpoint takes {allowed}").into(),
        Problem::Unread(Unread::TooLarge) => format!("the body is longer than {} bytes", exchange::BODY_MAX).into(),
        Problem::Unread(Unread::Stalled) => "the body did not arrive in time".into(),
        Problem::Unread(Unread::Broken) => "the body broke off".into(),
        Problem::Unread(Unread::NoSpace) => "the service is busy with other calls; try again".into(),
        Problem::Unauthenticated => "send Authorization: Bearer <API key>, or <app key>:<app secret>".into(),
        Problem::Slowed(_) => "too many wrong credentials came from this address; wait a moment".into(),
        Problem::TooOften(reached) => {
            format!("the app lets this endpoint be called {} times in a second; wait a moment", reached.quota).into()
        }
        Problem::Scope(scope) => format!("this needs an API key with the scope `{}`", scope.as_str()).into(),
        Problem::NoSuchEvent => "the app has no event at this position".into(),
        Problem::NoSuchFriend => "the two users are not friends".into(),
        Problem::NoPath => "no path of at most four friendships leads from the one user to the other".into(),
        Problem::SearchTooWide => {
            "the friends of the two users have more friends than one search looks at, and no path was found among them".into()
        }
        Problem::NotBanned => "the user has no ban that runs or is to begin".into(),
        Problem::NotMuted => "the user is not muted".into(),
        Problem::NoSuchReadModel => "there is no such read model".into(),
        Problem::RebuildByCommand => {
            "the read models are on a server: run `rollcall rebuild NAME` while the nodes serve, from a data directory of its own"
                .into()
        }
        Problem::RebuildRuns => "another read model is being built anew; one at a time is".into(),
        Problem::NotParked => "the stream is not parked".into(),
        Problem::NoSuchApp => "there is no such app that this API key is of".into(),
        Problem::ToldBefore => {
            "an earlier call with this Idempotency-Key made it and was told it, which is done only once; list what there \
             is, retire it and make another one"
                .into()
        }
        Problem::MalformedKey => "an Idempotency-Key is 1 to 255 characters of ASCII".into(),
        Problem::Invalid(_, invalid) => invalid.to_string().into(),
        Problem::UploadTooLarge => {
            format!("the body is longer than {UPLOAD_MAX} bytes; send the records in several imports").into()
        }
        Problem::Upload(reason) => format!("{reason}; what came before is done").into(),
        Problem::Json(reason) => format!("the body is not the JSON it should be: {reason}").into(),
        Problem::Engine(engine::Error::Ambiguous(_)) => {
            "it is not known whether this was recorded; repeat it with the same Idempotency-Key, which settles it"
                .into()
        }
        Problem::Engine(engine::Error::Unavailable(_)) => "the service cannot answer at the moment; try again".into(),
        Problem::Engine(engine::Error::LogBroken(_)) => engine::Error::LOG_BROKEN.into(),
        Problem::Engine(engine::Error::Defect(_)) | Problem::Unwritable => "internal error".into(),
        Problem::Engine(error) => error.to_string().into(),
        Problem::Search(error) => error.to_string().into(),
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

/// Why one part of a call did not succeed, as a problem of its own would say it.
#[derive(Serialize, ToSchema)]
pub(super) struct Described {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
}

impl Described {
    /// Describes a problem.
    pub(super) fn of(problem: &Problem) -> Self {
        let (status, name) = kind(problem);
        Self {
            r#type: format!("urn:rollcall:problem:{name}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail(problem).into_owned(),
        }
    }

    /// Its HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deactivated_user_is_gone_and_an_unknown_one_is_not_found() {
        assert_eq!(kind(&Refusal::Deactivated.into()), (StatusCode::GONE, "deactivated"));
        assert_eq!(kind(&Refusal::NotRegistered.into()), (StatusCode::NOT_FOUND, "not-registered"));
    }

    #[test]
    fn what_is_unavailable_is_not_told_to_the_caller() {
        let problem = Problem::Engine(engine::Error::Unavailable("disk /dev/sda1 is full".into()));
        assert!(!detail(&problem).contains("sda1"));
    }
}
