//! The proof that the log holds an event, for somebody who has nothing but the public key.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::merkle::{self, Hash, Nodes as _};
use super::tree::note::{self, Checkpoint, Verifier};
use super::tree::{Error, Keeper, leaf};
use crate::eventlog::RawEvent;

/// That an event is in the log, and that the log was only added to since an earlier checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The place of the event.
    pub position: u64,
    /// The bytes of its leaf.
    pub leaf: String,
    /// From the leaf up to the root (RFC 6962), in base64.
    pub inclusion: Vec<String>,
    /// A signed checkpoint that covers the event.
    pub checkpoint: String,
    /// How many events the earlier checkpoint covers; 0: there is none.
    pub since: u64,
    /// From the earlier checkpoint to this one (RFC 6962), in base64.
    pub consistency: Vec<String>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] note::Error),
    /// A hash is not one.
    #[error("the proof is malformed")]
    Malformed,
    /// The event is not in the tree.
    #[error("the log of the checkpoint does not hold this event at position {0}")]
    NotIncluded(u64),
    /// The log was changed.
    #[error("the log was changed since the earlier checkpoint of {0} events")]
    NotConsistent(u64),
}

pub(super) fn encode(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| BASE64_STANDARD.encode(hash)).collect()
}

pub(super) fn decode(encoded: &[String]) -> Option<Vec<Hash>> {
    encoded.iter().map(|hash| BASE64_STANDARD.decode(hash).ok()?.try_into().ok()).collect()
}

impl Proof {
    /// Proves that the log holds an event, and that it was only added to since it held `since` events; 0: since ever.
    ///
    /// # Errors
    /// There are fewer events than that, or the tree cannot be read.
    pub async fn of(keeper: &Keeper, event: &RawEvent, since: u64) -> Result<Self, Error> {
        let signed = keeper.covering(event.position.max(since)).await?;
        let size = signed.checkpoint.size;
        Ok(Self {
            position: event.position,
            leaf: String::from_utf8_lossy(&leaf::bytes(event)).into_owned(),
            inclusion: encode(&keeper.tiles().inclusion(event.position - 1, size)?),
            checkpoint: signed.note.clone(),
            since,
            consistency: encode(&keeper.tiles().consistency(since, size)?),
        })
    }

    /// Checks it against the trusted keys and, where one is at hand, an earlier checkpoint of the same log.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn check(&self, trusted: &[Verifier], earlier: Option<&Checkpoint>) -> Result<Checkpoint, Unproven> {
        let now = Checkpoint::read(&self.checkpoint, trusted)?;
        let inclusion = decode(&self.inclusion).ok_or(Unproven::Malformed)?;
        let consistency = decode(&self.consistency).ok_or(Unproven::Malformed)?;
        let hash = merkle::leaf(&[self.leaf.as_bytes()]);
        let index = self.position.checked_sub(1).ok_or(Unproven::Malformed)?;
        if !merkle::includes(&now.root, now.size, index, &hash, &inclusion) {
            return Err(Unproven::NotIncluded(self.position));
        }
        if let Some(earlier) = earlier {
            let extends = merkle::extends((earlier.size, &earlier.root), (now.size, &now.root), &consistency);
            if earlier.size != self.since || earlier.origin != now.origin || !extends {
                return Err(Unproven::NotConsistent(earlier.size));
            }
        }
        Ok(now)
    }
}
