//! What is kept of a person beside the log, opened for the person: it has no past.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use serde::Serialize;

use super::error::Error;
use super::past::Past;
use super::shown::{Opener, Shown};
use crate::engine::beside::Own;

/// When a person was last connected, and whom it follows.
#[derive(Debug, Serialize)]
pub struct Connections {
    last_seen_at: Option<Shown<DateTime<Utc>>>,
    follows: Vec<Followed>,
}

/// Somebody who is followed.
#[derive(Debug, Serialize)]
struct Followed {
    subject: SubjectRef,
    user_id: Shown<String>,
    /// What of it.
    what: &'static str,
    since: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// What is kept of a person beside the log, as it may be shown now.
///
/// # Errors
/// A part is unavailable.
pub async fn connections(past: Past<'_>, app: &AppId, subject: SubjectRef, own: &Own) -> Result<Connections, Error> {
    let mut opener = Opener::new(past, app);
    let last_seen: Option<Shown<i64>> = opener.open_some(subject, own.last_seen.as_deref()).await?;
    let time = |millis| DateTime::from_timestamp_millis(millis).ok_or_else(|| Error::Value("it is no time".into()));
    let last_seen_at = match last_seen {
        None => None,
        Some(Shown::Present(millis)) => Some(Shown::Present(time(millis)?)),
        Some(Shown::Erased(erased)) => Some(Shown::Erased(erased)),
        Some(Shown::Restricted(waiting)) => Some(Shown::Restricted(waiting)),
    };
    let others: Vec<_> = own.follows.iter().map(|follows| follows.other).collect();
    let user_ids = opener.user_ids(&others).await?;
    let follows = own.follows.iter().zip(user_ids).map(|(follows, user_id)| Followed {
        subject: follows.other,
        user_id,
        what: follows.what,
        since: follows.since,
        expires_at: follows.expires_at,
    });
    Ok(Connections { last_seen_at, follows: follows.collect() })
}
