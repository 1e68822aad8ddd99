//! Blocklists.

use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault};
use crate::domain::blocklist::{Block, Unblock};
use crate::http::cursor::Cursor as _;

/// Users one call may add to a list or take from it.
const TARGETS_MAX: usize = 20;

/// Block users.
pub(super) async fn add_user_blocklist(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let (owner, targets) = (params.user_id("userId")?, params.user_ids("targetUserIds", TARGETS_MAX)?);
    call.done(Block { owner, targets }).await
}

/// Block users no more.
pub(super) async fn remove_user_blocklist(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let (owner, targets) = (params.user_id("userId")?, params.user_ids("blockedUserIds", TARGETS_MAX)?);
    call.done(Unblock { owner, targets }).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blocked {
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<String>,
    /// What the documentation calls the page token.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    blocked_user_ids: Vec<String>,
}

/// Whom a user blocks, the newest first. `order` is sent by the SDKs and means nothing.
pub(super) async fn get_user_blocklist(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let owner = params.user_id("userId")?;
    let (cursor, size) = (params.cursor()?, params.page_size(1_000, 1_000)?);
    let (blocked_user_ids, next) = call.reader().blocked(&owner, (cursor, size)).await?;
    let page_token = next.map(|next| next.encode());
    let next = page_token.clone().filter(|_| call.takes_undeclared());
    Answer::of(&Blocked { page_token, next, blocked_user_ids })
}
