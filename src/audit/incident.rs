//! What a node found wrong with its log, kept in the data directory, so that a restart does not forget it.
//!
//! A signed checkpoint tells a log that lost more than the last second; only the node that saw the last events knows that these
//! are missing. What it finds is written down before anybody is refused for it, and refuses every start until
//! `rollcall recover` has gone on without what is lost, or the log holds again what was seen of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tree::publish;
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::eventlog::{self, Damage, DamageRecorder, EventLog, Reason, Seen};
use crate::tasks;

/// How the file of an open incident is named.
const FILE: &str = "incident.json";
/// How often it is looked whether the log is broken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a log that stays broken is told of.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// What was found. Positions and ids, nothing of what events hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What is wrong.
    #[serde(rename = "code")]
    pub damage: Damage,
    /// Where in the log.
    pub position: u64,
    /// When it was found.
    pub noticed_at: DateTime<Utc>,
    /// What is wrong, in words.
    pub reason: String,
    /// The last event that the node knew to be in the log.
    pub last_seen: Option<Seen>,
    /// What the log held at the position of `last_seen` instead; none where that was nothing, or is not known.
    pub found: Option<Uuid>,
}

impl Incident {
    /// What to do, in a sentence.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.damage {
            Damage::Rewound => {
                "bring the missing events back, or run `rollcall recover`, which says what is lost and goes on without it"
            }
            Damage::Deleted => {
                "put the log back from a backup; on KurrentDB copy what this node holds to another place with `rollcall \
                 copy`; or run `rollcall recover`, which says what is lost and goes on without it"
            }
            Damage::ForeignEntry | Damage::Forked => "copy what is whole to another place with `rollcall copy`",
            Damage::Retention => {
                "take the limits off the stream and start again; if events are gone, run `rollcall copy`"
            }
            Damage::Hole | Damage::Unreadable => {
                "put back a log that is whole; `rollcall audit verify` tells what is not"
            }
            Damage::Superseded => "stop the other process, and start again",
        }
    }

    /// Whether the log holds what the node knew of it.
    async fn is_over(&self, log: &dyn EventLog) -> Result<bool, eventlog::Error> {
        let holds = async |position: u64| -> Result<Option<Uuid>, eventlog::Error> {
            if position == 0 || position > log.head() {
                return Ok(None);
            }
            Ok(log.read_all(position - 1, 1).await?.first().map(|event| event.id))
        };
        let is_seen_there = match self.last_seen {
            Some(Seen { position, event }) => holds(position).await? == Some(event),
            None => holds(self.position).await?.is_some(),
        };
        let is_readable = match self.damage {
            Damage::Hole | Damage::Unreadable => holds(self.position).await?.is_some(),
            Damage::Rewound
            | Damage::Deleted
            | Damage::ForeignEntry
            | Damage::Forked
            | Damage::Retention
            | Damage::Superseded => true,
        };
        Ok(is_seen_there && is_readable)
    }
}

impl std::fmt::Display for Incident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { damage, position, noticed_at, reason, last_seen, .. } = self;
        let (code, at) = (damage.code(), noticed_at.to_rfc3339_opts(SecondsFormat::Secs, true));
        write!(f, "at {at} a node found the log broken ({code} at position {position}): {reason}")?;
        match last_seen {
            Some(Seen { position, event }) => {
                write!(f, "; it had seen the event {event} at position {position}, and the log must hold it")
            }
            None => Ok(()),
        }
    }
}

/// Why a service does not start on a log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log was found broken, and is not what it was.
    #[error("{incident}. {}; see docs/broken-log.md", capitalised(incident.remedy()))]
    Open {
        /// What was found.
        incident: Box<Incident>,
    },
    /// It is not known whether it was.
    #[error("{path}, which says how the log was found broken, cannot be used: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
}

/// A sentence of its own.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// The incidents of one data directory: at most one is open.
pub struct Incidents {
    path: PathBuf,
}

