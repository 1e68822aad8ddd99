//! Tokens and users.

use chrono::DateTime;
use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault};
use super::params::time;
use crate::domain::values::{Invalid, Name, Portrait};
use crate::domain::{token, user};

/// The last millisecond of the year 9999.
const TIME_MAX: i64 = 253_402_300_799_999;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issued<'r> {
    user_id: &'r str,
    access_token: &'r str,
}

/// Register a user, or register it again, and issue a token.
pub(super) async fn issue_access_token(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let user_id = params.user_id("userId")?;
    let name = Name::parse(params.required("name")?)?;
    let portrait = params.text("avatarUrl")?.map(Portrait::parse).transpose()?;
    let done = call.execute(user::Register { who: user_id.clone(), name, portrait }).await?;
    let token = call.engine.token_text(&call.app.id, &done.reply.token)?;
    Answer::of(&Issued { user_id: user_id.as_str(), access_token: &token })
}

/// Every token issued before `expiresAt` is invalid.
pub(super) async fn expire_access_token(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let who = params.user_ids("userIds", 20)?;
    let at = params.required_number("expiresAt", 1, TIME_MAX)?;
    let malformed = Invalid::malformed("expiresAt", "a time in milliseconds since 1970");
    let before = DateTime::from_timestamp_millis(at).ok_or(malformed)?;
    call.done(token::Invalidate { who, before }).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    name: String,
    avatar_url: String,
    created_at: String,
}

/// Name, avatar and time of registration.
pub(super) async fn get_user(call: &Call<'_>) -> Result<Answer, Fault> {
    let user_id = call.params()?.user_id("userId")?;
    let info = call.reader().info(&user_id).await?;
    let created_at = info.registered_at.map(time).unwrap_or_default();
    Answer::of(&User { name: info.name, avatar_url: info.portrait, created_at })
}

/// Change name, avatar or both; what is absent or empty stays.
pub(super) async fn update_user(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let user_id = params.user_id("userId")?;
    let name = params.text("name")?.map(Name::parse).transpose()?;
    let portrait = params.text("avatarUrl")?.map(Portrait::parse).transpose()?;
    call.done(user::Change::Modify(name, portrait).of(vec![user_id])).await
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// "1" while a client of the user is connected to any node, else "0", also for a user nobody knows: as in v1.
pub(super) async fn get_user_connection_status(call: &Call<'_>) -> Result<Answer, Fault> {
    let user_id = call.params()?.user_id("userId")?;
    let is_online = call.live.is_online(&call.app.id, &user_id).await?;
    Answer::of(&Status { status: if is_online { "1" } else { "0" } })
}
