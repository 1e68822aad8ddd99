//! Loads the states the decider loop does not have.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;

use super::decider::Loaded;
use super::{Error, journal};
use crate::domain::State;
use crate::eventlog::EventLog;

const PAGE: usize = 512;

/// Those of a command's streams that cannot exist yet, because they are of a subject that was allocated a moment ago.
pub(super) fn new_streams(streams: &[Stream], fresh: &[SubjectRef]) -> impl Iterator<Item = Loaded> {
    let is_new = |stream: &&Stream| match *stream {
        Stream::User(subject)
        | Stream::Token(subject)
        | Stream::Ban(subject)
        | Stream::Blocklist(subject)
        | Stream::Allowlist(subject)
        | Stream::Remarks(subject) => fresh.contains(subject),
        Stream::Friendship(pair) => pair.both().iter().any(|subject| fresh.contains(subject)),
        Stream::App(_) | Stream::Roster(_) | Stream::Erasure(_) | Stream::Access(_) | Stream::DataRequest(_) => false,
    };
    streams.iter().filter(is_new).map(|stream| Loaded { state: State::of(stream), revision: 0, stream: stream.clone() })
}

/// Folds streams from the log.
pub(super) async fn streams(log: &dyn EventLog, streams: &[Stream]) -> Result<Vec<Loaded>, Error> {
    let mut loaded = Vec::with_capacity(streams.len());
    for stream in streams {
        loaded.push(fold(log, stream).await?);
    }
    Ok(loaded)
}

async fn fold(log: &dyn EventLog, stream: &Stream) -> Result<Loaded, Error> {
    let name = stream.to_string();
    let (mut state, mut revision) = (State::of(stream), 0);
    loop {
        let page = log.read_stream(&name, revision, PAGE).await?;
        for raw in &page {
            let recorded = journal::decode(raw)?;
            journal::evolve(&mut state, &recorded)?;
            revision = raw.revision;
        }
        if page.len() < PAGE {
            return Ok(Loaded { stream: stream.clone(), state, revision });
        }
    }
}
