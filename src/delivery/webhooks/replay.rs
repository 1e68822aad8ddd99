//! Sends events of the past once more, because somebody asks for it: those of a range of the log, or what was given up.

use std::sync::Arc;

use rollcall_projections::webhooks::Webhook;

use super::sender::Interest;
use super::store::{Delivery, Progress, State};
use super::{Error, Webhooks};
use crate::engine;
use crate::tasks;

/// Most deliveries of one replay.
pub const REPLAYED_MAX: usize = 5_000;
/// Most events of the log that one call looks at.
const SCANNED_MAX: u64 = 200_000;
const BATCH: usize = 1_000;

/// What a replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How many events are sent once more.
    pub events: usize,
    /// Where it ended before the end of the range: a further call may begin behind this position. `None`: it did not.
    pub stopped_at: Option<u64>,
}

impl Webhooks {
    /// Sends the events from one position to another once more, as far as they concern a webhook; with `dry_run` they are
    /// only counted.
    ///
    /// # Errors
    /// The log or the store is unavailable.
    pub async fn replay(
        self: &Arc<Self>,
        webhook: Webhook,
        from: u64,
        to: u64,
        dry_run: bool,
    ) -> Result<Outcome, Error> {
        let this = self.clone();
        // Not on a thread that answers requests: the log may be read from a disk.
        let replayed =
            tasks::spawn_on(&self.runtime, async move { this.replay_range(webhook, from, to, dry_run).await });
        replayed.await.map_err(|error| engine::Error::Unavailable(error.to_string()))?
    }

    async fn replay_range(&self, webhook: Webhook, from: u64, to: u64, dry_run: bool) -> Result<Outcome, Error> {
        let (interest, log) = (Interest::of(&webhook), self.engine.log());
        // What comes later is sent anyhow.
        let cursor = self.lag(&webhook).await?.position;
        let end = to.min(cursor).min(log.head());
        let (mut at, mut found) = (from.saturating_sub(1), Vec::new());
        let limit = at.saturating_add(SCANNED_MAX);
        while at < end.min(limit) && found.len() < REPLAYED_MAX {
            let count = usize::try_from(end.min(limit) - at).unwrap_or(BATCH).min(BATCH);
            let events = log.read_all(at, count).await.map_err(engine::Error::from)?;
            if events.is_empty() {
                break;
            }
            for raw in &events {
                if found.len() == REPLAYED_MAX {
                    break;
                }
                at = raw.position;
                if let Some((key, _)) = interest.in_event(raw) {
                    found.push(Delivery { state: State::Replay, ..Delivery::waiting(raw.position, key.0) });
                }
            }
        }
        let outcome = Outcome { events: found.len(), stopped_at: (at < end).then_some(at) };
        if !dry_run && !found.is_empty() {
            let progress = Progress { cursor: 0, upserts: found, deletes: vec![] };
            self.store.save(webhook.webhook, &progress).await?;
            self.look();
        }
        Ok(outcome)
    }
}
