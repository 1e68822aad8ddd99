//! From decided to durable: seals and encodes a batch, appends it, then answers. While one batch is being made
//! durable the next is being sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{FuturesOrdered, Stream, StreamExt as _};
use tokio::sync::{Notify, mpsc, oneshot};

use super::apps::Apps;
use super::decider::{Answer, Batch, Decided};
use super::directory::{Directory, Hold};
use super::journal;
use crate::crash_point;
use crate::domain::Reply;
use crate::eventlog::{self, Append, Assert, EventLog, Idempotency, Item, Outcome};
use crate::privacy::{Tag, Vault};

/// Most sealed batches appended together.
const BATCHES_MAX: usize = 64;
/// Most appends on their way at once.
const IN_FLIGHT_MAX: usize = 2;

/// A sealed command that waits to be durable.
struct Waiting {
    app: rollcall_schemas::ids::AppId,
    reply: Reply,
    holds: Arc<Vec<Hold>>,
    forgets: Vec<Tag>,
    answer: oneshot::Sender<Answer>,
}

type Unsealed = Vec<(oneshot::Sender<Answer>, Answer)>;

/// A sealed batch.
pub(super) struct SealedBatch {
    epoch: u64,
    items: Vec<Item>,
    waiting: Vec<Waiting>,
    /// Commands that could not be sealed or were decided with one that could not: to be told so in another epoch.
    unsealed: Unsealed,
}

