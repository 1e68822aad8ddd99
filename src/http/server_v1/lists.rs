//! Blocklists and allowlists.

use rollcall_projections::allowlists;
use rollcall_schemas::ids::SubjectRef;
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::form::Form;
use super::{Call, convert};
use crate::domain::values::{Invalid, UserId};
use crate::domain::{allowlist, blocklist};

/// Users one call may add to a list or take from it.
const TARGETS_MAX: usize = 20;

fn owner_and_targets(form: &Form<'_>, targets: &'static str) -> Result<(UserId, Vec<UserId>), Invalid> {
    Ok((form.user_id("userId")?, form.user_ids(targets, TARGETS_MAX)?))
}

/// `blacklist/add`: block users.
pub(super) async fn block(call: &Call<'_>) -> Result<Answer, Fault> {
    let (owner, targets) = owner_and_targets(&call.form()?, "blackUserId")?;
    call.done(blocklist::Block { owner, targets }).await
}

/// `blacklist/remove`: block users no more.
pub(super) async fn unblock(call: &Call<'_>) -> Result<Answer, Fault> {
    let (owner, targets) = owner_and_targets(&call.form()?, "blackUserId")?;
    call.done(blocklist::Unblock { owner, targets }).await
}

/// `whitelist/add`: allow users.
pub(super) async fn allow(call: &Call<'_>) -> Result<Answer, Fault> {
    let (owner, targets) = owner_and_targets(&call.form()?, "whiteUserId")?;
    call.done(allowlist::Allow { owner, targets }).await
}

/// `whitelist/remove`: allow users no more.
pub(super) async fn disallow(call: &Call<'_>) -> Result<Answer, Fault> {
    let (owner, targets) = owner_and_targets(&call.form()?, "whiteUserId")?;
    call.done(allowlist::Disallow { owner, targets }).await
}

#[derive(Serialize)]
struct Listed {
    code: u16,
    users: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What a page of a list asks for.
struct ListParams {
    owner: UserId,
    cursor: Option<u64>,
    size: u32,
}

impl ListParams {
    fn read(form: &Form<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            owner: form.user_id("userId")?,
            cursor: convert::cursor(form)?,
            size: convert::number(form.number("size", 1, 1_000)?.unwrap_or(1_000)),
        })
    }

    /// Whether a page of so many entries may have another one after it.
    fn filled_by(&self, entries: usize) -> bool {
        entries >= usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}

async fn listed(call: &Call<'_>, targets: &[SubjectRef], next: Option<u64>) -> Result<Answer, Fault> {
    let users = convert::user_ids(call, targets).await?;
    Answer::of(&Listed { code: OK, users, next: next.map(convert::page_token) })
}

/// `blacklist/query`: whom a user blocks, the newest first.
pub(super) async fn query_blocklist(call: &Call<'_>) -> Result<Answer, Fault> {
    let asked = ListParams::read(&call.form()?)?;
    let (users, next) = call.reader().blocked(&asked.owner, (asked.cursor, asked.size)).await?;
    Answer::of(&Listed { code: OK, users, next: next.map(convert::page_token) })
}

/// `whitelist/query`: whom a user allows, the newest first.
pub(super) async fn query_allowlist(call: &Call<'_>) -> Result<Answer, Fault> {
    let asked = ListParams::read(&call.form()?)?;
    call.caught_up().await?;
    let Some(owner) = call.engine.find(&call.app.id, &asked.owner).await? else { return listed(call, &[], None).await };
    let read = call.engine.read();
    let entries = allowlists::page(read, owner, asked.cursor, asked.size).await?;
    let mut next = entries.last().filter(|_| asked.filled_by(entries.len())).map(|entry| entry.sequence);
    if next.is_some() && allowlists::page(read, owner, next, 1).await?.is_empty() {
        next = None;
    }
    let targets: Vec<_> = entries.iter().map(|entry| entry.target).collect();
    listed(call, &targets, next).await
}

/// `whitesetting/set`: put the allowlists of users in force, or out of it.
pub(super) async fn set_allowlist(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = form.user_ids("userId", TARGETS_MAX)?;
    let enabled = convert::flag(&form, "whiteSetting")?;
    call.done(allowlist::SetAllowlist { who, enabled }).await
}

#[derive(Serialize)]
struct AllowlistSettings<'s> {
    code: u16,
    users: Vec<AllowlistSetting<'s>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllowlistSetting<'s> {
    user_id: &'s str,
    white_setting: &'static str,
}

/// `whitesetting/query`: whether the allowlists of users are in force.
pub(super) async fn query_allowlist_setting(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.form()?.user_ids("userId", TARGETS_MAX)?;
    call.caught_up().await?;
    let subjects = convert::subjects(call, &who).await?;
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let mut in_force = allowlists::in_force_since(call.engine.read(), &known).await?.into_iter();
    let users = who.iter().zip(subjects).map(|(user_id, subject)| AllowlistSetting {
        user_id: user_id.as_str(),
        white_setting: if subject.and_then(|_| in_force.next().flatten()).is_some() { "1" } else { "0" },
    });
    Answer::of(&AllowlistSettings { code: OK, users: users.collect() })
}
