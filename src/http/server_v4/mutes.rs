//! Mutes of direct messages.

use rollcall_projections::{NumberedPage, SKIPPED_MAX, mutes};
use serde::Serialize;
use serde_json::Value;

use super::Call;
use super::answer::{Answer, Fault};
use super::params::{Params, bounded};
use crate::domain::user;
use crate::domain::values::{Invalid, Problem};

/// Makes sure that direct messages are meant, the only type of channel in which a user can be muted: `PERSON` or 1, alone
/// or in an array, under either name.
fn direct(params: &Params) -> Result<(), Invalid> {
    let is_direct = |value: &Value| value == "PERSON" || value == "1" || value == 1;
    let given = params.value("channelTypes").or_else(|| params.value("channelType"));
    let is_direct = match given.ok_or(Invalid::missing("channelTypes"))? {
        Value::Array(types) => !types.is_empty() && types.iter().all(is_direct),
        value => is_direct(value),
    };
    if is_direct { Ok(()) } else { Err(Invalid::malformed("channelTypes", "PERSON")) }
}

/// Mute users in direct messages, or unmute them.
pub(super) async fn set_channel_type_mute(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let who = params.user_ids("userIds", 1_000)?;
    let muted = params.required_number("muteState", 0, 1)? == 1;
    direct(&params)?;
    // One who is muted for a time by another face is muted for good from now on: there is no time in this call.
    let change = if muted { user::Change::MuteDirectMessages(None) } else { user::Change::UnmuteDirectMessages };
    call.done(change.of(who)).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Muted {
    total_count: u64,
    muted_user_ids: Vec<String>,
}

/// Who is muted in direct messages.
pub(super) async fn list_channel_type_mute(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    direct(&params)?;
    let size = params.page_size(100, 200)?;
    let skipped = bounded(params.number("offset", 0, SKIPPED_MAX.into())?.unwrap_or(0));
    let out_of_range = Problem::OutOfRange { min: 0, max: SKIPPED_MAX.into() };
    let page = NumberedPage::after(skipped.into(), size).map_err(|_| Invalid::new("offset", out_of_range))?;
    call.caught_up().await?;
    let (read, app, now) = (call.engine.read(), &call.app.id, call.engine.now());
    let subjects = mutes::page(read, app, now, page).await?;
    let muted_user_ids = call.reader().user_ids(&subjects).await?;
    Answer::of(&Muted { total_count: mutes::total(read, app, now).await?, muted_user_ids })
}
