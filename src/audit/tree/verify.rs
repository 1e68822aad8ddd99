//! Checks the whole log: every event against its leaf, every ciphertext against what its event recorded, every checkpoint
//! that was signed against the root of the events as they are now.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::note::Checkpoint;
use super::tiles::Tiles;
use super::{Error, Seen, history::History, leaf, seen, verifiers};
use crate::audit::merkle::{Frontier, Hash};
use crate::engine::journal;
use crate::eventlog::{self, EventLog, RawEvent};
use crate::privacy::Vault;
use crate::tasks;

/// Events checked at once.
const BATCH_MAX: usize = 8_192;

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is as it was recorded.
    Whole {
        /// How many events.
        events: u64,
        /// How many ciphertexts are still attached.
        attached: u64,
        /// How many signed checkpoints were compared.
        checkpoints: u64,
        /// Root over all events.
        root: Hash,
    },
    /// Something is not.
    Broken {
        /// The first event that is not as it was recorded, as narrowly as the evidence tells.
        position: u64,
        /// The last event that may be the first broken one; equal to `position` where it is known.
        until: u64,
        /// What is wrong.
        reason: String,
    },
}

/// One batch's events as they were checked.
struct Checked {
    hashes: Vec<Hash>,
    attached: u64,
    broken: Option<(u64, String)>,
}

fn check(events: &[RawEvent]) -> Checked {
    let mut checked = Checked { hashes: Vec::with_capacity(events.len()), attached: 0, broken: None };
    for event in events {
        checked.hashes.push(leaf::hash(event));
        if checked.broken.is_some() {
            continue;
        }
        match attached(event) {
            Ok(attached) => checked.attached += attached,
            Err(reason) => checked.broken = Some((event.position, reason)),
        }
    }
    checked
}

/// How many ciphertexts are attached to an event; all of them are what was recorded.
fn attached(event: &RawEvent) -> Result<u64, String> {
    if event.blobs.is_none() {
        return Ok(0);
    }
    let mut attached = 0;
    for (header, sealed) in journal::sealed_values(event).map_err(|error| error.to_string())? {
        let Some(ciphertext) = sealed.ciphertext else { continue };
        if digest(&SHA256, &ciphertext).as_ref() != sealed.digest {
            return Err(format!("the ciphertext of {} is not the one that was recorded", header.path));
        }
        attached += 1;
    }
    Ok(attached)
}

/// Walks the whole log of a data directory whose tree lies in `dir`. `progress` is told events done and events in all.
///
/// # Errors
/// Something cannot be read; what is wrong with the log is no error but the verdict.
pub async fn verify(
    dir: &Path,
    copy: Option<&Path>,
    log: &Arc<dyn EventLog>,
    vault: &dyn Vault,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Verdict, Error> {
    let (tiles, checkpoints) = (Tiles::open(dir, u64::MAX)?, signed(dir, copy, vault)?);
    walk(log, Some(&tiles), checkpoints, progress).await
}

/// Walks the whole of a copy of a log, which must agree with a checkpoint of the original.
///
/// # Errors
/// As for [`verify`].
pub async fn verify_copy(
    log: &Arc<dyn EventLog>,
    checkpoint: &Checkpoint,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Verdict, Error> {
    let seen = Seen { witness: "the signed checkpoint".into(), size: checkpoint.size, root: checkpoint.root };
    walk(log, None, vec![seen], progress).await
}

async fn walk(
    log: &Arc<dyn EventLog>,
    tiles: Option<&Tiles>,
    mut checkpoints: Vec<Seen>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Verdict, Error> {
    checkpoints.sort_by_key(|seen| seen.size);
    let head = log.head();
    let (mut frontier, mut attached, mut proven, mut compared) = (Frontier::default(), 0, 0, 0);
    let mut next = read(log, 0).await;
    loop {
        let events = match next {
            Ok(events) if events.is_empty() => break,
            Ok(events) => events,
            Err(eventlog::Error::Corrupt { position, reason }) => {
                return Ok(Verdict::Broken { position, until: position, reason: reason.to_string() });
            }
            Err(error) => return Err(error.into()),
        };
        let last = events.last().map_or(0, |event| event.position);
        // The next batch is read while this one is checked.
        let checking = tasks::spawn_blocking(move || check(&events));
        next = read(log, last).await;
        let checked = checking.await.map_err(std::io::Error::other)?;
        let recorded = tiles.and_then(|tiles| tiles.hashes(0, frontier.size(), last.min(tiles.size())).ok());
        let recorded = recorded.unwrap_or_default();
        for (at, hash) in checked.hashes.iter().enumerate() {
            let position = frontier.size() + 1;
            if let Some((broken, reason)) = checked.broken.as_ref().filter(|(broken, _)| *broken == position) {
                return Ok(Verdict::Broken { position: *broken, until: *broken, reason: reason.clone() });
            }
            if recorded.get(at).is_some_and(|recorded| recorded != hash) {
                let reason = "the event is not the one that was recorded".into();
                return Ok(Verdict::Broken { position, until: position, reason });
            }
            frontier.push(*hash);
            while let Some(seen) = checkpoints.get(compared).filter(|seen| seen.size <= frontier.size()) {
                if seen.root != frontier.root() && seen.size == frontier.size() {
                    let reason = format!("the events up to here do not have the root that {} has seen", seen.witness);
                    return Ok(Verdict::Broken { position: proven + 1, until: seen.size, reason });
                }
                proven = seen.size;
                compared += 1;
            }
        }
        attached += checked.attached;
        progress(frontier.size(), head);
    }
    if let Some(missing) = checkpoints.get(compared) {
        let reason = format!("the log ends here, but {} has seen {} events", missing.witness, missing.size);
        let position = frontier.size() + 1;
        return Ok(Verdict::Broken { position, until: position, reason });
    }
    let (events, root) = (frontier.size(), frontier.root());
    Ok(Verdict::Whole { events, attached, checkpoints: compared as u64, root })
}

async fn read(log: &Arc<dyn EventLog>, after: u64) -> Result<Vec<RawEvent>, eventlog::Error> {
    log.read_all(after, BATCH_MAX).await
}

/// Everything that was ever signed or witnessed of the log and is still known.
fn signed(dir: &Path, copy: Option<&Path>, vault: &dyn Vault) -> Result<Vec<Seen>, Error> {
    let trusted = verifiers(vault);
    let mut known = seen(dir, copy, vault)?;
    let path = dir.join("history");
    for (line, note) in History::open(&path)?.all().enumerate() {
        let checkpoint =
            Checkpoint::read(&note?, &trusted).map_err(|source| Error::Foreign { path: path.clone(), source })?;
        let witness = format!("the checkpoint in line {} of {}", line + 1, path.display());
        known.push(Seen { witness, size: checkpoint.size, root: checkpoint.root });
    }
    known.retain(|seen| seen.size > 0);
    Ok(known)
}
