//! Loads the states the decider loop does not have.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;

use super::decider::Loaded;
use super::{Error, journal};
use crate::domain::State;
use crate::eventlog::EventLog;

const PAGE: usize = 512;

/// The streams of a subject that was allocated a moment ago: none exists.
pub(super) fn streams_of_new(subject: SubjectRef) -> Vec<Loaded> {
    [
        Stream::User(subject),
        Stream::Token(subject),
        Stream::Ban(subject),
        Stream::Blocklist(subject),
        Stream::Allowlist(subject),
        Stream::Remarks(subject),
    ]
    .into_iter()
    .map(|stream| Loaded { state: State::of(&stream), revision: 0, stream })
    .collect()
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
            state.evolve(&recorded.event, recorded.recorded_at);
            revision = raw.revision;
        }
        if page.len() < PAGE {
            return Ok(Loaded { stream: stream.clone(), state, revision });
        }
    }
}
