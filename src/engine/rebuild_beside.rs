//! Builds a read model of a data directory anew while the service runs, and lets it take the place of the live one.
//!
//! The log is applied in a scratch file, its rows are brought beside the live ones, and both are exchanged at a position that
//! both have reached. Queries are answered by the former one until then; none fails and none sees half of each.

use std::sync::Arc;

use rollcall_projections::store::{self, ReadStore};
use rollcall_projections::{Arrival, Projection};
use tokio_util::sync::CancellationToken;

use super::projector::{Error, Prepared};
use super::rebuild::{fill, offline};
use super::rebuild_live::Scratch;
use crate::eventlog::EventLog;
use crate::privacy::Vault;

/// How often what came meanwhile is applied in the scratch file before its rows are brought.
const ROUNDS: usize = 3;
/// How often it is tried to find the live one at the position that was prepared for.
const TRIES_MAX: usize = 10_000;
/// Events that are prepared at once.
const BATCH_MAX: usize = 20_000;

/// What a read model is built from, and where.
pub(super) struct Parts<'p> {
    pub(super) log: &'p Arc<dyn EventLog>,
    pub(super) vault: &'p Arc<dyn Vault>,
    pub(super) read: &'p Arc<ReadStore>,
    pub(super) scratch: &'p Scratch,
}

/// Who is told how far it is.
pub(super) struct Progress<'p> {
    /// Events applied, and events in all.
    pub(super) events: &'p dyn Fn(u64, u64),
    /// Rows brought, and rows in all.
    pub(super) rows: &'p dyn Fn(u64, u64),
}

/// Builds a read model anew and lets it take the place of the live one; `false`: it was stopped, and the live one is as it was.
/// Part of it waits for the disk: it must not run on a thread that answers.
///
/// # Errors
/// The log, the vault or a file is unavailable; the live one is as it was.
pub(super) async fn build(
    parts: &Parts<'_>,
    model: &'static dyn Projection,
    progress: Progress<'_>,
    stop: &CancellationToken,
) -> Result<bool, Error> {
    let Parts { log, vault, read, scratch } = *parts;
    let until = read.checkpoint(model.name())?.min(log.head());
    let models = [model];
    let built = scratch.open(log, vault, &models, until).await?;
    built.skip_as(read).await?;
    for _ in 0..ROUNDS {
        let until = read.checkpoint(model.name())?.min(log.head());
        let filling = fill(log, vault, &built, &models, until, progress.events);
        let Some(filled) = stop.run_until_cancelled(filling).await else { return Ok(false) };
        filled?;
    }
    let goes_on = |brought, all| {
        (progress.rows)(brought, all);
        !stop.is_cancelled()
    };
    let Some(beside) = read.bring_beside(&built, model, &goes_on)? else { return Ok(false) };
    let projector = offline(log, vault, read);
    let (mut tail, mut reached) = (Vec::<Prepared>::new(), built.checkpoint(model.name())?);
    for _ in 0..TRIES_MAX {
        let until = read.checkpoint(model.name())?;
        while reached < until {
            let left = usize::try_from(until - reached).unwrap_or(usize::MAX).min(BATCH_MAX);
            let raw = log.read_all(reached, left).await?;
            let Some(last) = raw.last() else { break };
            reached = last.position;
            tail.extend(projector.prepare(&raw)?);
        }
        let arrivals: Vec<Arrival<'_>> = tail.iter().map(Prepared::arrival).collect();
        if reached == until && beside.take_place(&arrivals, until)? {
            drop(beside);
            built.discard();
            drop(built);
            scratch.remove()?;
            return Ok(true);
        }
        if stop.is_cancelled() {
            return Ok(false);
        }
    }
    Err(store::Error::InUse.into())
}
