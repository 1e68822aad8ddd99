//! The one table from errors to the platform's codes, for both versions of its Server API.

use std::borrow::Cow;

use actix_web::http::StatusCode;

use crate::domain::Refusal;
use crate::domain::values::{Invalid, Problem};
use crate::engine;
use crate::http::exchange::{self, Unread};
use crate::http::failures::Slowed;
use crate::http::rates::Reached;
use crate::live::store::OWN_MAX;

/// Why a call did not succeed.
#[derive(Debug)]
pub(in crate::http) enum Fault {
    /// There is no such path.
    NoSuchEndpoint,
    /// The path takes POST only.
    NotPost,
    /// The body could not be read.
    Unread(Unread),
    /// The signature is missing or wrong.
    Unauthenticated,
    /// Too many wrong signatures came from the caller's address.
    Slowed(Slowed),
    /// The app's endpoint is called too often.
    TooOften(Reached),
    /// Only development apps may do this.
    DevelopmentOnly,
    /// The user follows as many as it may.
    SubscriptionsFull,
    /// A parameter is missing or wrong.
    Invalid(Invalid),
    /// The engine refused or could not.
    Engine(engine::Error),
    /// The answer could not be written.
    Unwritable(serde_json::Error),
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<engine::Error> for Fault {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Engine(engine::Error::Refused(refusal))
    }
}

impl From<rollcall_projections::store::Error> for Fault {
    fn from(error: rollcall_projections::store::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// Endpoints that number the same error differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Family {
    /// Those of friends.
    Friends,
    /// Those of hosted profiles.
    Profiles,
    /// Those of subscriptions.
    Subscriptions,
    /// All others.
    Others,
}

impl Family {
    /// Of a path of either version.
    pub(in crate::http) fn of(path: &str) -> Self {
        let path = path.strip_prefix("/v4").unwrap_or(path);
        if path.starts_with("/friend/") {
            Self::Friends
        } else if path.starts_with("/user/profile/") {
            Self::Profiles
        } else if path.starts_with("/user/subscribe/") {
            Self::Subscriptions
        } else {
            Self::Others
        }
    }
}

/// HTTP status and `code` of each error.
pub(in crate::http) fn codes(fault: &Fault, family: Family) -> (StatusCode, u16) {
    match fault {
        Fault::NoSuchEndpoint => (StatusCode::NOT_FOUND, 404),
        Fault::NotPost => (StatusCode::METHOD_NOT_ALLOWED, 405),
        Fault::Unread(Unread::TooLarge) => (StatusCode::PAYLOAD_TOO_LARGE, 1005),
        Fault::Unread(Unread::Stalled) => (StatusCode::REQUEST_TIMEOUT, 408),
        Fault::Unread(Unread::Broken) => (StatusCode::BAD_REQUEST, 1002),
        Fault::Unread(Unread::NoSpace) => (StatusCode::SERVICE_UNAVAILABLE, 1050),
        Fault::Unauthenticated => (StatusCode::UNAUTHORIZED, 1004),
        Fault::Slowed(_) | Fault::TooOften(_) => (StatusCode::TOO_MANY_REQUESTS, 1008),
        Fault::DevelopmentOnly => (StatusCode::FORBIDDEN, 1009),
        Fault::SubscriptionsFull => (StatusCode::FORBIDDEN, 26_022),
        Fault::Invalid(_) if family == Family::Subscriptions => (StatusCode::BAD_REQUEST, 26_001),
        Fault::Invalid(invalid) => (StatusCode::BAD_REQUEST, code_of_invalid(invalid)),
        Fault::Engine(error) => match error {
            engine::Error::Refused(refusal) => codes_of_refusal(refusal, family),
            engine::Error::Busy
            | engine::Error::Behind
            | engine::Error::Unavailable(_)
            | engine::Error::LogBroken(_)
            | engine::Error::Ambiguous(_) => (StatusCode::SERVICE_UNAVAILABLE, 1050),
            engine::Error::Braked { .. } => (StatusCode::TOO_MANY_REQUESTS, 1008),
            engine::Error::KeyInUse => (StatusCode::CONFLICT, 1000),
            engine::Error::KeyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, 1000),
            engine::Error::Defect(_) if family == Family::Subscriptions => (StatusCode::INTERNAL_SERVER_ERROR, 26_003),
            engine::Error::Defect(_) => (StatusCode::INTERNAL_SERVER_ERROR, 1000),
        },
        Fault::Unwritable(_) if family == Family::Subscriptions => (StatusCode::INTERNAL_SERVER_ERROR, 26_003),
        Fault::Unwritable(_) => (StatusCode::INTERNAL_SERVER_ERROR, 1000),
    }
}

