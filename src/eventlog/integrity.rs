//! Whether a log may still be used: not any more once something was found in it that cannot be right.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use crate::tasks;

/// What is wrong with a log. The codes are stable: monitoring and the record of an incident rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// It lacks events that it held, or holds others in their place.
    Rewound,
    /// It is gone as a whole.
    Deleted,
    /// It holds an entry that this service did not write.
    ForeignEntry,
    /// It goes on from an entry that it does not hold any more.
    Forked,
    /// Its server may drop events, because of what is set of it.
    Retention,
    /// An event is missing between two others.
    Hole,
    /// An event cannot be read.
    Unreadable,
    /// Another process appends in the place of this one.
    Superseded,
}

impl Damage {
    /// Its code, such as `rewound`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rewound => "rewound",
            Self::Deleted => "deleted",
            Self::ForeignEntry => "foreign-entry",
            Self::Forked => "forked",
            Self::Retention => "retention",
            Self::Hole => "hole",
            Self::Unreadable => "unreadable",
            Self::Superseded => "superseded",
        }
    }

    /// Whether it is of the log, and not of this process alone: then the next start must know of it.
    const fn outlives_the_process(self) -> bool {
        !matches!(self, Self::Superseded)
    }

    /// With what is said of it.
    pub fn because(self, text: impl Into<String>) -> Reason {
        Reason { damage: self, text: text.into(), last_seen: None, found: None }
    }
}

/// An event at its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its position.
    pub position: u64,
    /// Its id.
    pub event: Uuid,
}

/// Why a log is corrupt; reads as its text. A plain text stands for [`Damage::Unreadable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What is wrong.
    pub damage: Damage,
    text: String,
    /// The last event that was known to be in the log.
    pub last_seen: Option<Seen>,
    /// What the log holds at the position of `last_seen` instead; none where that is nothing, or is not known.
    pub found: Option<Uuid>,
}

impl Reason {
    /// With the last event that was known to be in the log, and what stands at its position.
    #[must_use]
    pub fn with(self, last_seen: Option<Seen>, found: Option<Uuid>) -> Self {
        Self { last_seen, found, ..self }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Damage::Unreadable.because(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Damage::Unreadable.because(text)
    }
}

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Keeps what is found in a log, so that it outlives the process.
pub trait DamageRecorder: Send + Sync {
    /// Records damage, durably where that is possible at the moment. Waits for a disk.
    fn record(&self, position: u64, reason: &Reason);
}

/// Whether one log may be used.
#[derive(Default)]
pub(super) struct Integrity {
    broken: OnceLock<Error>,
    recorder: OnceLock<Arc<dyn DamageRecorder>>,
    /// Held while damage is recorded: whoever finds some meanwhile waits for the record.
    recording: Mutex<()>,
}

impl Integrity {
    fn recording(&self) -> MutexGuard<'_, ()> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the log must not be used; `None`: it may.
    pub(super) fn broken(&self) -> Option<Error> {
        self.broken.get().cloned()
    }

    /// Refuses the use of a log that is broken.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.broken.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Has damage recorded there, what was found already included.
    pub(super) fn record_with(&self, recorder: Arc<dyn DamageRecorder>) {
        let _one = self.recording();
        if let Some(Error::Corrupt { position, reason }) = self.broken.get()
            && reason.damage.outlives_the_process()
        {
            recorder.record(*position, reason);
        }
        // The first one stays.
        let _ = self.recorder.set(recorder);
    }

    /// Stops the use of the log for good; answers what every call is refused with from now on. Waits for a disk.
    pub(super) fn condemn_blocking(&self, position: u64, reason: Reason) -> Error {
        let _one = self.recording();
        if let Some(known) = self.broken.get() {
            return known.clone();
        }
        // Recorded first: what anybody does because of it must not be forgotten by a crash.
        if reason.damage.outlives_the_process() {
            self.recorder.get().into_iter().for_each(|recorder| recorder.record(position, &reason));
        }
        let code = reason.damage.code();
        let error = Error::Corrupt { position, reason };
        tracing::error!(code, %error, "the log is broken and is not used any more");
        self.broken.get_or_init(|| error).clone()
    }

    /// The same for a caller that must not block.
    pub(super) async fn condemn(self: &Arc<Self>, position: u64, reason: Reason) -> Error {
        if let Some(known) = self.broken() {
            return known;
        }
        let (integrity, unrecorded) = (self.clone(), Error::Corrupt { position, reason: reason.clone() });
        let condemned = tasks::spawn_blocking(move || integrity.condemn_blocking(position, reason)).await;
        condemned.unwrap_or_else(|_| self.broken.get_or_init(|| unrecorded).clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Default)]
    struct Recorded(Mutex<Vec<(u64, Reason)>>);

    impl DamageRecorder for Recorded {
        fn record(&self, position: u64, reason: &Reason) {
            self.0.lock().unwrap().push((position, reason.clone()));
        }
    }

    #[test]
    fn every_code_is_what_the_record_of_an_incident_says() {
        for damage in [
            Damage::Rewound,
            Damage::Deleted,
            Damage::ForeignEntry,
            Damage::Forked,
            Damage::Retention,
            Damage::Hole,
            Damage::Unreadable,
            Damage::Superseded,
        ] {
            assert_eq!(serde_json::to_value(damage).unwrap(), damage.code());
        }
    }

    #[tokio::test]
    async fn the_first_damage_is_recorded_once_before_anybody_is_refused_for_it() {
        let (integrity, recorded) = (Arc::new(Integrity::default()), Arc::new(Recorded::default()));
        integrity.record_with(recorded.clone());
        assert!(integrity.check().is_ok() && recorded.0.lock().unwrap().is_empty());
        let first = integrity.condemn(7, Damage::Rewound.because("one")).await;
        let second = integrity.condemn(9, Damage::Hole.because("two")).await;
        assert_eq!((first.to_string(), second.to_string()), (second.to_string(), first.to_string()));
        assert_eq!(*recorded.0.lock().unwrap(), [(7, Damage::Rewound.because("one"))]);
        assert!(matches!(integrity.check(), Err(Error::Corrupt { position: 7, .. })));
    }

    #[test]
    fn what_was_found_before_anybody_recorded_it_is_recorded_then() {
        let (integrity, recorded) = (Integrity::default(), Arc::new(Recorded::default()));
        integrity.condemn_blocking(3, "torn".into());
        integrity.record_with(recorded.clone());
        assert_eq!(*recorded.0.lock().unwrap(), [(3, Damage::Unreadable.because("torn"))]);
    }
}
