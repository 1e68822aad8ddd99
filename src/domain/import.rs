//! An import of records that a caller sends: begun, dealt with record by record, ended. The records themselves are commands
//! of their own, and none of what they say is recorded here.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, ImportId};
use rollcall_schemas::import::{Begun, BegunV2, Ended, Event, Kind, OnConflict, Progressed};
use rollcall_schemas::plain::OwnText;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::Decide;
use super::state::Recorded;
use super::{Error, Reads, Refusal, UnitOfWork};

/// How far an import has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Whether there is one.
    pub is_begun: bool,
    /// With how many records it has dealt.
    pub reached: u64,
    /// Whether these are all.
    pub is_ended: bool,
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Begun(_) | Event::BegunV2(_) => state.is_begun = true,
        Event::Progressed(e) => {
            let refused = u64::try_from(e.refused.len()).unwrap_or(u64::MAX);
            let dealt_with = e.done.saturating_add(e.skipped).saturating_add(refused);
            state.reached = e.from.saturating_add(dealt_with);
        }
        Event::Ended(_) => state.is_ended = true,
    }
}

/// Begin an import.
#[derive(Debug, Clone)]
pub struct Begin {
    /// What its records are about.
    pub kind: Kind,
    /// What happens to a record about something that is there already.
    pub on_conflict: OnConflict,
    /// Bytes that the caller will send; `None`: it did not say.
    pub length: Option<u64>,
}

impl Decide for Begin {
    type Reply = ImportId;

    fn reads(&self, _: &AppId, _: &mut Reads) {}

    fn fresh_ids(&self) -> usize {
        1
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<ImportId, Error> {
        let Self { kind, on_conflict, length } = *self;
        let import = ImportId(work.fresh()?);
        // The first version is recorded wherever it says everything: whoever follows only that one misses no such import.
        let begun = match kind.v1() {
            Some(kind) => Begun { import, kind, on_conflict, length }.into(),
            None => BegunV2 { import, kind, on_conflict, length }.into(),
        };
        work.record::<State>(import, [begun])?;
        Ok(import)
    }
}

/// Record what became of the next records. Of several callers that send the same ones, one is not refused.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Which import.
    pub import: ImportId,
    /// How many records were dealt with before.
    pub from: u64,
    /// How many of the next ones were done.
    pub done: u64,
    /// How many were left out.
    pub skipped: u64,
    /// The numbers of those that were refused, in order, and why each was.
    pub refused: Vec<(u64, String)>,
    /// Bytes received so far.
    pub bytes: u64,
    /// Whether these were the last ones.
    pub ends: bool,
}

impl Decide for Progress {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Import(self.import));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let Self { import, from, done, skipped, bytes, ends, .. } = *self;
        let state: &State = work.state(import)?;
        if !state.is_begun {
            return Err(Refusal::NoSuchOperation.into());
        }
        if state.is_ended || state.reached != from {
            return Err(Refusal::ImportMovedOn.into());
        }
        let mut events: Vec<Event> = vec![];
        if done > 0 || skipped > 0 || !self.refused.is_empty() {
            let (refused, reasons) = self.refused.iter().cloned().map(|(number, why)| (number, OwnText(why))).unzip();
            events.push(Progressed { import, from, done, skipped, refused, reasons, bytes }.into());
        }
        if ends {
            events.push(Ended { import }.into());
        }
        Ok(work.record::<State>(import, events)?)
    }
}
