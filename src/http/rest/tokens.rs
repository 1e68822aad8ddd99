//! Access tokens of users.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::user_directory;
use rollcall_schemas::ids::TokenId;
use rollcall_schemas::plain::TokenScope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::ForwardQuery;
use super::problem::{Answer, Problem};
use super::users::{opened, owner, user_id};
use crate::domain::token::{Invalidate, Issue, Revoke, TokenScopes};
use crate::domain::values::{self, Invalid, Label};
use crate::domain::{IssuedToken, Refusal, app};
use crate::engine::issued_tokens::IssuedBefore;
use crate::engine::standing::TokenRefusal;
use crate::engine::tokens::{self, Unadmitted};
use crate::http::cursor::IssuedCursor;

/// Longest lifetime that a call may ask for: ten years, in seconds.
const LIFETIME_MAX: u32 = 315_360_000;

/// How a token is issued.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    /// What it is called in the list of tokens, such as the device it is for: 1 to 64 characters.
    #[serde(default)]
    label: Option<String>,
    /// 1 to 315,360,000. The app's own lifetime of tokens counts where it is shorter.
    #[serde(default)]
    expires_in_seconds: Option<u32>,
    /// What it may do in the client face: read, write, connect and account, at least one. `write` and `connect` bring `read`
    /// with them. Absent or null: everything that its user may.
    #[serde(default)]
    scopes: Option<Vec<String>>,
}

/// A token, told only now.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    token: String,
    #[schema(value_type = String)]
    token_id: TokenId,
    /// Null: until it is invalidated.
    expires_at: Option<DateTime<Utc>>,
    /// What it may do; absent: everything that its user may.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<TokenScopes>,
}

/// Scopes that were asked for: at least one, where any were.
fn scopes(asked: Option<Vec<String>>) -> Result<Option<TokenScopes>, Problem> {
    let Some(asked) = asked else { return Ok(None) };
    let scopes = asked.iter().map(|word| word.parse()).collect::<Result<Vec<TokenScope>, _>>();
    let missing = Problem::Invalid("#/scopes", Invalid::missing("scopes"));
    Ok(Some(TokenScopes::of(scopes.map_err(Problem::UnknownScope)?).ok_or(missing)?))
}

/// `POST /users/{id}/tokens`: issue another token to a registered user; those it has stay valid.
pub(super) async fn issue(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = user_id(call.parameter(0))?;
    let TokenBody { label, expires_in_seconds, scopes: asked } =
        if call.body.is_empty() { TokenBody::default() } else { call.json()? };
    if expires_in_seconds.is_some_and(|seconds| !(1..=LIFETIME_MAX).contains(&seconds)) {
        let range = values::Problem::OutOfRange { min: 1, max: LIFETIME_MAX.into() };
        return Err(Problem::Invalid("#/expires_in_seconds", Invalid::new("expires_in_seconds", range)));
    }
    let label = label.as_deref().map(Label::parse).transpose();
    let label = label.map_err(|invalid| Problem::Invalid("#/label", invalid))?;
    let issue = Issue { who, expires_in_seconds, label, scopes: scopes(asked)? };
    let done = call.engine.execute(&call.caller, issue).await?;
    let token = call.engine.token_text(&call.app.id, &done.reply.token)?;
    let IssuedToken { token: token_id, expires_at, scopes, .. } = done.reply.token;
    Answer::command(StatusCode::CREATED, &Token { token, token_id, expires_at, scopes }, done.position)
}

/// `DELETE /users/{id}/tokens?issued_before=`: the tokens issued before a time are not valid any more; before now where it
/// is not said.
pub(super) async fn invalidate(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let before = match call.value("issued_before") {
        None => call.engine.now(),
        Some(given) => instant("?issued_before", "issued_before", &given)?,
    };
    Ok(Answer::done(call.engine.execute(&call.caller, Invalidate { who, before }).await?.position))
}

/// Reads a time.
pub(super) fn instant(pointer: &'static str, field: &'static str, given: &str) -> Result<DateTime<Utc>, Problem> {
    let malformed = || Problem::Invalid(pointer, Invalid::malformed(field, "a time such as 2026-01-31T12:00:00Z"));
    Ok(DateTime::parse_from_rfc3339(given).map_err(|_| malformed())?.with_timezone(&Utc))
}

