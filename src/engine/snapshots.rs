//! States recorded beside events, so that what it costs to load a stream does not grow with its age.
//!
//! Every login appends to the streams of a user. After every so many events of a stream its state is recorded in the
//! envelope of the next one: the state *before* that event. A load reads the stream from its end back to the last snapshot, and
//! applies the events from there on to it. A snapshot is part of the event: it is durable, copied and signed with it. One
//! that this version cannot use is ignored, and the stream is read further back (docs/decisions/0023).

use rollcall_schemas::stream::Stream;

use super::{Error, journal};
use crate::domain::{LIST_MAX, State};
use crate::eventlog::{self, EventLog, RawEvent};

/// After how many events the state is recorded again.
const EVERY: u64 = 16;
/// A list is recorded as a whole: the longer it is, the later, so that an event costs no more bytes for it.
const ENTRIES_PER_EVENT: u64 = 4;
/// Most entries of lists that are recorded with one command: those of one full list. A log takes only so many bytes at
/// once; what is left out is recorded with a later command.
pub(super) const ENTRIES_MAX: usize = LIST_MAX;
/// Sizes of the pages in which a stream is read back. Together they reach as far as a snapshot may be behind the end.
const PAGES_BACK: [usize; 6] = [16, 32, 64, 128, 256, 512];
/// Size of the pages in which a stream without a snapshot is read from its beginning.
const PAGE: usize = 512;

/// A stream's state as it was loaded.
pub(super) struct Loaded {
    /// Which stream.
    pub stream: Stream,
    /// Its state.
    pub state: State,
    /// The revision the state is of.
    pub revision: u64,
    /// How many events stand in the stream since its state was last recorded.
    pub since_snapshot: u64,
}

impl Loaded {
    /// A stream without events.
    pub(super) fn empty(stream: Stream) -> Self {
        Self { state: State::of(&stream), revision: 0, since_snapshot: 0, stream }
    }
}

/// Whether a state is to be recorded with the next event of its stream; `since`: how many there are since the last one.
pub(super) fn is_due(state: &State, since: u64) -> bool {
    since >= EVERY + state.entries() as u64 / ENTRIES_PER_EVENT
}

/// Applies the next events of a stream.
fn evolve(loaded: &mut Loaded, events: &[RawEvent]) -> Result<(), Error> {
    for raw in events {
        if raw.revision != loaded.revision + 1 {
            let reason = format!("{} has revision {} behind {}", raw.stream, raw.revision, loaded.revision);
            return Err(eventlog::Error::Corrupt { position: raw.position, reason: reason.into() }.into());
        }
        journal::evolve(&mut loaded.state, &journal::decode(raw)?)?;
        loaded.revision = raw.revision;
        loaded.since_snapshot += 1;
    }
    Ok(())
}

/// Reads the state of a stream.
///
/// # Errors
/// The log cannot be read, or is corrupt.
pub(super) async fn read(log: &dyn EventLog, stream: &Stream) -> Result<Loaded, Error> {
    let name = stream.to_string();
    let (mut before, mut later) = (u64::MAX, vec![]);
    for limit in PAGES_BACK {
        let mut page = log.read_stream_back(&name, before, limit).await?;
        let restored = last_snapshot(stream, &page)?;
        before = page.first().map_or(0, |first| first.revision);
        page.append(&mut later);
        later = page;
        let mut loaded = Loaded::empty(stream.clone());
        if let Some((index, state)) = restored {
            later.drain(..index);
            loaded.revision = later.first().map_or(0, |first| first.revision.saturating_sub(1));
            loaded.state = state;
        } else if before > 1 {
            continue;
        }
        evolve(&mut loaded, &later)?;
        return Ok(loaded);
    }
    // An earlier version of this service wrote it: its state is recorded with its next event.
    from_beginning(log, stream, &name).await
}

/// The last event of a page that has a snapshot which this version can use, and the state in it.
fn last_snapshot(stream: &Stream, page: &[RawEvent]) -> Result<Option<(usize, State)>, Error> {
    for (index, raw) in page.iter().enumerate().rev() {
        let snapshot = journal::snapshot(raw)?;
        if let Some(state) = snapshot.and_then(|snapshot| State::restore(stream, &snapshot)) {
            return Ok(Some((index, state)));
        }
    }
    Ok(None)
}

async fn from_beginning(log: &dyn EventLog, stream: &Stream, name: &str) -> Result<Loaded, Error> {
    let mut loaded = Loaded::empty(stream.clone());
    loop {
        let page = log.read_stream(name, loaded.revision, PAGE).await?;
        evolve(&mut loaded, &page)?;
        if page.len() < PAGE {
            return Ok(loaded);
        }
    }
}

#[cfg(test)]
mod tests;
