//! What would be recorded, as far as the replica knows; decided again whenever it learns more.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::eventlog::embedded::Embedded;
use crate::eventlog::embedded::step::Step;
use crate::eventlog::plan::{self, Plan, Refused};
use crate::eventlog::{Error, EventLog as _, Item, Outcome};

/// Most bytes of one append: the server takes 1 MiB, and counts some more than is counted here.
const APPEND_BYTES_MAX: usize = 900 * 1024;
/// What the names around an event's bytes add, at most.
const AROUND_EVENT: usize = 512;

/// What becomes of items.
pub(super) struct Planned {
    pub(super) outcomes: Vec<Outcome>,
    /// What was refused, of these items and of those before them.
    pub(super) refused: Refused,
}

/// The steps that record items, and what becomes of them; `refused`: what was refused of the items before them.
pub(super) fn append(replica: &Embedded, items: &[Item], refused: &Refused) -> Result<(Vec<Step>, Planned), Error> {
    let mut plan = Plan { head: replica.head(), refused: refused.clone(), ..Plan::default() };
    for stream in plan::streams(items) {
        plan.revisions.insert(stream.into(), replica.revision(stream)?);
    }
    for guard in items.iter().filter_map(|item| item.idempotency.as_ref()) {
        if let Some(stored) = replica.outcome(&guard.key)? {
            plan.outcomes.insert(guard.key, stored);
        }
    }
    let mut steps = Vec::new();
    let outcomes = items.iter().map(|item| {
        let outcome = plan.add(item);
        let (events, kept) = (std::mem::take(&mut plan.events), plan.kept.pop());
        if !events.is_empty() || kept.is_some() {
            steps.push(Step::Append { events, kept });
        }
        outcome
    });
    let outcomes = outcomes.collect();
    Ok((steps, Planned { outcomes, refused: plan.refused }))
}

/// The step that detaches blobs, if there are any to detach.
pub(super) fn detach(replica: &Embedded, remaining: &[(u64, Option<Bytes>)]) -> Result<Vec<Step>, Error> {
    let mut changing = Vec::new();
    for (position, blobs) in remaining {
        if replica.differs(*position, blobs.as_deref())? {
            changing.push((*position, blobs.clone()));
        }
    }
    Ok(if changing.is_empty() { vec![] } else { vec![Step::Detach(changing)] })
}

/// The step that makes the log that of a vault, if it is nobody's.
pub(super) fn own(replica: &Embedded, vault: Uuid) -> Result<Vec<Step>, Error> {
    Ok(if replica.owner()?.is_none() { vec![Step::Own(vault)] } else { vec![] })
}

/// The step that deletes the oldest of the keys recorded before a time, if there are any.
pub(super) fn expire(replica: &Embedded, time: DateTime<Utc>) -> Result<Vec<Step>, Error> {
    Ok(replica.oldest_outcomes(time)?.map(Step::Expire).into_iter().collect())
}

/// Bytes as base64 has them.
fn encoded(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

fn size(item: &Item) -> usize {
    let events = item.appends.iter().flat_map(|append| {
        append.events.iter().map(|event| {
            let blobs = event.blobs.as_ref().map_or(0, Bytes::len);
            event.core.len() + encoded(blobs) + append.stream.len() + AROUND_EVENT
        })
    });
    let guard = item.idempotency.as_ref().map_or(0, |guard| encoded(guard.outcome.len()) + AROUND_EVENT);
    events.sum::<usize>() + guard
}

/// Cuts batches into what one append takes. An item is never cut, and a batch only where it does not fit into one.
/// Each item comes with the number of its batch.
pub(super) fn chunks(batches: Vec<Vec<Item>>) -> Vec<Vec<(usize, Item)>> {
    let mut chunks = vec![vec![]];
    let mut used = 0;
    for (number, batch) in batches.into_iter().enumerate() {
        let sizes: Vec<_> = batch.iter().map(size).collect();
        let whole = sizes.iter().sum::<usize>();
        let mut starts_anew = used + whole > APPEND_BYTES_MAX && whole <= APPEND_BYTES_MAX;
        for (item, size) in batch.into_iter().zip(sizes) {
            if used > 0 && (starts_anew || used + size > APPEND_BYTES_MAX) {
                chunks.push(vec![]);
                used = 0;
            }
            starts_anew = false;
            used += size;
            if let Some(chunk) = chunks.last_mut() {
                chunk.push((number, item));
            }
        }
    }
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

/// Cuts what is to be detached into what one append takes.
pub(super) fn detachments(remaining: Vec<(u64, Option<Bytes>)>) -> Vec<Vec<(u64, Option<Bytes>)>> {
    let mut pieces: Vec<Vec<_>> = Vec::new();
    let mut used = usize::MAX;
    for (position, blobs) in remaining {
        let size = encoded(blobs.as_ref().map_or(0, Bytes::len)) + 32;
        if used.saturating_add(size) > APPEND_BYTES_MAX {
            pieces.push(vec![]);
            used = 0;
        }
        used += size;
        if let Some(piece) = pieces.last_mut() {
            piece.push((position, blobs));
        }
    }
    pieces
}
