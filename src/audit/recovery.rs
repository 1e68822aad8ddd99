//! Continues with a log that was put back to an earlier state, so that what was erased since stays erased.
//!
//! The vault keeps a ledger of the keys it destroyed. An erasure that is missing in the log is recorded there again under
//! its old id, and then goes through its steps like any other.

use std::path::Path;

use rollcall_schemas::envelope::Actor;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::Scope;

use super::incident::Incident;
use super::tree::tiles::Tiles;
use super::tree::{self, leaf};
use crate::domain::erasure::{Advance, Step};
use crate::engine::{Caller, Engine, Error};
use crate::eventlog::{EventLog, Seen};
use crate::privacy::{KeysToDestroy, Vault};

const PAGE: u32 = 500;

/// Records every erasure of the vault's ledger that the log does not know; returns how many there are in the ledger.
///
/// # Errors
/// The vault or the log is unavailable; it may be repeated.
pub async fn reapply_erasures(engine: &Engine) -> Result<u32, Error> {
    let (mut done, mut last) = (0, 0);
    loop {
        let destructions = engine.vault().destructions(last, PAGE)?;
        if destructions.is_empty() {
            return Ok(done);
        }
        for (number, destruction) in destructions {
            let KeysToDestroy { erasure, app, subject, classes, operation } = destruction.keys_to_destroy;
            let scope = if classes.contains(&Class::Identity) { Scope::Forget } else { Scope::Deactivate };
            let step = Step::Begin(scope, operation);
            let caller = Caller::internal(app, Actor::Operator);
            engine.execute(&caller, Advance { erasure, subject, step, friends: vec![] }).await?;
            (done, last) = (done + 1, number);
        }
    }
}

/// Events that were acknowledged and that the log does not hold any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Position of the first of them.
    pub first: u64,
    /// Position of the last of them.
    pub last: u64,
}

/// What the log lacks of what the tree in `dir`, the vault and an incident know of it; nothing where it lacks nothing. To be
/// asked before the tree is opened: it knows of events that no checkpoint was signed for.
///
/// # Errors
/// The tree, the vault or the log cannot be read.
pub async fn lost(
    dir: &Path,
    log: &dyn EventLog,
    vault: &dyn Vault,
    incident: Option<&Incident>,
) -> Result<Option<Lost>, tree::Error> {
    let (tiles, head) = (Tiles::open(dir, u64::MAX)?, log.head());
    let leaves = written(&tiles)?;
    let kept = common(&tiles, leaves, log).await?;
    let seen = incident.and_then(|incident| incident.last_seen);
    let witnessed = vault.witnessed()?.map_or(0, |seen| seen.size);
    let last = [leaves, witnessed, seen.map_or(0, |seen| seen.position)].into_iter().max().unwrap_or(0);
    let is_another = match seen {
        Some(Seen { position, event }) if position > 0 && position <= head => {
            log.read_all(position - 1, 1).await?.first().map(|found| found.id) != Some(event)
        }
        _ => false,
    };
    let first = if kept < leaves.min(head) {
        // The log went on another way from there.
        kept + 1
    } else if is_another {
        // So it did, and no leaf tells from where on.
        (leaves + 1).min(last)
    } else {
        head + 1
    };
    Ok((first <= last).then_some(Lost { first, last }))
}

/// How many leaves were written whole: after a power cut, a file may end with zeros.
fn written(tiles: &Tiles) -> std::io::Result<u64> {
    let mut leaves = tiles.size();
    while leaves > 0 && tiles.hashes(0, leaves - 1, leaves)?.iter().flatten().all(|byte| *byte == 0) {
        leaves -= 1;
    }
    Ok(leaves)
}

/// Up to where the log holds the events of the first `leaves` leaves. Two logs that hold the same event somewhere hold the
/// same ones before it.
async fn common(tiles: &Tiles, leaves: u64, log: &dyn EventLog) -> Result<u64, tree::Error> {
    let mut until = leaves.min(log.head());
    while until > 0 {
        let from = until.saturating_sub(u64::from(PAGE));
        let events = log.read_all(from, usize::try_from(until - from).unwrap_or(usize::MAX)).await?;
        let recorded = tiles.hashes(0, from, until)?;
        let alike = events.iter().map(leaf::hash).zip(recorded).rposition(|(here, recorded)| here == recorded);
        if let Some(index) = alike {
            return Ok(from + index as u64 + 1);
        }
        until = from;
    }
    Ok(0)
}
