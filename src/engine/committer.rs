//! From decided to durable: seals and encodes a batch, appends it, then answers. While one batch is being made
//! durable the next is being sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::apps::Apps;
use super::decider::{Answer, Batch, Decided};
use super::directory::{Directory, Hold};
use super::journal;
use crate::crash_point;
use crate::domain::Reply;
use crate::eventlog::{self, Append, Assert, EventLog, Idempotency, Item, Outcome};
use crate::privacy::{Tag, Vault};

/// Most sealed batches appended together.
const TOGETHER_MAX: usize = 64;

/// A sealed command that waits to be durable.
struct Waiting {
    app: rollcall_schemas::ids::AppId,
    reply: Reply,
    holds: Arc<Vec<Hold>>,
    forgets: Vec<Tag>,
    answer: oneshot::Sender<Answer>,
}

/// A sealed batch.
pub(super) struct SealedBatch {
    epoch: u64,
    items: Vec<Item>,
    waiting: Vec<Waiting>,
}

/// Seals batches until there are no more. A command that cannot be sealed makes what was decided with it doubtful:
/// the epoch grows, and all of that is decided again. A batch never goes on under a later epoch than it was decided
/// in: whoever loads a state in the new epoch must not be overtaken by it.
pub(super) fn seal_all(
    mut batches: mpsc::Receiver<Batch>,
    sealed: &mpsc::Sender<SealedBatch>,
    vault: &dyn Vault,
    epoch: &AtomicU64,
) {
    while let Some(batch) = batches.blocking_recv() {
        let mut out = SealedBatch { epoch: batch.epoch, items: vec![], waiting: vec![] };
        for mut decided in batch.decided {
            if batch.epoch != epoch.load(Ordering::Acquire) {
                let _ = decided.answer.send(Answer::Conflict);
                continue;
            }
            match seal(vault, &mut decided) {
                Ok(item) => {
                    out.items.push(item);
                    let Decided { metadata, reply, holds, forgets, answer, .. } = decided;
                    out.waiting.push(Waiting { app: metadata.app, reply, holds, forgets, answer });
                }
                Err(error) => {
                    epoch.fetch_add(1, Ordering::AcqRel);
                    let _ = decided.answer.send(Answer::Failed(error.to_string()));
                }
            }
        }
        if !out.items.is_empty() && sealed.blocking_send(out).is_err() {
            return;
        }
    }
}

fn seal(vault: &dyn Vault, decided: &mut Decided) -> Result<Item, journal::SealError> {
    let mut item = Item::default();
    for (stream, expected, events) in decided.appends.drain(..) {
        let name = stream.to_string();
        let events = events
            .into_iter()
            .map(|event| journal::encode(vault, &name, &decided.metadata, decided.now, event))
            .collect::<Result<_, _>>()?;
        item.appends.push(Append { stream: name, expected, events });
    }
    for (stream, expected) in &decided.asserts {
        item.asserts.push(Assert { stream: stream.to_string(), expected: *expected });
    }
    if let Some(guard) = &decided.guard {
        let outcome = serde_json::to_vec(&decided.reply)?;
        item.idempotency =
            Some(Idempotency { key: guard.key, fingerprint: guard.fingerprint, outcome, recorded_at: decided.now });
    }
    Ok(item)
}

/// Appends sealed batches until there are no more, and answers each command once it is durable. Whatever waits when
/// the log is free is appended together.
pub(super) fn append_all(
    mut sealed: mpsc::Receiver<SealedBatch>,
    runtime: &Handle,
    log: &dyn EventLog,
    directory: &Directory,
    apps: &Apps,
    epoch: &AtomicU64,
    on_erasure: &dyn Fn(),
) {
    let mut taken = Vec::with_capacity(TOGETHER_MAX);
    while sealed.blocking_recv_many(&mut taken, TOGETHER_MAX) > 0 {
        let current = epoch.load(Ordering::Acquire);
        let (mut items, mut waiting) = (vec![], vec![]);
        for batch in taken.drain(..) {
            if batch.epoch == current {
                items.extend(batch.items);
                waiting.extend(batch.waiting);
            } else {
                batch.waiting.into_iter().for_each(|waiting| waiting.answer(Answer::Conflict));
            }
        }
        if items.is_empty() {
            continue;
        }
        crash_point::reach("append.before");
        match runtime.block_on(log.append(items)) {
            Ok(outcomes) => {
                crash_point::reach("append.durable");
                let mut doubtful = false;
                for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                    doubtful |= !matches!(outcome, Outcome::Appended { .. });
                    waiting.settle(outcome, directory, apps, on_erasure);
                }
                if doubtful {
                    epoch.fetch_add(1, Ordering::AcqRel);
                }
            }
            Err(error) => {
                epoch.fetch_add(1, Ordering::AcqRel);
                tracing::warn!(%error, "an append failed; its commands were answered so");
                let answer = |error: &eventlog::Error| match error {
                    eventlog::Error::Ambiguous(reason) => Answer::Unknown(reason.clone()),
                    error => Answer::Failed(error.to_string()),
                };
                waiting.into_iter().for_each(|waiting| waiting.answer(answer(&error)));
            }
        }
    }
}

impl Waiting {
    fn answer(self, answer: Answer) {
        // A submitter that has gone away does not want to know.
        let _ = self.answer.send(answer);
    }

    fn settle(self, outcome: Outcome, directory: &Directory, apps: &Apps, on_erasure: &dyn Fn()) {
        let answer = match outcome {
            Outcome::Appended { last, .. } => {
                self.holds.iter().for_each(|hold| hold.recorded(last));
                self.forgets.iter().for_each(|tag| directory.forgotten(*tag, last));
                apps.acknowledged(&self.app, last);
                if matches!(self.reply, Reply::Operation(_)) {
                    on_erasure();
                }
                Answer::Done(self.reply.clone(), last)
            }
            Outcome::Conflict { .. } => Answer::Conflict,
            Outcome::Replayed { fingerprint, outcome } => Answer::Replayed(fingerprint, outcome),
        };
        self.answer(answer);
    }
}
