//! What an endpoint of the face is.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use rollcall_schemas::plain::ApiScope;
use utoipa::ToSchema;

use super::problem::{Answer, Problem};
use super::{Call, events};
use crate::engine;
use crate::http::shape::Named;
use crate::http::{exchange, upload};

/// One endpoint.
pub(super) struct Endpoint {
    /// `GET`, `PUT`, `PATCH`, `POST` or `DELETE`; who may `GET` may `HEAD`.
    pub(super) method: &'static str,
    /// Below `/api/v1/`; a parameter stands in braces.
    pub(super) path: &'static str,
    /// Its name.
    pub(super) operation: &'static str,
    /// What a caller needs.
    pub(super) scope: ApiScope,
    /// What it is for.
    pub(super) summary: &'static str,
    /// Parameters of the query.
    pub(super) query: &'static [&'static str],
    /// Shape of the request's body, last in the list; none where it takes no body.
    pub(super) takes: fn() -> Named,
    /// Shape of the answer, last in the list; none where it is no JSON.
    pub(super) answers: fn() -> Named,
    /// Answers it.
    pub(super) handler: for<'c> fn(&'c Call<'c>) -> LocalBoxFuture<'c, Result<Answer, Problem>>,
}

impl Endpoint {
    /// Whether the log may have to be read from its beginning to answer it.
    pub(super) fn replays(&self) -> bool {
        const REPLAYS: &[&str] = &[
            "getHistory",
            "getUserAsOf",
            "getFriendsAsOf",
            "diffUser",
            "exportUser",
            "listBansAsOf",
            "explainCommand",
            "getEstate",
        ];
        REPLAYS.contains(&self.operation)
    }

    /// Whether its answer has an `ETag`: then who asks may send `If-None-Match`, and who changes it `If-Match`.
    pub(super) fn is_versioned(&self) -> bool {
        const VERSIONED: &[&str] = &["users/{id}", "users/{id}/profile", "app"];
        VERSIONED.contains(&self.path) && matches!(self.method, "GET" | "PATCH")
    }

    /// Whether it reads its body while that arrives.
    pub(super) fn uploads(&self) -> bool {
        self.operation == "importRecords"
    }

    /// Whether its answer tells a token, a key or another secret.
    pub(super) fn tells_secret(&self) -> bool {
        const TELL_SECRETS: &[&str] = &[
            "registerUser",
            "registerUsers",
            "issueToken",
            "addApiKey",
            "addSecret",
            "registerWebhook",
            "rotateWebhookSecret",
            "requestErasure",
        ];
        TELL_SECRETS.contains(&self.operation)
    }

    /// Whether its answer may take long by its nature: then it is not called slow.
    pub(super) fn may_wait(&self) -> bool {
        self.replays() || self.operation == "listEvents"
    }

    /// How long its answer may take, where others may take `usual`.
    pub(super) fn answer_max(&self, usual: Duration) -> Duration {
        match self.operation {
            "listEvents" => usual + events::WAIT_MAX,
            _ if self.uploads() => upload::ANSWER_MAX,
            _ if self.replays() => exchange::REPLAY_MAX,
            _ => usual,
        }
    }

    /// What a caller is told who was not answered in time. Whoever only asks need not hear of what was recorded.
    pub(super) fn late(&self, late: engine::Error) -> Problem {
        if self.method == "GET" { Problem::unavailable(&late) } else { late.into() }
    }
}

/// An object whose members the documentation of the replay tells.
#[derive(ToSchema)]
pub(super) struct Untyped {}
