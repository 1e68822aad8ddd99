//! Moving a whole log to another backend, and showing that nothing is different there.

use std::collections::HashMap;

use rollcall_schemas::Event;

use super::merkle::{Frontier, Hash};
use super::tree::leaf;
use crate::eventlog::{self, Append, EventLog, Item, NewEvent, Outcome, RawEvent};

/// Events that are read and appended together.
const BATCH_MAX: usize = 2_000;

/// Why a log is not moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the two logs.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The target holds something else.
    #[error(
        "the target holds another event at position {0} than the source: it is no copy of it; name an empty target"
    )]
    Other(u64),
    /// Somebody writes to the target.
    #[error("the target was written to by somebody else: {0}; nobody may use it before the copy is whole")]
    Contended(String),
    /// The log is of a newer version.
    #[error("the source holds an event {name} at position {position}, which this version does not know")]
    Unknown {
        /// Its name.
        name: String,
        /// Where.
        position: u64,
    },
}

/// Appends the events that the target lacks, also to a target that has some of them. `progress` is told events done and events
/// in all.
///
/// # Errors
/// A log is unavailable, or the target is no copy of the source. What was copied stays.
pub async fn copy(from: &dyn EventLog, to: &dyn EventLog, progress: &dyn Fn(u64, u64)) -> Result<(), Error> {
    let names: HashMap<&str, &'static str> = Event::declarations().map(|event| (event.name, event.name)).collect();
    // What a copy that was cut short had sent is there by now, or never will be.
    let mut done = to.fence().await?;
    if done > 0 {
        let (ours, theirs) = (from.read_all(done - 1, 1).await?, to.read_all(done - 1, 1).await?);
        if ours != theirs {
            return Err(Error::Other(done));
        }
    }
    let head = from.head();
    while done < head {
        let events = from.read_all(done, BATCH_MAX).await?;
        let Some(last) = events.last() else { break };
        done = last.position;
        let items = items(events, &names)?;
        let expected: Vec<_> = items.iter().map(|(_, position)| *position).collect();
        let outcomes = to.append(items.into_iter().map(|(item, _)| item).collect()).await?;
        for (outcome, position) in outcomes.into_iter().zip(expected) {
            match outcome {
                Outcome::Appended { last, .. } if last == position => {}
                other => return Err(Error::Contended(format!("{other:?} where {position} was due"))),
            }
        }
        progress(done, head);
    }
    Ok(())
}

/// An item for each run of events of one stream, with the position of its last event.
fn items(events: Vec<RawEvent>, names: &HashMap<&str, &'static str>) -> Result<Vec<(Item, u64)>, Error> {
    let mut items: Vec<(Item, u64)> = Vec::new();
    for RawEvent { position, stream, revision, id, name, version, recorded_at, core, blobs } in events {
        let name = *names.get(&*name).ok_or_else(|| Error::Unknown { name: name.into_owned(), position })?;
        let event = NewEvent { id, name, version, recorded_at, core, blobs };
        match items.last_mut().and_then(|(item, last)| Some((item.appends.last_mut()?, last))) {
            Some((append, last)) if *append.stream == *stream => {
                append.events.push(event);
                *last = position;
            }
            _ => {
                let appends = vec![Append { stream: stream.to_string(), expected: revision - 1, events: vec![event] }];
                items.push((Item { appends, ..Item::default() }, position));
            }
        }
    }
    Ok(items)
}

/// Compares two logs event by event, attached ciphertexts included; answers how many there are and the root over them.
///
/// # Errors
/// A log is unavailable, or they differ.
pub async fn compare(
    one: &dyn EventLog,
    other: &dyn EventLog,
    progress: &dyn Fn(u64, u64),
) -> Result<(u64, Hash), Error> {
    let head = one.head();
    let mut frontier = Frontier::default();
    while frontier.size() < head {
        let after = frontier.size();
        let (ours, theirs) = (one.read_all(after, BATCH_MAX).await?, other.read_all(after, BATCH_MAX).await?);
        let differs = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
        if let Some((event, _)) = differs {
            return Err(Error::Other(event.position));
        }
        if ours.len() != theirs.len() || ours.is_empty() {
            return Err(Error::Other(after + ours.len().min(theirs.len()) as u64 + 1));
        }
        ours.iter().for_each(|event| frontier.push(leaf::hash(event)));
        progress(frontier.size(), head);
    }
    if other.head() == head { Ok((head, frontier.root())) } else { Err(Error::Other(head + 1)) }
}