/// `DELETE /users/{id}/tokens/{token_id}`: one token is not valid any more; harmless where it is not already.
pub(super) async fn revoke(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = user_id(call.parameter(0))?;
    // What has not the form of one is the id of none.
    let token = call.parameter(1).parse().map(TokenId).map_err(|_| Refusal::NoSuchToken);
    let token = match token {
        Ok(token) => token,
        Err(refusal) => return owner(call).await.and(Err(refusal.into())),
    };
    Ok(Answer::done(call.engine.execute(&call.caller, Revoke { who, token, times: () }).await?.position))
}

/// A token that was issued; its text is not kept.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedToken {
    #[schema(value_type = String)]
    token_id: TokenId,
    issued_at: DateTime<Utc>,
    /// Null: it does not end by itself.
    expires_at: Option<DateTime<Utc>>,
    label: Option<String>,
    /// What it may do: read, write, connect and account. Null: everything that its user may.
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<TokenScopes>,
    /// active, expired or revoked: by itself, with others, or with the secret it was issued under.
    state: &'static str,
}

/// One page of tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<ListedToken>,
    next: Option<String>,
}

/// `GET /users/{id}/tokens?cursor=&limit=`: the tokens a user was issued, the newest first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = ForwardQuery::<IssuedCursor>::read(call.query)?;
    let subject = owner(call).await?;
    let standing = call.engine.standing(&call.app.id, subject).await?.ok_or(Refusal::NotRegistered)?;
    let app = call.engine.app(call.app.id.as_str()).ok_or(Refusal::NoSuchApp)?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let page = call.engine.issued_tokens(subject, asked.cursor.map(|cursor| cursor.0), limit).await?;
    let now = call.engine.now();
    let state = |issued: &IssuedToken| {
        let is_valid = app.tokens_invalid_before.is_none_or(|before| issued.issued_at >= before)
            && app.secrets.iter().any(|(secret, _)| *secret == issued.secret);
        match standing.admits(issued, now) {
            Err(TokenRefusal::Expired) => "expired",
            Err(TokenRefusal::NotValid | TokenRefusal::Deactivated) => "revoked",
            Ok(()) | Err(TokenRefusal::Banned { .. }) if is_valid => "active",
            Ok(()) | Err(TokenRefusal::Banned { .. }) => "revoked",
        }
    };
    let subjects = [subject];
    let tokens = call.engine.disclose(&call.caller, &subjects, |opener| {
        let listed = |token: &IssuedBefore| {
            Ok::<_, Problem>(ListedToken {
                token_id: token.issued.token,
                issued_at: token.issued.issued_at,
                expires_at: token.issued.expires_at,
                label: opened(opener, subject, "label", token.label.as_deref())?,
                scopes: token.issued.scopes.clone(),
                state: state(&token.issued),
            })
        };
        page.tokens.iter().map(listed).collect::<Result<Vec<_>, _>>()
    });
    let next = page.next.map(|revision| ForwardQuery::after(&IssuedCursor(revision)));
    Answer::query(&Tokens { tokens: tokens.await?, next })
}

/// From when on tokens of an app are good.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InvalidateBody {
    /// A time that is not in the future; now where it is absent.
    #[serde(default)]
    issued_before: Option<String>,
}

/// `POST /tokens/invalidate`: the tokens of all users of the app that were issued before a time are not valid any more.
pub(super) async fn invalidate_all(call: &Call<'_>) -> Result<Answer, Problem> {
    let InvalidateBody { issued_before } = if call.body.is_empty() { Default::default() } else { call.json()? };
    let now = call.engine.now();
    let before = match issued_before {
        None => now,
        Some(given) => instant("#/issued_before", "issued_before", &given)?,
    };
    if before > now {
        // Nobody could connect until then, whatever token is issued.
        let future = Invalid::malformed("issued_before", "a time that is not in the future");
        return Err(Problem::Invalid("#/issued_before", future));
    }
    let position = call.engine.operate(&call.caller, app::Command::InvalidateTokens(before)).await?;
    Ok(Answer::done(position))
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
    /// What it may do, separated by spaces: read, write, connect, account. Absent: everything that its user may.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// As RFC 7662 writes scopes.
fn spaced(scopes: &TokenScopes) -> String {
    scopes.iter().map(TokenScope::as_str).collect::<Vec<_>>().join(" ")
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
    // Whoever asks may have ended it by way of another node.
    call.engine.caught_up(&call.app.id).await?;
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
        let (iat, scope) = (Some(token.issued_at.timestamp()), token.scopes.as_ref().map(spaced));
        Ok::<_, Problem>(Introspection { active: true, sub, exp, iat, scope })
    });
    told.await.map(Some)
}
