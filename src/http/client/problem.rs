//! Answers of the client face, and the one table from its errors to problem details (RFC 9457) with the platform's numbers.

use std::borrow::Cow;
use std::io;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use rollcall_schemas::plain::TokenScope;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::domain::values::{self, Invalid};
use crate::domain::{ListKind, Refusal};
use crate::engine;
use crate::engine::standing::TokenRefusal;
use crate::engine::tokens::Unadmitted;
use crate::http::exchange::{self, Unread};
use crate::http::failures::Slowed;
use crate::http::served::Cause;
use crate::live::store::OWN_MAX;

static POSITION: HeaderName = HeaderName::from_static("rollcall-position");

/// A successful answer.
pub(super) struct Answer {
    status: StatusCode,
    /// JSON; empty: there is nothing to tell.
    pub(super) body: Bytes,
    position: Option<u64>,
    /// A body that is no JSON, sent while it is made.
    chunks: Option<(&'static str, mpsc::Receiver<io::Result<Bytes>>)>,
}

impl Answer {
    /// The answer of a query.
    ///
    /// # Errors
    /// The body has no JSON form.
    pub(super) fn query(body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|_| Problem::Unwritable)?.into();
        Ok(Self { status: StatusCode::OK, body, position: None, chunks: None })
    }

    /// The answer of a command whose events the log holds at `position`; one that was kept from an earlier call has none.
    ///
    /// # Errors
    /// The body has no JSON form.
    pub(super) fn command(status: StatusCode, body: &impl Serialize, position: u64) -> Result<Self, Problem> {
        Ok(Self { status, position: Some(position).filter(|position| *position > 0), ..Self::query(body)? })
    }

    /// The answer of a command that has nothing to tell.
    pub(super) fn done(position: u64) -> Self {
        let position = Some(position).filter(|position| *position > 0);
        Self { status: StatusCode::NO_CONTENT, body: Bytes::new(), position, chunks: None }
    }

    /// An answer that is sent while it is made.
    pub(super) fn stream(content_type: &'static str, chunks: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { status: StatusCode::OK, chunks: Some((content_type, chunks)), ..Self::done(0) }
    }
}

/// What a call is about: the platform numbers the same refusal differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// Profiles, one's own too.
    Profiles,
    /// Friends and their requests.
    Friends,
    /// Everything else.
    Others,
}

impl Topic {
    /// The topic of a method.
    pub(super) fn of(method: &str) -> Self {
        match method.split('.').next() {
            Some("me" | "users") => Self::Profiles,
            Some("friends" | "friend_requests" | "friend_groups") => Self::Friends,
            _ => Self::Others,
        }
    }
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no such path or method.
    NoSuchMethod,
    /// The path takes these HTTP methods only.
    Method(String),
    /// It has to be a WebSocket.
    NoSocket,
    /// No more sockets for now.
    NoPlace,
    /// The body could not be read.
    Unread(Unread),
    /// No access token was shown.
    NoToken,
    /// The access token is refused.
    Token(TokenRefusal),
    /// The access token has scopes, and not this one.
    Scope(TokenScope),
    /// The parameters are not those of the method; what is wrong.
    Params(String),
    /// The idempotency key is not one.
    MalformedKey,
    /// A parameter is missing or wrong, and the platform's number for it, where it has one.
    Invalid(Invalid, Option<u16>),
    /// There is no such user, or none that may be seen.
    NoSuchUser,
    /// The app does not let its users do it.
    NotAllowed,
    /// The user follows as many as it may.
    SubscriptionsFull,
    /// Too many wrong access tokens came from the caller's address.
    Slowed(Slowed),
    /// Too many requests.
    TooOften,
    /// The engine refused or could not.
    Engine(engine::Error),
    /// The answer could not be written.
    Unwritable,
}

impl Problem {
    /// Its status.
    pub(super) fn status(&self, topic: Topic) -> u16 {
        kind(self, topic).0.as_u16()
    }

