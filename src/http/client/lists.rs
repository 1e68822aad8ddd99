//! Blocklist and allowlist of a user.

use rollcall_projections::{allowlists, blocklists};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::people::{self, PageParams, Target};
use super::problem::{Answer, Problem};
use crate::domain::{allowlist, blocklist};

/// Somebody on a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    user_id: String,
}

/// A page of a list, the newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedUsers)]
pub(super) struct Page {
    users: Vec<Listed>,
    next: Option<String>,
}

async fn page(
    call: &Call<'_>,
    rows: Vec<rollcall_schemas::ids::SubjectRef>,
    next: Option<String>,
) -> Result<Answer, Problem> {
    let ids = people::ids_of(call, &rows).await?;
    Answer::query(&Page { users: ids.into_iter().flatten().map(|user_id| Listed { user_id }).collect(), next })
}

/// `blocklist.list`.
pub(super) async fn blocked(call: &Call<'_>, asked: PageParams) -> Result<Answer, Problem> {
    let (limit, cursor) = (people::limit(asked.limit, 100, 500)?, people::cursor(asked.cursor.as_deref())?);
    call.engine.caught_up(&call.app.id).await?;
    let mut rows = blocklists::page(call.engine.read(), call.subject, cursor, limit + 1).await?;
    let next = people::cut(&mut rows, limit, |row| row.sequence);
    page(call, rows.iter().map(|row| row.target).collect(), next).await
}

/// `allowlist.list`.
pub(super) async fn allowed(call: &Call<'_>, asked: PageParams) -> Result<Answer, Problem> {
    let (limit, cursor) = (people::limit(asked.limit, 100, 500)?, people::cursor(asked.cursor.as_deref())?);
    call.engine.caught_up(&call.app.id).await?;
    let mut rows = allowlists::page(call.engine.read(), call.subject, cursor, limit + 1).await?;
    let next = people::cut(&mut rows, limit, |row| row.sequence);
    page(call, rows.iter().map(|row| row.target).collect(), next).await
}

/// `blocklist.add`.
pub(super) async fn block(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let command = blocklist::Block { owner: call.me.clone(), targets: vec![asked.user_id()?] };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `blocklist.remove`.
pub(super) async fn unblock(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let command = blocklist::Unblock { owner: call.me.clone(), targets: vec![asked.user_id()?] };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `allowlist.add`.
pub(super) async fn allow(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let command = allowlist::Allow { owner: call.me.clone(), targets: vec![asked.user_id()?] };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `allowlist.remove`.
pub(super) async fn disallow(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let command = allowlist::Disallow { owner: call.me.clone(), targets: vec![asked.user_id()?] };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// Whether the allowlist counts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowlistSetting {
    /// true: only those on the allowlist may approach, and the blocklist does not count.
    enabled: bool,
}

/// `me.set_allowlist`.
pub(super) async fn set_allowlist(call: &Call<'_>, asked: AllowlistSetting) -> Result<Answer, Problem> {
    let command = allowlist::SetAllowlist { who: vec![call.me.clone()], enabled: asked.enabled };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// Whether somebody is blocked.
#[derive(Serialize, ToSchema)]
pub(super) struct Blocked {
    user_id: String,
    blocked: bool,
}

/// `blocklist.get`.
pub(super) async fn is_blocked(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let target = asked.user_id()?;
    call.engine.caught_up(&call.app.id).await?;
    let blocked = match call.engine.find(&call.app.id, &target).await? {
        Some(subject) => {
            let found = blocklists::entries(call.engine.read(), &[(call.subject, subject)]).await?;
            found.iter().any(Option::is_some)
        }
        None => false,
    };
    Answer::query(&Blocked { user_id: target.as_str().to_owned(), blocked })
}

/// Whether somebody is allowed.
#[derive(Serialize, ToSchema)]
pub(super) struct Allowed {
    user_id: String,
    allowed: bool,
}

/// `allowlist.get`.
pub(super) async fn is_allowed(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let target = asked.user_id()?;
    call.engine.caught_up(&call.app.id).await?;
    let allowed = match call.engine.find(&call.app.id, &target).await? {
        Some(subject) => {
            let found = allowlists::entries(call.engine.read(), &[(call.subject, subject)]).await?;
            found.iter().any(Option::is_some)
        }
        None => false,
    };
    Answer::query(&Allowed { user_id: target.as_str().to_owned(), allowed })
}