fn code_of_invalid(invalid: &Invalid) -> u16 {
    if invalid.field == "minute" {
        return 1003;
    }
    match invalid.problem {
        Problem::TooLong { .. } | Problem::TooMany { .. } => 1005,
        Problem::Missing | Problem::OutOfRange { .. } | Problem::Malformed { .. } => 1002,
    }
}

fn codes_of_refusal(refusal: &Refusal, family: Family) -> (StatusCode, u16) {
    const REFUSED: StatusCode = StatusCode::BAD_REQUEST;
    match refusal {
        Refusal::NoSuchApp => (StatusCode::UNAUTHORIZED, 1004),
        Refusal::AppExists
        | Refusal::NoSuchApiKey(_)
        | Refusal::NoSuchSecret(_)
        | Refusal::SecretNumberTaken { .. }
        | Refusal::LastSecret => (REFUSED, 1000),
        Refusal::SeatsTaken => (StatusCode::FORBIDDEN, 2007),
        Refusal::NotRegistered if family == Family::Subscriptions => (REFUSED, 26_001),
        Refusal::NotRegistered => (REFUSED, 400),
        Refusal::Deactivated => (StatusCode::FORBIDDEN, 31029),
        Refusal::ReactivationTooEarly { .. } | Refusal::ErasureWaits => (StatusCode::FORBIDDEN, 1000),
        Refusal::NoSuchErasure
        | Refusal::ErasureBegun
        | Refusal::NoSuchDataRequest
        | Refusal::NoSuchFriendGroup
        | Refusal::FriendGroupExists
        | Refusal::NoSuchWebhook
        | Refusal::WebhooksFull
        | Refusal::DataRequestClosed
        | Refusal::Changed
        | Refusal::NoSuchToken
        | Refusal::RevocationsFull
        | Refusal::DataRequestExtended => (REFUSED, 1000),
        Refusal::ListFull(_) | Refusal::SentRequestsFull | Refusal::ReceivedRequestsFull => (REFUSED, 1005),
        Refusal::OwnTarget if family == Family::Friends => (REFUSED, 25473),
        Refusal::OwnTarget | Refusal::UndeclaredField(_) | Refusal::BanEndsTooEarly => (REFUSED, 1002),
        Refusal::BanRuns
        | Refusal::AlreadyBanned
        | Refusal::AlreadyMuted
        | Refusal::BanChanged
        | Refusal::NoSuchOperation
        | Refusal::ImportMovedOn
        | Refusal::OperationRuns
        | Refusal::OperationHasNoUndo => (REFUSED, 1000),
        Refusal::AlreadyFriends => (REFUSED, 25460),
        Refusal::TargetBlocks => (REFUSED, 25462),
        Refusal::TargetDoesNotAllow => (REFUSED, 25463),
        Refusal::BlocksTarget => (REFUSED, 25464),
        Refusal::DoesNotAllowTarget => (REFUSED, 25465),
        Refusal::NoSuchFriendRequest | Refusal::FriendRequestEnded | Refusal::OtherSideOfRequest => (REFUSED, 25466),
        Refusal::FriendsFull => (REFUSED, 25467),
        Refusal::TargetFriendsFull => (REFUSED, 25468),
        Refusal::NotFriends => (REFUSED, 25469),
        Refusal::TargetRefusesAll => (REFUSED, 25471),
    }
}

/// The text for the caller. What only the operator may know is in the log instead.
pub(in crate::http) fn text(fault: &Fault) -> Cow<'static, str> {
    match fault {
        Fault::NoSuchEndpoint => "there is no such endpoint".into(),
        Fault::NotPost => "this endpoint takes POST only".into(),
        Fault::Unread(Unread::TooLarge) => format!("the body is longer than {} bytes", exchange::BODY_MAX).into(),
        Fault::Unread(Unread::Stalled) => "the body did not arrive in time".into(),
        Fault::Unread(Unread::Broken) => "the body broke off".into(),
        Fault::Unread(Unread::NoSpace) => "the service is busy with other calls; try again".into(),
        Fault::Unauthenticated => {
            "the signature is wrong, or an app in strict mode got it too late or twice: Signature must be the SHA-1 of app \
             secret, Nonce and Timestamp"
                .into()
        }
        Fault::Slowed(_) => "too many wrong signatures came from this address; wait a moment".into(),
        Fault::TooOften(reached) => {
            format!("the app lets this endpoint be called {} times in a second; wait a moment", reached.quota).into()
        }
        Fault::DevelopmentOnly => "only development apps may use this endpoint".into(),
        Fault::SubscriptionsFull => format!("a user may have at most {OWN_MAX} subscriptions").into(),
        Fault::Invalid(invalid) => match &invalid.key {
            Some(key) => format!("{invalid} (at {key})").into(),
            None => invalid.to_string().into(),
        },
        Fault::Engine(engine::Error::Refused(refusal)) => refusal.to_string().into(),
        Fault::Engine(
            engine::Error::Busy | engine::Error::Behind | engine::Error::Unavailable(_) | engine::Error::Ambiguous(_),
        ) => "the service cannot answer at the moment; try again".into(),
        Fault::Engine(engine::Error::LogBroken(_)) => engine::Error::LOG_BROKEN.into(),
        Fault::Engine(error @ engine::Error::Braked { .. }) => error.to_string().into(),
        Fault::Engine(engine::Error::KeyInUse) => "the same call is still running".into(),
        Fault::Engine(engine::Error::KeyMismatch) => "the idempotency key was used for another call".into(),
        Fault::Engine(engine::Error::Defect(_)) | Fault::Unwritable(_) => "internal error".into(),
    }
}