/// Seals batches until there are no more. A command that cannot be sealed makes what was decided with it doubtful: nothing
/// more of that epoch is sealed, and all of it is decided again.
pub(super) fn seal_all(
    mut batches: mpsc::Receiver<Batch>,
    sealed: &mpsc::Sender<SealedBatch>,
    vault: &dyn Vault,
    epoch: &AtomicU64,
) {
    let mut doubtful = None;
    while let Some(Batch { epoch: of, decided }) = batches.blocking_recv() {
        let mut out = SealedBatch { epoch: of, items: vec![], waiting: vec![], unsealed: vec![] };
        for mut decided in decided {
            if doubtful == Some(of) || of != epoch.load(Ordering::Acquire) {
                out.unsealed.push((decided.answer, Answer::Conflict));
                continue;
            }
            match seal(vault, &mut decided) {
                Ok(item) => {
                    out.items.push(item);
                    let Decided { metadata, reply, holds, forgets, answer, .. } = decided;
                    out.waiting.push(Waiting { app: metadata.app, reply, holds, forgets, answer });
                }
                Err(error) => {
                    doubtful = Some(of);
                    out.unsealed.push((decided.answer, Answer::Failed(error.to_string())));
                }
            }
        }
        if sealed.blocking_send(out).is_err() {
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

/// Commands whose append came to an end, and to which.
type Completed = (Vec<Waiting>, Result<Vec<Outcome>, eventlog::Error>);

/// Who is told what was appended, beside those who asked for it.
pub(super) struct Answering {
    pub(super) directory: Arc<Directory>,
    pub(super) apps: Arc<Apps>,
    pub(super) epoch: Arc<AtomicU64>,
    pub(super) erasures: Arc<Notify>,
}

/// Appends sealed batches until there are no more, and answers each command once it is durable. Whatever waits is appended
/// together. While the log works on one append, the next one is sent once it is as large: smaller ones cost more than the
/// log's waiting for them does.
pub(super) async fn append_all(mut sealed: mpsc::Receiver<SealedBatch>, log: &dyn EventLog, answering: &Answering) {
    let mut waiting = Vec::with_capacity(BATCHES_MAX);
    let (mut in_flight, mut last, mut is_open) = (FuturesOrdered::new(), 0, true);
    while is_open || !in_flight.is_empty() || !waiting.is_empty() {
        let room = BATCHES_MAX - waiting.len();
        tokio::select! {
            biased;
            Some(completed) = in_flight.next() => complete(completed, &mut in_flight, answering).await,
            more = sealed.recv_many(&mut waiting, room), if is_open && room > 0 => is_open = more > 0,
            // All that was sealed waits already.
            else => {}
        }
        let size = waiting.iter().map(|batch| batch.items.len()).sum();
        if in_flight.is_empty() || in_flight.len() < IN_FLIGHT_MAX && size >= last {
            last = size;
            let (items, whose, unsealed) = of_this_epoch(&mut waiting, answering);
            if !items.is_empty() {
                crash_point::reach("append.before");
                in_flight.push_back(async move { (whose, log.append(items).await) });
            }
            if !unsealed.is_empty() {
                start_new_epoch(vec![], &mut in_flight, answering).await;
                reply_all(unsealed);
            }
        }
    }
}

/// What waits and was decided in this epoch; the rest is to be decided again.
fn of_this_epoch(batches: &mut Vec<SealedBatch>, answering: &Answering) -> (Vec<Item>, Vec<Waiting>, Unsealed) {
    let current = answering.epoch.load(Ordering::Acquire);
    let (mut items, mut waiting, mut unsealed) = (vec![], vec![], vec![]);
    for batch in batches.drain(..) {
        if batch.epoch == current {
            items.extend(batch.items);
            waiting.extend(batch.waiting);
            unsealed.extend(batch.unsealed);
        } else {
            batch.waiting.into_iter().for_each(|waiting| waiting.answer(Answer::Conflict));
            reply_all(batch.unsealed);
        }
    }
    (items, waiting, unsealed)
}

/// Answers what is durable, in this epoch where all of it is.
async fn complete(
    completed: Completed,
    in_flight: &mut (impl Stream<Item = Completed> + Unpin),
    answering: &Answering,
) {
    let is_durable = match &completed.1 {
        Ok(outcomes) => outcomes.iter().all(|outcome| matches!(outcome, Outcome::Appended { .. })),
        Err(_) => false,
    };
    if is_durable {
        answer(completed, answering);
    } else {
        start_new_epoch(vec![completed], in_flight, answering).await;
    }
}

/// Begins another epoch: not before all that was decided in this one has come to its end, for whoever loads a state in the
/// new epoch must not be overtaken by it.
async fn start_new_epoch(
    mut completed: Vec<Completed>,
    in_flight: &mut (impl Stream<Item = Completed> + Unpin),
    answering: &Answering,
) {
    while let Some(last) = in_flight.next().await {
        completed.push(last);
    }
    answering.epoch.fetch_add(1, Ordering::AcqRel);
    completed.into_iter().for_each(|completed| answer(completed, answering));
}

fn answer((waiting, outcomes): Completed, answering: &Answering) {
    match outcomes {
        Ok(outcomes) => {
            crash_point::reach("append.durable");
            for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                waiting.settle(outcome, answering);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "an append failed; its commands were answered so");
            let answer = || match &error {
                eventlog::Error::Ambiguous(reason) => Answer::Unknown(reason.clone()),
                error => Answer::Failed(error.to_string()),
            };
            waiting.into_iter().for_each(|waiting| waiting.answer(answer()));
        }
    }
}

fn reply_all(unsealed: Unsealed) {
    for (submitter, answer) in unsealed {
        // The caller may have gone away; its answer is dropped.
        let _ = submitter.send(answer);
    }
}

impl Waiting {
    fn answer(self, answer: Answer) {
        // The caller may have gone away; its answer is dropped.
        let _ = self.answer.send(answer);
    }

    fn settle(self, outcome: Outcome, Answering { directory, apps, erasures, .. }: &Answering) {
        let answer = match outcome {
            Outcome::Appended { last, .. } => {
                self.holds.iter().for_each(|hold| hold.recorded(last));
                self.forgets.iter().for_each(|tag| directory.forgotten(*tag, last));
                apps.acknowledged(&self.app, last);
                if matches!(self.reply, Reply::Operation(_)) {
                    erasures.notify_one();
                }
                Answer::Done(self.reply.clone(), last)
            }
            Outcome::Conflict { .. } => Answer::Conflict,
            Outcome::Replayed { fingerprint, outcome } => Answer::Replayed(fingerprint, outcome),
        };
        self.answer(answer);
    }
}

#[cfg(test)]
mod tests;
