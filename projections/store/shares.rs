//! What each read model has to do for a batch of the log.

use super::{Checkpoint, Error};
use crate::{Arrival, Projection};

/// What one read model has to do for a batch.
pub(super) struct Share<'b, 'e> {
    pub(super) model: &'b dyn Projection,
    pub(super) arrivals: &'b [Arrival<'e>],
    pub(super) before: u64,
    pub(super) after: Checkpoint,
}

fn after(model: &dyn Projection, last: &Arrival<'_>) -> Checkpoint {
    Checkpoint { model: model.name(), version: model.version(), position: last.position(), event: Some(last.id()) }
}

/// The shares of a batch that has no gap; each read model skips what it applied before.
pub(super) fn of<'b, 'e>(
    batch: &'b [Arrival<'e>],
    which: &[&'b dyn Projection],
    checkpoint: &dyn Fn(&str) -> Result<u64, Error>,
) -> Result<Vec<Share<'b, 'e>>, Error> {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(Vec::new()) };
    let numbered = (first.position()..).zip(batch.iter().map(Arrival::position));
    let hole = numbered.into_iter().find(|(expected, found)| expected != found);
    let mut shares = Vec::with_capacity(which.len());
    for model in which {
        let before = checkpoint(model.name())?;
        let expected = before + 1;
        let gap = if first.position() > expected { Some((expected, first.position())) } else { hole };
        if let Some((expected, found)) = gap {
            return Err(Error::Gap { model: model.name(), expected, found });
        }
        let skip = usize::try_from(expected - first.position()).unwrap_or(usize::MAX);
        if let Some(arrivals) = batch.get(skip..).filter(|arrivals| !arrivals.is_empty()) {
            shares.push(Share { model: *model, arrivals, before, after: after(*model, last) });
        }
    }
    Ok(shares)
}

/// The shares of events that were chosen, with others left out between them.
pub(super) fn of_chosen<'b, 'e>(
    batch: &'b [Arrival<'e>],
    which: &[&'b dyn Projection],
    checkpoint: &dyn Fn(&str) -> Result<u64, Error>,
) -> Result<Vec<Share<'b, 'e>>, Error> {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(Vec::new()) };
    let falls = batch.windows(2).find(|pair| pair[0].position() >= pair[1].position());
    let mut shares = Vec::with_capacity(which.len());
    for model in which {
        let before = checkpoint(model.name())?;
        let expected = before + 1;
        let gap = match falls {
            _ if first.position() < expected => Some((expected, first.position())),
            falls => falls.map(|pair| (pair[0].position() + 1, pair[1].position())),
        };
        if let Some((expected, found)) = gap {
            return Err(Error::Gap { model: model.name(), expected, found });
        }
        shares.push(Share { model: *model, arrivals: batch, before, after: after(*model, last) });
    }
    Ok(shares)
}
