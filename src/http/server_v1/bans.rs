//! Ban, lift, list the banned.

use rollcall_projections::NumberedPage;
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::{Call, convert};
use crate::domain::ban::{Ban, Lift};
use crate::domain::values::BanMinutes;

/// Bans one answer holds at most.
const BANS_MAX: i64 = 1_000;

/// `block`: ban users for so many minutes from now on.
pub(super) async fn ban(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = form.user_ids("userId", 20)?;
    let minutes = BanMinutes::new(form.required_number("minute", i64::MIN, i64::MAX)?)?;
    call.done(Ban::minutes(who, minutes)).await
}

/// `unblock`: lift the bans of users; users who are not banned are ignored.
pub(super) async fn lift_ban(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.form()?.user_ids("userId", 20)?;
    call.done(Lift { who, scheduled: false, only: None }).await
}

#[derive(Serialize)]
struct Banned {
    code: u16,
    users: Vec<BannedUser>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BannedUser {
    user_id: String,
    block_end_time: String,
}

/// `block/query`: the banned users, the latest end first. Without a page, or with page 0, the first 1,000.
pub(super) async fn query_banned(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let page = match form.number("page", 0, i64::from(u32::MAX))? {
        None | Some(0) => NumberedPage::first(convert::number(BANS_MAX)),
        Some(_) => convert::page(&form, ("page", "size"), (50, BANS_MAX))?,
    };
    let banned = call.reader().banned(page).await?.into_iter();
    let users = banned.map(|(user_id, until)| BannedUser { user_id, block_end_time: convert::time(until) });
    Answer::of(&Banned { code: OK, users: users.collect() })
}