    /// Why the service could not do what it was asked, for whoever runs it.
    pub(super) fn cause(&self, topic: Topic) -> Option<String> {
        match self {
            Self::Engine(error) if self.status(topic) >= 500 => Some(error.to_string()),
            Self::Unwritable => Some("the answer cannot be written".into()),
            _ => None,
        }
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Unadmitted> for Problem {
    fn from(error: Unadmitted) -> Self {
        match error {
            Unadmitted::Refused(refusal) => Self::Token(refusal),
            Unadmitted::Unavailable(error) => Self::Engine(error),
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid, None)
    }
}

impl From<rollcall_projections::store::Error> for Problem {
    fn from(error: rollcall_projections::store::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// Status, stable type and the platform's number of each error.
fn kind(problem: &Problem, topic: Topic) -> (StatusCode, &'static str, Option<u16>) {
    match problem {
        Problem::NoSuchMethod => (StatusCode::NOT_FOUND, "no-such-endpoint", None),
        Problem::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", None),
        Problem::NoSocket => (StatusCode::UPGRADE_REQUIRED, "websocket-required", None),
        Problem::NoPlace => (StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", Some(31_024)),
        Problem::Unread(Unread::TooLarge) => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", None),
        Problem::Unread(Unread::Stalled) => (StatusCode::REQUEST_TIMEOUT, "body-stalled", None),
        Problem::Unread(Unread::Broken) => (StatusCode::BAD_REQUEST, "body-broken", None),
        Problem::Unread(Unread::NoSpace) => (StatusCode::SERVICE_UNAVAILABLE, "busy", None),
        Problem::NoToken => (StatusCode::UNAUTHORIZED, "unauthenticated", Some(TokenRefusal::NotValid.number())),
        Problem::Token(refusal) => kind_of_token(*refusal),
        Problem::Scope(_) => (StatusCode::FORBIDDEN, "scope-missing", None),
        Problem::Params(_) => (StatusCode::BAD_REQUEST, "malformed-json", Some(33_003)),
        Problem::MalformedKey => (StatusCode::BAD_REQUEST, "malformed-idempotency-key", Some(33_003)),
        Problem::Invalid(invalid, number) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-value", number.or(Some(number_of_invalid(invalid, topic))))
        }
        Problem::NoSuchUser => (StatusCode::NOT_FOUND, "not-registered", Some(unknown_user(topic))),
        Problem::NotAllowed => (StatusCode::FORBIDDEN, "not-allowed", None),
        Problem::SubscriptionsFull => (StatusCode::CONFLICT, "subscriptions-full", Some(26_022)),
        Problem::Slowed(_) => (StatusCode::TOO_MANY_REQUESTS, "authentication-slowed", Some(20_607)),
        Problem::TooOften => {
            let number = if topic == Topic::Friends { 25_416 } else { 20_607 };
            (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", Some(number))
        }
        Problem::Engine(error) => match error {
            engine::Error::Refused(refusal) => kind_of_refusal(refusal, topic),
            engine::Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", None),
            engine::Error::Behind => (StatusCode::SERVICE_UNAVAILABLE, "behind", None),
            engine::Error::Ambiguous(_) => (StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown", None),
            engine::Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", None),
            engine::Error::LogBroken(_) => (StatusCode::SERVICE_UNAVAILABLE, "log-broken", None),
            engine::Error::Braked { .. } => (StatusCode::TOO_MANY_REQUESTS, "erasures-braked", None),
            engine::Error::KeyInUse => (StatusCode::CONFLICT, "idempotency-key-in-use", None),
            engine::Error::Defect(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", None),
            engine::Error::KeyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-mismatch", None),
        },
        Problem::Unwritable => (StatusCode::INTERNAL_SERVER_ERROR, "internal", None),
    }
}

fn kind_of_token(refusal: TokenRefusal) -> (StatusCode, &'static str, Option<u16>) {
    let (status, name) = match refusal {
        TokenRefusal::NotValid => (StatusCode::UNAUTHORIZED, "token-not-valid"),
        TokenRefusal::Expired => (StatusCode::UNAUTHORIZED, "token-expired"),
        TokenRefusal::Banned { .. } => (StatusCode::FORBIDDEN, "banned"),
        TokenRefusal::Deactivated => (StatusCode::FORBIDDEN, "deactivated"),
    };
    (status, name, Some(refusal.number()))
}

fn number_of_invalid(invalid: &Invalid, topic: Topic) -> u16 {
    match (&invalid.problem, topic) {
        (values::Problem::TooLong { .. }, Topic::Profiles) => 24_364,
        (values::Problem::TooLong { .. }, Topic::Friends) => 25_406,
        (values::Problem::TooMany { .. }, _) => 34_215,
        _ => 33_003,
    }
}

fn unknown_user(topic: Topic) -> u16 {
    match topic {
        Topic::Friends => 25_472,
        Topic::Profiles | Topic::Others => 24_366,
    }
}

fn kind_of_refusal(refusal: &Refusal, topic: Topic) -> (StatusCode, &'static str, Option<u16>) {
    match refusal {
        Refusal::NotRegistered => (StatusCode::NOT_FOUND, "not-registered", Some(unknown_user(topic))),
        Refusal::Deactivated => (StatusCode::GONE, "deactivated", Some(unknown_user(topic))),
        Refusal::ListFull(ListKind::Blocklist | ListKind::Allowlist | ListKind::Remarks) => {
            (StatusCode::CONFLICT, "list-full", Some(1_005))
        }
        Refusal::OwnTarget => {
            let number = if topic == Topic::Friends { 25_473 } else { 33_003 };
            (StatusCode::UNPROCESSABLE_ENTITY, "own-target", Some(number))
        }
        Refusal::AlreadyFriends => (StatusCode::CONFLICT, "already-friends", Some(25_460)),
        Refusal::TargetBlocks => (StatusCode::FORBIDDEN, "target-blocks", Some(25_462)),
        Refusal::TargetDoesNotAllow => (StatusCode::FORBIDDEN, "target-does-not-allow", Some(25_463)),
        Refusal::BlocksTarget => (StatusCode::FORBIDDEN, "blocks-target", Some(25_464)),
        Refusal::DoesNotAllowTarget => (StatusCode::FORBIDDEN, "does-not-allow-target", Some(25_465)),
        Refusal::FriendsFull => (StatusCode::CONFLICT, "friends-full", Some(25_467)),
        Refusal::TargetFriendsFull => (StatusCode::CONFLICT, "target-friends-full", Some(25_468)),
        // The platform has no number for these.
        Refusal::SentRequestsFull => (StatusCode::CONFLICT, "sent-requests-full", Some(1_005)),
        Refusal::ReceivedRequestsFull => (StatusCode::CONFLICT, "received-requests-full", Some(1_005)),
        Refusal::NotFriends => (StatusCode::CONFLICT, "not-friends", Some(25_469)),
        Refusal::TargetRefusesAll => (StatusCode::FORBIDDEN, "target-refuses-all", Some(25_471)),
        Refusal::UndeclaredField(_) => {
            let number = if topic == Topic::Friends { 25_470 } else { 24_362 };
            (StatusCode::UNPROCESSABLE_ENTITY, "undeclared-field", Some(number))
        }
        Refusal::NoSuchFriendRequest => (StatusCode::NOT_FOUND, "no-such-friend-request", Some(25_466)),
        Refusal::FriendRequestEnded => (StatusCode::CONFLICT, "friend-request-ended", Some(25_466)),
        Refusal::OtherSideOfRequest => (StatusCode::FORBIDDEN, "other-side-of-request", Some(25_466)),
        Refusal::NoSuchFriendGroup => (StatusCode::NOT_FOUND, "no-such-friend-group", None),
        Refusal::ErasureWaits => (StatusCode::CONFLICT, "erasure-waits", None),
        // No method of a client leads to these.
        Refusal::NoSuchApp
        | Refusal::AppExists
        | Refusal::NoSuchSecret(_)
        | Refusal::NoSuchApiKey(_)
        | Refusal::NoSuchDataRequest
        | Refusal::Changed
        | Refusal::NoSuchToken
        | Refusal::RevocationsFull
        | Refusal::DataRequestClosed
        | Refusal::DataRequestExtended
        | Refusal::SecretNumberTaken { .. }
        | Refusal::LastSecret
        | Refusal::SeatsTaken
        | Refusal::BanEndsTooEarly
        | Refusal::BanRuns
        | Refusal::AlreadyBanned
        | Refusal::AlreadyMuted
        | Refusal::BanChanged
        | Refusal::NoSuchOperation
        | Refusal::ImportMovedOn
        | Refusal::OperationRuns
        | Refusal::OperationHasNoUndo
        | Refusal::ReactivationTooEarly { .. }
        | Refusal::NoSuchErasure
        | Refusal::FriendGroupExists
        | Refusal::NoSuchWebhook
        | Refusal::WebhooksFull
        | Refusal::ErasureBegun => (StatusCode::CONFLICT, "refused", None),
    }
}

/// The text for the caller. What only the operator may know is in the log instead.
fn detail(problem: &Problem) -> Cow<'_, str> {
    match problem {
        Problem::NoSuchMethod => "there is no such method".into(),
        Problem::Method(allowed) => format!("this endpoint takes {allowed}").into(),
        Problem::NoSocket => "this endpoint takes WebSockets only".into(),
        Problem::NoPlace => "too many clients are connected; try another node, or this one later".into(),
        Problem::Unread(Unread::TooLarge) => format!("the body is longer than {} bytes", exchange::BODY_MAX).into(),
        Problem::Unread(Unread::Stalled) => "the body did not arrive in time".into(),
        Problem::Unread(Unread::Broken) => "the body broke off".into(),
        Problem::Unread(Unread::NoSpace) => "the service is busy with other calls; try again".into(),
        Problem::NoToken => "send Authorization: Bearer <access token>".into(),
        Problem::Token(refusal) => refusal.to_string().into(),
        Problem::Scope(scope) => format!("this needs an access token with the scope `{scope}`").into(),
        Problem::Params(wrong) => format!("the parameters are not those of the method: {wrong}").into(),
        Problem::MalformedKey => "an Idempotency-Key is 1 to 255 characters of ASCII".into(),
        Problem::Invalid(invalid, _) => match &invalid.key {
            Some(key) => format!("{invalid} (at {key})").into(),
            None => invalid.to_string().into(),
        },
        Problem::NoSuchUser => "the user does not exist".into(),
        Problem::NotAllowed => "the app does not let its users do this".into(),
        Problem::SubscriptionsFull => format!("a user may have at most {OWN_MAX} subscriptions").into(),
        Problem::Slowed(_) => "too many wrong access tokens came from this address; wait a moment".into(),
        Problem::TooOften => "too many requests; wait a moment".into(),
        Problem::Engine(engine::Error::Ambiguous(_)) => {
            "it is not known whether this was recorded; to repeat it is harmless".into()
        }
        Problem::Engine(engine::Error::Unavailable(_)) => "the service cannot answer at the moment; try again".into(),
        Problem::Engine(engine::Error::LogBroken(_)) => engine::Error::LOG_BROKEN.into(),
        Problem::Engine(engine::Error::Defect(_)) | Problem::Unwritable => "internal error".into(),
        Problem::Engine(error) => error.to_string().into(),
    }
}

/// Problem details.
#[derive(Serialize)]
pub(super) struct Details {
    r#type: String,
    title: &'static str,
    pub(super) status: u16,
    pub(super) detail: String,
    /// The platform's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<u16>,
    /// Keys of a profile that the problem is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    error_keys: Vec<String>,
}

/// What a caller is told of a problem.
pub(super) fn details(problem: &Problem, topic: Topic) -> Details {
    let (status, name, code) = kind(problem, topic);
    tracing::debug!(name, "a call was refused");
    let key = match problem {
        Problem::Invalid(Invalid { key: Some(key), .. }, _)
        | Problem::Engine(engine::Error::Refused(Refusal::UndeclaredField(key))) => Some(key.clone()),
        _ => None,
    };
    Details {
        r#type: format!("urn:rollcall:problem:{name}"),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: detail(problem).into_owned(),
        code,
        error_keys: key.into_iter().collect(),
    }
}

/// The HTTP response.
pub(super) fn respond(request: &HttpRequest, topic: Topic, outcome: Result<Answer, Problem>) -> HttpResponse {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(problem) => return failed(topic, &problem),
    };
    let mut response = HttpResponse::build(answer.status);
    // Answers carry personal data.
    response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    // A browser must not guess another type than the one that is sent.
    response.insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
    if let Some(position) = answer.position {
        response.insert_header((POSITION.clone(), BASE64_URL_SAFE_NO_PAD.encode(position.to_be_bytes())));
    }
    if let Some((content_type, mut chunks)) = answer.chunks {
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static(content_type)));
        return response.streaming(futures_util::stream::poll_fn(move |context| chunks.poll_recv(context)));
    }
    if answer.status != StatusCode::NO_CONTENT {
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    }
    let body = exchange::compressed(&mut response, request, answer.body);
    response.body(body)
}

fn failed(topic: Topic, problem: &Problem) -> HttpResponse {
    let details = details(problem, topic);
    let status = StatusCode::from_u16(details.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
    response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    if let Problem::Method(allowed) = problem {
        response.insert_header((ALLOW, allowed.as_str()));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    }
    if let Problem::Scope(scope) = problem {
        // RFC 6750, section 3.1.
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        response.insert_header((WWW_AUTHENTICATE, challenge));
    }
    if let Problem::Slowed(slowed) = problem {
        response.insert_header((RETRY_AFTER, HeaderValue::from(slowed.seconds)));
    } else if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        response.insert_header((RETRY_AFTER, HeaderValue::from_static("1")));
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        response.insert_header(("upgrade", "websocket"));
    }
    let mut response = response.body(serde_json::to_vec(&details).unwrap_or_default());
    Cause::note(problem.cause(topic), &mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_the_number_the_platform_gives_it() {
        for (refusal, number) in [
            (Refusal::AlreadyFriends, 25_460),
            (Refusal::TargetBlocks, 25_462),
            (Refusal::TargetDoesNotAllow, 25_463),
            (Refusal::BlocksTarget, 25_464),
            (Refusal::DoesNotAllowTarget, 25_465),
            (Refusal::FriendsFull, 25_467),
            (Refusal::TargetFriendsFull, 25_468),
            (Refusal::SentRequestsFull, 1_005),
            (Refusal::ReceivedRequestsFull, 1_005),
            (Refusal::NotFriends, 25_469),
            (Refusal::TargetRefusesAll, 25_471),
            (Refusal::NotRegistered, 25_472),
            (Refusal::OwnTarget, 25_473),
        ] {
            assert_eq!(kind_of_refusal(&refusal, Topic::of("friends.add")).2, Some(number), "{refusal:?}");
        }
        assert_eq!(kind_of_refusal(&Refusal::NotRegistered, Topic::of("users.get")).2, Some(24_366));
        let undeclared = Refusal::UndeclaredField("ext_a".into());
        assert_eq!(kind_of_refusal(&undeclared, Topic::of("me.update")).2, Some(24_362));
    }

    #[test]
    fn what_is_unavailable_is_not_told_to_the_caller() {
        let problem = Problem::Engine(engine::Error::Unavailable("disk /dev/sda1 is full".into()));
        assert!(!details(&problem, Topic::Others).detail.contains("sda1"));
    }
}
