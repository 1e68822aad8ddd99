//! Settings of users: mute of direct messages, quiet hours of pushes.

use rollcall_projections::{NumberedPage, SKIPPED_MAX, mutes, user_settings};
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::form::Form;
use super::{Call, convert};
use crate::domain::user;
use crate::domain::values::{Invalid, Problem, QuietHours};

/// The only kind of conversation a user can be muted in.
fn person(form: &Form<'_>) -> Result<(), Invalid> {
    match form.required("type")? {
        "PERSON" => Ok(()),
        _ => Err(Invalid::malformed("type", "PERSON")),
    }
}

/// `chat/fb/set`: mute users in direct messages, or unmute them.
pub(super) async fn mute(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = form.user_ids("userId", 1_000)?;
    let muted = convert::flag(&form, "state")?;
    person(&form)?;
    // One who is muted for a time by another face is muted for good from now on: there is no time in this call.
    let change = if muted { user::Change::MuteDirectMessages(None) } else { user::Change::UnmuteDirectMessages };
    call.done(change.of(who)).await
}

#[derive(Serialize)]
struct Muted {
    code: u16,
    total: u64,
    users: Vec<String>,
}

/// `chat/fb/querylist`: who is muted in direct messages.
pub(super) async fn query_muted(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    person(&form)?;
    let size = convert::number(form.number("num", 1, 200)?.unwrap_or(100));
    let skipped = form.number("offset", 0, SKIPPED_MAX.into())?.unwrap_or(0);
    let out_of_range = Problem::OutOfRange { min: 0, max: SKIPPED_MAX.into() };
    let page = NumberedPage::after(skipped.unsigned_abs(), size).map_err(|_| Invalid::new("offset", out_of_range))?;
    call.caught_up().await?;
    let (read, app, now) = (call.engine.read(), &call.app.id, call.engine.now());
    let subjects = mutes::page(read, app, now, page).await?;
    let users = convert::user_ids(call, &subjects).await?;
    Answer::of(&Muted { code: OK, total: mutes::total(read, app, now).await?, users })
}

/// `blockPushPeriod/set`: hold pushes back during some hours of each day; `level` is 1 where it is not given.
pub(super) async fn quiet_pushes(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let user_id = form.user_id("userId")?;
    let start = form.required("startTime")?;
    let minutes = form.required_number("period", 1, 1_439)?;
    let level = form.number("level", 1, 5)?.unwrap_or(1);
    let hours = QuietHours::parse(start, minutes, level)?;
    call.done(user::Change::QuietPushes(Some(hours)).of(vec![user_id])).await
}

/// `blockPushPeriod/delete`: hold pushes back no more.
pub(super) async fn unquiet_pushes(call: &Call<'_>) -> Result<Answer, Fault> {
    let user_id = call.form()?.user_id("userId")?;
    call.done(user::Change::QuietPushes(None).of(vec![user_id])).await
}

#[derive(Serialize)]
struct Quiet {
    code: u16,
    data: QuietPeriod,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct QuietPeriod {
    start_time: String,
    period: u16,
    un_push_level: u8,
}

/// `blockPushPeriod/get`: when pushes are held back; an empty time and zeros where they are not.
pub(super) async fn query_quiet_hours(call: &Call<'_>) -> Result<Answer, Fault> {
    let user_id = call.form()?.user_id("userId")?;
    call.caught_up().await?;
    let hours = match call.engine.find(&call.app.id, &user_id).await? {
        Some(subject) => user_settings::of(call.engine.read(), subject).await?.quiet,
        None => None,
    };
    let data = hours.map(|hours| QuietPeriod {
        start_time: hours.start.format("%H:%M:%S").to_string(),
        period: hours.minutes,
        un_push_level: hours.level,
    });
    Answer::of(&Quiet { code: OK, data: data.unwrap_or_default() })
}
