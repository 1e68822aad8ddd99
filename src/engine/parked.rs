//! Applies parked events to a read model again, read anew from the log.

use std::sync::Arc;

use rollcall_projections::store::{ReadStore, Retried};
use rollcall_projections::{Arrival, Projection};

use super::projector::{Error, Prepared};
use super::rebuild::offline;
use crate::eventlog::EventLog;
use crate::privacy::Vault;

/// Most parked events that are applied in one transaction.
const PAGE: u32 = 500;

/// Applies the parked events of a stream to a read model, in order, up to the first that still cannot be applied or
/// decoded. Answers how many were applied, and how many remain parked.
///
/// # Errors
/// The log, the vault or the read store is unavailable; what was applied stays applied.
pub async fn retry(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    model: &dyn Projection,
    stream: &str,
) -> Result<Retried, Error> {
    let projector = offline(log, vault, read);
    let mut applied = 0;
    loop {
        let positions = read.parked_positions(model.name(), stream, PAGE).await?;
        let raw = log.read_at(&positions).await?;
        let prepared = projector.prepare(&raw)?;
        let decoded = prepared.iter().map(Prepared::arrival).map_while(|arrival| match arrival {
            Arrival::Decoded(entry) => Some(entry),
            Arrival::Undecodable(_) => None,
        });
        let entries: Vec<_> = decoded.collect();
        let retried = read.retry_parked(model, stream, &entries).await?;
        applied += retried.applied;
        let all_applied = retried.applied == raw.len() as u64;
        if retried.parked == 0 || !all_applied {
            return Ok(Retried { applied, parked: retried.parked });
        }
    }
}