/// The key of a hosted profile an error is about.
pub(in crate::http) fn profile_key(fault: &Fault, family: Family) -> Option<&str> {
    match fault {
        Fault::Invalid(Invalid { key: Some(key), .. })
        | Fault::Engine(engine::Error::Refused(Refusal::UndeclaredField(key)))
            if family == Family::Profiles =>
        {
            Some(key)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal, path: &str) -> (u16, u16) {
        let (status, code) = codes(&refusal.into(), Family::of(path));
        (status.as_u16(), code)
    }

    #[test]
    fn each_refusal_has_the_code_the_platform_gives_it() {
        for (refusal, expected) in [
            (Refusal::SeatsTaken, (403, 2007)),
            (Refusal::NotRegistered, (400, 400)),
            (Refusal::Deactivated, (403, 31029)),
            (Refusal::AlreadyFriends, (400, 25460)),
            (Refusal::TargetBlocks, (400, 25462)),
            (Refusal::TargetDoesNotAllow, (400, 25463)),
            (Refusal::BlocksTarget, (400, 25464)),
            (Refusal::DoesNotAllowTarget, (400, 25465)),
            (Refusal::FriendsFull, (400, 25467)),
            (Refusal::TargetFriendsFull, (400, 25468)),
            (Refusal::SentRequestsFull, (400, 1005)),
            (Refusal::ReceivedRequestsFull, (400, 1005)),
            (Refusal::NotFriends, (400, 25469)),
            (Refusal::TargetRefusesAll, (400, 25471)),
            (Refusal::OwnTarget, (400, 25473)),
        ] {
            assert_eq!(refused(refusal, "/friend/add.json"), expected);
        }
        assert_eq!(refused(Refusal::OwnTarget, "/user/blacklist/add.json"), (400, 1002));
    }

    #[test]
    fn a_wrong_minute_has_its_own_code_whatever_is_wrong_with_it() {
        let out_of_range = Problem::OutOfRange { min: 1, max: 43_200 };
        for invalid in
            [Invalid::missing("minute"), Invalid::malformed("minute", "x"), Invalid::new("minute", out_of_range)]
        {
            assert_eq!(codes(&invalid.into(), Family::Others), (StatusCode::BAD_REQUEST, 1003));
        }
    }

    #[test]
    fn too_long_and_too_many_differ_from_missing_and_malformed() {
        let code = |problem| code_of_invalid(&Invalid::new("userId", problem));
        assert_eq!(code(Problem::TooLong { max: 64, unit: "bytes" }), 1005);
        assert_eq!(code(Problem::TooMany { max: 20 }), 1005);
        assert_eq!(code(Problem::Missing), 1002);
        assert_eq!(code(Problem::Malformed { expected: "x" }), 1002);
        assert_eq!(code(Problem::OutOfRange { min: 1, max: 2 }), 1002);
    }

    #[test]
    fn an_undeclared_field_of_a_profile_is_named() {
        let fault = Fault::from(Refusal::UndeclaredField("ext_a".into()));
        assert_eq!(profile_key(&fault, Family::of("/user/profile/set.json")), Some("ext_a"));
        assert_eq!(profile_key(&fault, Family::of("/friend/profile/set.json")), None);
    }

    #[test]
    fn what_is_unavailable_is_not_told_to_the_caller() {
        let fault = Fault::Engine(engine::Error::Unavailable("disk /dev/sda1 is full".into()));
        assert!(!text(&fault).contains("sda1"));
    }
}
