//! Users.

use actix_web::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_projections::{Order, user_directory};
use rollcall_schemas::ids::{OperationId, SubjectRef};
use serde::{Deserialize, Serialize};

use super::Call;
use super::problem::{Answer, Problem};
use crate::domain::erasure::Request;
use crate::domain::values::{self, Invalid, Name, Portrait, UserId};
use crate::domain::{Command, Refusal, Reply};
use crate::engine::reads::fields_of;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    name: String,
    #[serde(default)]
    portrait_uri: Option<String>,
}

#[derive(Serialize)]
struct Registered<'r> {
    id: &'r str,
    token: &'r str,
}

fn user_id(id: &str) -> Result<UserId, Problem> {
    UserId::parse("id", id).map_err(|invalid| Problem::Invalid("{id}", invalid))
}

async fn directory_entry(call: &Call<'_>, id: &UserId) -> Result<Option<user_directory::User>, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let tag = call.engine.tag(&call.app.id, id)?;
    Ok(user_directory::by_tag(call.engine.read(), &call.app.id, tag).await?)
}

/// `PUT /users/{id}`: register a user, or register it again. 201 for a new user, 200 for a known one.
pub(super) async fn register(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let id = user_id(id)?;
    let asked: Registration = serde_json::from_slice(&call.body).map_err(|error| Problem::Json(json_fault(&error)))?;
    let name = Name::parse(&asked.name).map_err(|invalid| Problem::Invalid("#/name", invalid))?;
    let portrait = asked.portrait_uri.as_deref().map(Portrait::parse).transpose();
    let portrait = portrait.map_err(|invalid| Problem::Invalid("#/portrait_uri", invalid))?;
    let known = directory_entry(call, &id).await?.is_some_and(|user| user.is_active());
    let command = Command::Register(id.clone().into(), name, portrait);
    let done = call.engine.execute(&call.caller, command).await?;
    let token = done.token.as_deref().ok_or(Problem::Unwritable)?;
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    Answer::command(status, &Registered { id: id.as_str(), token }, done.position)
}

/// What is wrong with a body, without any of its content.
fn json_fault(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a member is missing, unknown or of another type",
        _ => "it is not JSON",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

#[derive(Serialize)]
struct User {
    id: String,
    name: Option<String>,
    portrait_uri: Option<String>,
    registered_at: Option<String>,
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn opened(call: &Call<'_>, subject: SubjectRef, sealed: Option<&[u8]>) -> Result<Option<String>, Problem> {
    match sealed {
        Some(sealed) => Ok(call.engine.open_text(&call.app.id, subject, sealed)?),
        None => Ok(None),
    }
}

fn shown(call: &Call<'_>, id: String, user: &user_directory::User) -> Result<User, Problem> {
    Ok(User {
        id,
        name: opened(call, user.subject, user.name.as_deref())?,
        portrait_uri: opened(call, user.subject, user.portrait.as_deref())?,
        registered_at: user.registered_at.map(time),
    })
}

/// `GET /users/{id}`: one user. 410 for a deactivated one.
pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let id = user_id(id)?;
    match directory_entry(call, &id).await? {
        Some(user) if user.deactivated => Err(Refusal::Deactivated.into()),
        Some(user) if user.is_active() => {
            call.engine.record_read(&call.caller, || vec![fields_of(user.subject, ["name", "portrait"])]).await?;
            Answer::query(&shown(call, id.as_str().to_owned(), &user)?)
        }
        Some(_) | None => Err(Refusal::NotRegistered.into()),
    }
}

#[derive(Serialize)]
struct Deactivation {
    operation: OperationId,
}

/// `POST /users/{id}/deactivation`: fence a user and erase its data. 202: the erasure goes on.
pub(super) async fn deactivate(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let done =
        call.engine.execute(&call.caller, Command::Deactivate(vec![user_id(id)?.into()], Request::default())).await?;
    match done.reply {
        Reply::Operation(operation) => {
            Answer::command(StatusCode::ACCEPTED, &Deactivation { operation }, done.position)
        }
        Reply::Done | Reply::Token(_) | Reply::Friends | Reply::Waiting => Err(Problem::Unwritable),
    }
}

#[derive(Serialize)]
struct Page {
    users: Vec<User>,
    next: Option<String>,
}

/// What a list is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    cursor: Option<u64>,
    limit: u32,
}

impl Asked {
    fn read(query: &str) -> Result<Self, Problem> {
        let mut asked = Self { cursor: None, limit: 50 };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "cursor" => {
                    let bytes = BASE64_URL_SAFE_NO_PAD.decode(value.as_bytes()).ok();
                    let bytes = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
                    let malformed = Invalid::malformed("cursor", "the `next` of an earlier answer");
                    let bytes = bytes.ok_or(Problem::Invalid("?cursor", malformed))?;
                    asked.cursor = Some(u64::from_be_bytes(bytes));
                }
                "limit" => {
                    let range = values::Problem::OutOfRange { min: 1, max: 500 };
                    let limit = value.parse().ok().filter(|limit| (1..=500).contains(limit));
                    asked.limit = limit.ok_or(Problem::Invalid("?limit", Invalid::new("limit", range)))?;
                }
                _ => {}
            }
        }
        Ok(asked)
    }
}

/// `GET /users?cursor=&limit=`: the registered users, the earliest registration first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = Asked::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let (read, app) = (call.engine.read(), &call.app.id);
    // One more than asked for tells whether there is another page.
    let mut rows =
        user_directory::registered_after(read, app, asked.cursor, asked.limit + 1, Order::OldestFirst).await?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().and_then(|user| user.registered_position).filter(|_| more);
    let reads = || rows.iter().map(|user| fields_of(user.subject, ["user_id", "name", "portrait"])).collect();
    call.engine.record_read(&call.caller, reads).await?;
    let mut users = Vec::with_capacity(rows.len());
    for user in &rows {
        // Who was forgotten meanwhile has no userId any more.
        if let Some(id) = opened(call, user.subject, user.user_id.as_deref())? {
            users.push(shown(call, id, user)?);
        }
    }
    Answer::query(&Page { users, next: last.map(|at| BASE64_URL_SAFE_NO_PAD.encode(at.to_be_bytes())) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_is_bounded_and_continues_only_where_an_answer_ended() {
        assert_eq!(Asked::read("").unwrap(), Asked { cursor: None, limit: 50 });
        let query = format!("limit=500&cursor={}", BASE64_URL_SAFE_NO_PAD.encode(7_u64.to_be_bytes()));
        assert_eq!(Asked::read(&query).unwrap(), Asked { cursor: Some(7), limit: 500 });
        for bad in ["limit=0", "limit=501", "limit=x", "limit=-1", "cursor=", "cursor=x"] {
            assert!(Asked::read(bad).is_err(), "{bad}");
        }
    }
}
