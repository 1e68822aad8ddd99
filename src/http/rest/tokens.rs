//! Access tokens of users.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::user_directory;
use rollcall_schemas::ids::TokenId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::problem::{Answer, Problem};
use super::users::{opened, user_id};
use crate::domain::IssuedToken;
use crate::domain::token::{Invalidate, Issue};
use crate::domain::values::{self, Invalid};
use crate::engine::standing::TokenRefusal;
use crate::engine::tokens::{self, Unadmitted};

/// Longest lifetime that a call may ask for: ten years, in seconds.
const LIFETIME_MAX: u32 = 315_360_000;

/// How a token is issued.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    /// 1 to 315,360,000. The app's own lifetime of tokens counts where it is shorter.
    #[serde(default)]
    expires_in_seconds: Option<u32>,
}

/// A token, told only now.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    token: String,
    #[schema(value_type = String)]
    token_id: TokenId,
    /// Null: until it is invalidated.
    expires_at: Option<DateTime<Utc>>,
}

/// `POST /users/{id}/tokens`: issue another token to a registered user; those it has stay valid.
pub(super) async fn issue(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = user_id(call.parameter(0))?;
    let TokenBody { expires_in_seconds } = if call.body.is_empty() { TokenBody::default() } else { call.json()? };
    if expires_in_seconds.is_some_and(|seconds| !(1..=LIFETIME_MAX).contains(&seconds)) {
        let range = values::Problem::OutOfRange { min: 1, max: LIFETIME_MAX.into() };
        return Err(Problem::Invalid("#/expires_in_seconds", Invalid::new("expires_in_seconds", range)));
    }
    let done = call.engine.execute(&call.caller, Issue { who, expires_in_seconds }).await?;
    let IssuedToken { token: token_id, expires_at, .. } = done.reply.token;
    let token = call.engine.token_text(&call.app.id, &done.reply.token)?;
    Answer::command(StatusCode::CREATED, &Token { token, token_id, expires_at }, done.position)
}

/// `DELETE /users/{id}/tokens?issued_before=`: the tokens issued before a time are not valid any more; before now where it
/// is not said.
pub(super) async fn invalidate(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let before = match call.value("issued_before") {
        None => call.engine.now(),
        Some(given) => {
            let malformed = Invalid::malformed("issued_before", "a time such as 2026-01-31T12:00:00Z");
            let parsed = DateTime::parse_from_rfc3339(&given).ok();
            parsed.ok_or(Problem::Invalid("?issued_before", malformed))?.with_timezone(&Utc)
        }
    };
    Ok(Answer::done(call.engine.execute(&call.caller, Invalidate { who, before }).await?.position))
}

/// A token somebody showed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownToken {
    token: String,
}

/// What a token is (RFC 7662).
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Introspection {
    /// Whether it is a valid token of a registered user of the app. That the user is banned does not end it.
    active: bool,
    /// The userId.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// When it ends by itself, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was issued, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
}

/// `POST /tokens/introspect`: whether a token is valid, and whose it is.
pub(super) async fn introspect(call: &Call<'_>) -> Result<Answer, Problem> {
    let ShownToken { token } = call.json()?;
    Answer::query(&introspected(call, &token).await?.unwrap_or_default())
}

/// `None`: it is not valid.
async fn introspected(call: &Call<'_>, text: &str) -> Result<Option<Introspection>, Problem> {
    let token = match call.engine.read_token(text).await {
        Ok((app, token)) if app == call.app.id => token,
        Ok(_) | Err(tokens::Error::NotOurs | tokens::Error::SecretRetired) => return Ok(None),
        Err(error @ tokens::Error::Vault(_)) => return Err(Problem::unavailable(&error)),
    };
    match call.engine.check_token(&call.app, &token).await {
        // A ban ends the use of the token for now, and not the token.
        Ok(()) | Err(Unadmitted::Refused(TokenRefusal::Banned { .. })) => {}
        Err(Unadmitted::Refused(_)) => return Ok(None),
        Err(Unadmitted::Unavailable(error)) => return Err(error.into()),
    }
    let user = user_directory::by_subject(call.engine.read(), &call.app.id, token.subject).await?;
    let Some(user) = user.filter(user_directory::User::is_active) else { return Ok(None) };
    let subjects = [user.subject];
    let told = call.engine.disclose(&call.caller, &subjects, |opener| {
        let sub = opened(opener, user.subject, "user_id", user.user_id.as_deref())?;
        let exp = token.expires_at.map(|at| at.timestamp());
        Ok::<_, Problem>(Introspection { active: true, sub, exp, iat: Some(token.issued_at.timestamp()) })
    });
    told.await.map(Some)
}