impl Incidents {
    /// Those of this data directory.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self { path: dir.join(FILE) }
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::File { path: self.path.clone(), source }
    }

    /// The incident that is open, if one is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(&self) -> Result<Option<Incident>, Error> {
        match std::fs::read(&self.path) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| self.failed(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Ends the incident that is open; what is known of it is kept beside, under a number.
    ///
    /// # Errors
    /// The file cannot be renamed, or not durably.
    pub fn close(&self) -> Result<(), Error> {
        let Some(dir) = self.path.parent() else { return Ok(()) };
        let beside = |number: u32| dir.join(format!("incident-{number}.json"));
        let Some(free) = (1..).map(beside).find(|path| !path.exists()) else { return Ok(()) };
        match std::fs::rename(&self.path, free) {
            Ok(()) => std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| self.failed(error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Refuses a log that was found broken. Where it holds again what was seen of it, the incident is over.
    ///
    /// # Errors
    /// [`Error::Open`]; or the file or the log cannot be read.
    pub async fn settle(&self, log: &dyn EventLog) -> Result<(), Error> {
        let Some(incident) = self.open()? else { return Ok(()) };
        if !incident.is_over(log).await? {
            return Err(Error::Open { incident: Box::new(incident) });
        }
        tracing::warn!(%incident, "the log holds again what was missed in it; the incident is over");
        self.close()
    }

    /// Writes an incident down, unless one is open: the first tells most.
    fn write(&self, position: u64, reason: &Reason) -> std::io::Result<()> {
        if self.path.exists() {
            return Ok(());
        }
        let Reason { damage, last_seen, found, .. } = *reason;
        let (noticed_at, reason) = (Clock::default().now(), reason.to_string());
        let incident = Incident { damage, position, noticed_at, reason, last_seen, found };
        publish(&self.path, &serde_json::to_string_pretty(&incident)?)
    }
}

impl DamageRecorder for Incidents {
    fn record(&self, position: u64, reason: &Reason) {
        if let Err(error) = self.write(position, reason) {
            let path = self.path.display();
            tracing::error!(%error, %path, "that the log is broken cannot be written down; it is tried again");
        }
    }
}

/// Tells once a minute of a log that stays broken, and writes down what could not be written down when it was found.
pub async fn watch(engine: Arc<Engine>, incidents: Arc<Incidents>, stop: CancellationToken) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    let mut quiet_until = None;
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let Some(eventlog::Error::Corrupt { position, reason }) = engine.log().broken() else { continue };
        let now = tokio::time::Instant::now();
        // It was said when it was found.
        if now < *quiet_until.get_or_insert(now + TELL_EVERY) {
            continue;
        }
        quiet_until = Some(now + TELL_EVERY);
        tracing::error!(code = reason.damage.code(), position, %reason, "the log is broken and is not used any more");
        let incidents = incidents.clone();
        let _ = tasks::spawn_blocking(move || incidents.record(position, &reason)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reason() -> Reason {
        let seen = Seen { position: 9, event: Uuid::from_u128(9) };
        Damage::Rewound.because("three are gone").with(Some(seen), Some(Uuid::from_u128(4)))
    }

    #[test]
    fn the_first_incident_stays_until_it_is_closed_and_is_kept_then() {
        let dir = tempfile::tempdir().unwrap();
        let incidents = Incidents::of(dir.path());
        assert_eq!(incidents.open().unwrap(), None);
        incidents.record(9, &reason());
        incidents.record(3, &"another".into());
        let open = incidents.open().unwrap().unwrap();
        assert_eq!((open.damage, open.position, open.reason.as_str()), (Damage::Rewound, 9, "three are gone"));
        assert_eq!((open.last_seen, open.found), (reason().last_seen, reason().found));
        incidents.close().unwrap();
        incidents.close().unwrap();
        assert_eq!(incidents.open().unwrap(), None);
        incidents.record(3, &"another".into());
        incidents.close().unwrap();
        let mut kept: Vec<_> =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        kept.sort();
        assert_eq!(kept, ["incident-1.json", "incident-2.json"]);
    }

    #[test]
    fn a_file_that_is_no_incident_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "").unwrap();
        let refused = Incidents::of(dir.path()).open().unwrap_err();
        assert!(refused.to_string().contains("incident.json"), "{refused}");
    }

    #[test]
    fn what_is_said_names_the_event_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let incidents = Incidents::of(dir.path());
        incidents.record(9, &reason());
        let said = Error::Open { incident: Box::new(incidents.open().unwrap().unwrap()) }.to_string();
        for part in ["rewound at position 9", "00000000-0000-0000-0000-000000000009", "Bring the missing events back"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
