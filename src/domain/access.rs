//! Who read what of a user. Nothing is decided by it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::access::{Event, Read};
use rollcall_schemas::ids::{AppId, FieldName, SubjectRef};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::state::Recorded;
use super::{Decide, Error, Reads, UnitOfWork};

/// What later decisions know of reads: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State;

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(_: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Read(_) => {}
    }
}

/// Record that fields of subjects are answered to the caller, where the app asks for it.
#[derive(Debug, Clone)]
pub struct RecordReads(pub Vec<(SubjectRef, BTreeSet<FieldName>)>);

impl Decide for RecordReads {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.0.iter().for_each(|(subject, _)| reads.stream(Stream::Access(*subject)));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        if work.application()?.settings.record_reads {
            for (subject, fields) in &self.0 {
                work.record::<State>(*subject, [Read { subject: *subject, fields: fields.clone() }.into()])?;
            }
        }
        Ok(())
    }
}
