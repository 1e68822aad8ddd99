//! Registration, tokens and user info.

use chrono::DateTime;
use rollcall_projections::user_directory;
use rollcall_schemas::plain::{Environment, Scope};
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::{Call, convert};
use crate::domain::erasure::{Erase, Request};
use crate::domain::values::{Invalid, Name, Portrait};
use crate::domain::{token, user};

/// The last millisecond of the year 9999.
const TIME_MAX: i64 = 253_402_300_799_999;

#[derive(Serialize)]
struct Registered<'r> {
    code: u16,
    #[serde(rename = "userId")]
    user_id: &'r str,
    token: &'r str,
}

/// `getToken`: register a user, or register it again.
pub(super) async fn register(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let user_id = form.user_id("userId")?;
    let name = Name::parse(form.required("name")?)?;
    let portrait = form.text("portraitUri").map(Portrait::parse).transpose()?;
    let done = call.execute(user::Register { who: user_id.clone(), name, portrait }).await?;
    let token = call.engine.token_text(&call.app.id, &done.reply.token)?;
    Answer::of(&Registered { code: OK, user_id: user_id.as_str(), token: &token })
}

/// `refresh`: change name, portrait or both; what is absent or empty stays.
pub(super) async fn refresh(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let user_id = form.user_id("userId")?;
    let name = form.text("name").map(Name::parse).transpose()?;
    let portrait = form.text("portraitUri").map(Portrait::parse).transpose()?;
    call.done(user::Change::Modify(name, portrait).of(vec![user_id])).await
}

/// `token/expire`: every token issued before `time` is invalid.
pub(super) async fn expire_tokens(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = form.user_ids("userId", 20)?;
    let time = form.required_number("time", 1, TIME_MAX)?;
    let before =
        DateTime::from_timestamp_millis(time).ok_or(Invalid::malformed("time", "a time in milliseconds since 1970"))?;
    call.done(token::Invalidate { who, before }).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    code: u16,
    user_name: String,
    user_portrait: String,
    create_time: String,
}

/// `info`: name, portrait and time of registration.
pub(super) async fn info(call: &Call<'_>) -> Result<Answer, Fault> {
    let user_id = call.form()?.user_id("userId")?;
    let info = call.reader().info(&user_id).await?;
    Answer::of(&Info {
        code: OK,
        user_name: info.name,
        user_portrait: info.portrait,
        create_time: info.registered_at.map(convert::time).unwrap_or_default(),
    })
}

/// Only in development apps users are listed and deleted.
fn development(call: &Call<'_>) -> Result<(), Fault> {
    match call.app.environment {
        Environment::Development => Ok(()),
        Environment::Production => Err(Fault::DevelopmentOnly),
    }
}

#[derive(Serialize)]
struct UserList {
    code: u16,
    total: u64,
    users: Vec<ListedUser>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedUser {
    user_id: String,
    user_name: String,
    user_portrait: String,
    reg_time: String,
}

/// `query`: the registered users of a development app.
pub(super) async fn query_users(call: &Call<'_>) -> Result<Answer, Fault> {
    development(call)?;
    let form = call.form()?;
    let page = convert::page(&form, ("page", "pageSize"), (20, 100))?;
    let order = convert::order(&form)?;
    call.caught_up().await?;
    let (read, app) = (call.engine.read(), &call.app.id);
    let rows = user_directory::registered(read, app, page, order).await?;
    let subjects: Vec<_> = rows.iter().map(|user| user.subject).collect();
    let users = call.disclose(&subjects, |opener| {
        let mut users = Vec::with_capacity(rows.len());
        for user in rows {
            // Who was forgotten since the rows were read has no userId any more.
            let Some(user_id) = convert::user_id(opener, user.subject, user.user_id.as_deref())? else { continue };
            users.push(ListedUser {
                user_id,
                user_name: convert::opened(opener, user.subject, "name", user.name.as_deref())?,
                user_portrait: convert::opened(opener, user.subject, "portrait", user.portrait.as_deref())?,
                reg_time: user.registered_at.map(convert::time).unwrap_or_default(),
            });
        }
        Ok(users)
    });
    let users = users.await?;
    let total = user_directory::registered_count(read, app).await?;
    Answer::of(&UserList { code: OK, total, users })
}

/// `delusers`: forget users of a development app.
pub(super) async fn delete_users(call: &Call<'_>) -> Result<Answer, Fault> {
    development(call)?;
    let who = call.form()?.user_ids("userId", 100)?;
    call.done(Erase { who, scope: Scope::Forget, request: Request::default() }).await
}
