//! Who is online.

use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::problem::{Answer, Problem};
use crate::domain::values::{self, Invalid, UserId};
use crate::engine::opening::Opener;
use crate::live::last_seen::FIELD;
use crate::live::online::{LastSeen, Seen, USERS_MAX};

/// Whom it is asked about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PresenceQuery {
    /// From 1 to 1,000.
    user_ids: Vec<String>,
}

/// A client that is connected.
#[derive(Serialize, ToSchema)]
pub(super) struct OnlineDevice {
    platform: &'static str,
    since: String,
}

/// Whether a user is online.
#[derive(Serialize, ToSchema)]
pub(super) struct UserPresence {
    user_id: String,
    online: bool,
    /// Its connections on all nodes, the earliest first.
    devices: Vec<OnlineDevice>,
    /// When it connected or disconnected last; null where that is not known, or the app keeps no such times.
    last_seen_at: Option<String>,
}

/// Whether users are online, in the order in which they were named.
#[derive(Serialize, ToSchema)]
pub(super) struct PresenceAnswer {
    users: Vec<UserPresence>,
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn user_ids(asked: &PresenceQuery) -> Result<Vec<UserId>, Problem> {
    const POINTER: &str = "#/user_ids";
    let invalid = |invalid| Problem::Invalid(POINTER, invalid);
    if asked.user_ids.is_empty() {
        return Err(invalid(Invalid::missing("user_ids")));
    }
    if asked.user_ids.len() > USERS_MAX {
        return Err(invalid(Invalid::new("user_ids", values::Problem::TooMany { max: USERS_MAX })));
    }
    asked.user_ids.iter().map(|id| UserId::parse("user_ids", id).map_err(invalid)).collect()
}

/// `POST /presence/query`: whether users are online. Nobody is whose userId is not known.
pub(super) async fn query(call: &Call<'_>) -> Result<Answer, Problem> {
    let ids = user_ids(&call.json()?)?;
    let seen = call.live.seen(&call.app, &ids).await?;
    let subjects: Vec<_> = seen.iter().filter_map(|seen| seen.subject).collect();
    let show = |opener: &mut Opener<'_>| {
        let each = ids.iter().zip(&seen);
        each.map(|(id, seen)| shown(opener, id, seen)).collect::<Result<Vec<_>, _>>()
    };
    let users = call.engine.disclose(&call.caller, &subjects, show).await?;
    Answer::query(&PresenceAnswer { users })
}

fn shown(opener: &mut Opener<'_>, id: &UserId, seen: &Seen) -> Result<UserPresence, Problem> {
    let device = |device: &crate::live::presence::Device| OnlineDevice {
        platform: device.platform.as_str(),
        since: time(device.since),
    };
    let last_seen = match (seen.subject, &seen.last_seen) {
        (Some(subject), LastSeen::Sealed(sealed)) => opened(opener, subject, sealed)?,
        (_, LastSeen::At(at)) => Some(*at),
        _ => None,
    };
    Ok(UserPresence {
        user_id: id.as_str().to_owned(),
        online: !seen.devices.is_empty(),
        devices: seen.devices.iter().map(device).collect(),
        last_seen_at: last_seen.map(time),
    })
}

fn opened(opener: &mut Opener<'_>, subject: SubjectRef, sealed: &[u8]) -> Result<Option<DateTime<Utc>>, Problem> {
    let millis: Option<i64> = opener.open(subject, FIELD, sealed)?;
    Ok(millis.and_then(DateTime::from_timestamp_millis))
}
