//! Why calls do not succeed: the one table from the errors of the REST face to problem details (RFC 9457).

use std::borrow::Cow;

use actix_web::http::StatusCode;
use rollcall_schemas::UnknownWord;
use rollcall_schemas::plain::ApiScope;
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use super::answer::Answer;
use crate::audit::erasure::drill;
use crate::domain::Refusal;
use crate::domain::values::Invalid;
use crate::engine;
use crate::engine::search::Unsearchable;
use crate::http::exchange::{self, Unread};
use crate::http::failures::Slowed;
use crate::http::rates::Reached;
use crate::http::upload::UPLOAD_MAX;

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
    /// An access token has no such scope.
    UnknownScope(UnknownWord),
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
    /// The user has no remark about the other one.
    NoRemark,
    /// The user has no quiet hours.
    NoQuietHours,
    /// There is no such read model.
    NoSuchReadModel,
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
pub(super) fn kind(problem: &Problem) -> (StatusCode, &'static str) {
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
        Problem::UnknownScope(_) => (StatusCode::BAD_REQUEST, "unknown-scope"),
        Problem::NoSuchEvent => (StatusCode::NOT_FOUND, "no-such-event"),
        Problem::NoSuchFriend => (StatusCode::NOT_FOUND, "no-such-friend"),
        Problem::NoPath => (StatusCode::NOT_FOUND, "no-path"),
        Problem::SearchTooWide => (StatusCode::UNPROCESSABLE_ENTITY, "search-too-wide"),
        Problem::NotBanned => (StatusCode::NOT_FOUND, "not-banned"),
        Problem::NoRemark => (StatusCode::NOT_FOUND, "no-remark"),
        Problem::NoQuietHours => (StatusCode::NOT_FOUND, "no-quiet-hours"),
        Problem::NotMuted => (StatusCode::NOT_FOUND, "not-muted"),
        Problem::NoSuchReadModel => (StatusCode::NOT_FOUND, "no-such-read-model"),
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
        Refusal::AlreadyBanned => (StatusCode::CONFLICT, "already-banned"),
        Refusal::AlreadyMuted => (StatusCode::CONFLICT, "already-muted"),
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
pub(super) fn detail(problem: &Problem) -> Cow<'static, str> {
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
        Problem::UnknownScope(known) => format!("each scope of an access token is {known}").into(),
        Problem::NoSuchEvent => "the app has no event at this position".into(),
        Problem::NoSuchFriend => "the two users are not friends".into(),
        Problem::NoPath => "no path of at most four friendships leads from the one user to the other".into(),
        Problem::SearchTooWide => {
            "the friends of the two users have more friends than one search looks at, and no path was found among them".into()
        }
        Problem::NotBanned => "the user has no ban that runs or is to begin".into(),
        Problem::NoRemark => "the user has no remark about that one".into(),
        Problem::NoQuietHours => "no pushes to the user are held back".into(),
        Problem::NotMuted => "the user is not muted".into(),
        Problem::NoSuchReadModel => "there is no such read model".into(),
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
