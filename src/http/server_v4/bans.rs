//! Bans.

use rollcall_projections::NumberedPage;
use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault};
use super::params::{bounded, time};
use crate::domain::ban::{Ban, Lift};
use crate::domain::values::BanMinutes;

/// Users one call may name.
const USERS_MAX: usize = 20;
/// Bans one answer holds at most.
const BANS_MAX: i64 = 1_000;

/// Ban users for so many minutes from now on.
pub(super) async fn ban_users(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let who = params.user_ids("userIds", USERS_MAX)?;
    let minutes = BanMinutes::new(params.required_number("durationMinutes", i64::MIN, i64::MAX)?)?;
    call.done(Ban::minutes(who, minutes)).await
}

/// Lift the bans of users; users who are not banned are ignored.
pub(super) async fn unban_users(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.params()?.user_ids("userIds", USERS_MAX)?;
    call.done(Lift { who, scheduled: false, only: None }).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Banned {
    banned_users: Vec<BannedUser>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BannedUser {
    user_id: String,
    ban_expires_at: String,
}

/// The banned users, the latest end first. With neither `page` nor `pageSize` the first 1,000; the SDKs always send a size.
pub(super) async fn list_banned_users(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let page = if params.value("page").is_none() && params.value("pageSize").is_none() {
        NumberedPage::first(bounded(BANS_MAX))
    } else {
        params.page(50, BANS_MAX)?
    };
    let banned = call.reader().banned(page).await?.into_iter();
    let banned = banned.map(|(user_id, until)| BannedUser { user_id, ban_expires_at: time(until) });
    Answer::of(&Banned { banned_users: banned.collect() })
}
