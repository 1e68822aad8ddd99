//! What happened to a user, event by event.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rollcall_projections::{Seek, audit_trail};
use rollcall_schemas::Event;
use rollcall_schemas::envelope::{Actor, Recorded};
use rollcall_schemas::ids::{AppId, EventId, SubjectRef};
use rollcall_schemas::personal::{Class, Sealed};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::error::Error;
use super::past::Past;
use super::scratch::events_about;
use super::shown::Opener;
use super::shown::{Erased, Shown};
use crate::engine::journal;
use crate::eventlog::RawEvent;

/// Which part of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Events behind a position or up to one.
    pub seek: Seek<u64>,
    /// And none behind this one.
    pub until: u64,
    /// How many at most; [`rollcall_projections::PAGE_MAX`] if more.
    pub limit: u32,
}

/// One event about a user.
#[derive(Debug, Clone, Serialize)]
pub struct Happened {
    /// Its place in the log: the cursor of the next page.
    pub position: u64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Its name, such as `user.registered`.
    pub event: &'static str,
    /// Version of its shape.
    pub version: u16,
    /// Identifies it.
    pub id: EventId,
    /// Who acted.
    pub actor: Actor,
    /// The request that led to it.
    pub correlation: Uuid,
    /// The event that led to it, where the service acted by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
    /// The stream it belongs to.
    pub stream: String,
    /// Its place in the stream.
    pub revision: u64,
    /// The fields that are not personal.
    pub plain: BTreeMap<String, Value>,
    /// The personal fields by path, such as `name` or `fields.email`.
    pub personal: BTreeMap<String, PersonalField>,
}

/// One personal field of an event.
#[derive(Debug, Clone, Serialize)]
pub struct PersonalField {
    /// Whom it is about.
    pub of: SubjectRef,
    /// What kind of data it is.
    pub class: Class,
    /// What may be told of it.
    #[serde(flatten)]
    pub told: Told,
}

/// What is told of a personal value.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It can be shown and was not asked for; serialised as `{"present": true}`.
    Present(bool),
    /// It can be shown and was asked for.
    Value(Revealed),
    /// It was erased.
    Erased(Erased),
    /// Nobody may read it while an erasure of it waits.
    Restricted(Erased),
}

/// A personal value somebody asked for. Only its serialised form shows it.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Revealed(pub Value);

impl std::fmt::Debug for Revealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Revealed")
    }
}

/// The events about a user in order: those of the user's own streams, and those of others that concern this user alone. If
/// somebody blocked or allowed many users at once, the event is in that person's history only. Personal values are shown
/// only with `reveal`.
///
/// # Errors
/// A part is unavailable, or an event cannot be decoded.
pub async fn history(
    past: Past<'_>,
    app: &AppId,
    subject: SubjectRef,
    range: Range,
    reveal: bool,
) -> Result<Vec<Happened>, Error> {
    let events = match range.seek {
        Seek::After(after) => events_about(past, subject, after.unwrap_or_default(), range.until, range.limit).await?,
        Seek::UpTo(position) => {
            let position = position.min(range.until);
            let positions = audit_trail::positions_up_to(past.live, subject, position, range.limit).await?;
            past.log.read_at(&positions).await?
        }
    };
    describe_events(past, app, &events, reveal).await
}

/// The content of events; those of other apps are left out. Personal values are shown only with `reveal`.
///
/// # Errors
/// A part is unavailable, or an event cannot be decoded.
pub async fn describe_events(
    past: Past<'_>,
    app: &AppId,
    events: &[RawEvent],
    reveal: bool,
) -> Result<Vec<Happened>, Error> {
    let mut opener = Opener::new(past, app);
    let mut happened = Vec::new();
    for raw in events {
        let recorded = journal::decode(raw)?;
        if recorded.metadata.app == *app {
            happened.push(describe(recorded, &mut opener, reveal).await?);
        }
    }
    Ok(happened)
}

async fn describe(mut recorded: Recorded<Event>, opener: &mut Opener<'_>, reveal: bool) -> Result<Happened, Error> {
    let value = |error: serde_json::Error| Error::Value(error.to_string());
    let mut plain: BTreeMap<String, Value> =
        serde_json::from_slice(&recorded.event.encode().map_err(value)?).map_err(value)?;
    for field in recorded.event.declaration().fields.iter().filter(|field| field.personal.is_some()) {
        plain.remove(field.name);
    }
    let mut sealed: Vec<(String, Sealed)> = Vec::new();
    let visited = recorded.event.each_personal::<std::convert::Infallible>(&mut |path, _, _, slot| {
        sealed.extend(slot.sealed().map(|sealed| (path.to_owned(), sealed.clone())));
        Ok(())
    });
    let Ok(()) = visited;
    let mut personal = BTreeMap::new();
    for (path, sealed) in sealed {
        let header = recorded.header(&path, sealed.class, sealed.subject, sealed.epoch);
        let stored = header.store(sealed.ciphertext.as_deref().unwrap_or_default());
        let told = match opener.open::<Value>(sealed.subject, &stored).await? {
            Shown::Present(value) if reveal => Told::Value(Revealed(value)),
            Shown::Present(_) => Told::Present(true),
            Shown::Erased(erased) => Told::Erased(erased),
            Shown::Restricted(waiting) => Told::Restricted(waiting),
        };
        personal.insert(path, PersonalField { of: sealed.subject, class: sealed.class, told });
    }
    Ok(Happened {
        position: recorded.position,
        at: recorded.recorded_at,
        event: recorded.name,
        version: recorded.version,
        id: recorded.id,
        actor: recorded.metadata.actor,
        correlation: recorded.metadata.correlation,
        causation: recorded.metadata.causation,
        stream: recorded.stream.to_string(),
        revision: recorded.revision,
        plain,
        personal,
    })
}
