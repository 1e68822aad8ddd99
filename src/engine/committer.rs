//! From decided to durable: seals and encodes a batch, appends it, then answers. While one batch is being made
//! durable the next is being sealed.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use rollcall_schemas::stream::Stream;
use tokio::sync::{Notify, mpsc, oneshot};

use super::apps::Apps;
use super::decider::{Answer, Batch, Decided, StreamEvents};
use super::directory::{Directory, Hold};
use super::handed_over::{HandedOver, Unplaced};
use super::in_flight::{Dependencies, InFlight, beliefs_of};
use super::journal::{self, Envelope};
use crate::crash_point;
use crate::domain::Reply;
use crate::eventlog::pipeline::Pipeline;
use crate::eventlog::{self, Append, Assert, EventLog, Idempotency, Item, Outcome};
use crate::metrics::Metrics;
use crate::privacy::{Tag, Vault};
use crate::supervision;

/// Most sealed batches appended together.
const BATCHES_MAX: usize = 64;

/// A sealed command that waits to be durable.
pub(super) struct Waiting {
    app: rollcall_schemas::ids::AppId,
    reply: Reply,
    holds: Arc<Vec<Hold>>,
    forgets: Vec<Tag>,
    answer: oneshot::Sender<Answer>,
    dependencies: Dependencies,
    events: Vec<Unplaced>,
}

/// Sealed commands, in the order in which they were decided.
pub(super) type SealedBatch = Vec<(Item, Waiting)>;

/// Seals batches until there are no more. What was decided on a command that cannot be sealed is decided again.
///
/// # Errors
/// Nobody takes what it seals.
pub(super) fn seal_all(
    mut batches: mpsc::Receiver<Batch>,
    sealed: &mpsc::Sender<SealedBatch>,
    vault: &dyn Vault,
    in_flight: &InFlight,
) -> Result<(), String> {
    while let Some(batch) = batches.blocking_recv() {
        supervision::reach("sealer");
        let mut out = SealedBatch::with_capacity(batch.len());
        for mut decided in batch {
            let item = if in_flight.is_invalid(&decided.dependencies) {
                Err(Answer::Conflict)
            } else {
                seal(vault, &mut decided).map_err(|error| Answer::Failed(error.to_string()))
            };
            let Decided { metadata, reply, holds, forgets, answer, dependencies, .. } = decided;
            let mut waiting =
                Waiting { app: metadata.app, reply, holds, forgets, answer, dependencies, events: vec![] };
            let item = item.map(|(item, events)| {
                waiting.events = events;
                item
            });
            match item {
                Ok(item) => out.push((item, waiting)),
                Err(answer) => waiting.fail(answer, None, in_flight),
            }
        }
        if !out.is_empty() && sealed.blocking_send(out).is_err() {
            return Err("nobody takes what it seals".into());
        }
    }
    Ok(())
}

/// Seals and encodes a command; answers its events as the projector takes them as well.
fn seal(vault: &dyn Vault, decided: &mut Decided) -> Result<(Item, Vec<Unplaced>), journal::SealError> {
    let (mut item, mut sealed) = (Item::default(), vec![]);
    let envelope = Envelope::of(&decided.metadata)?;
    for StreamEvents { stream, expected, snapshot, events } in decided.appends.drain(..) {
        let name = stream.to_string();
        let mut snapshot = snapshot.map(|state| state.snapshot()).transpose()?;
        let mut encoded = Vec::with_capacity(events.len());
        for (event, revision) in events.into_iter().zip(expected + 1..) {
            let snapshot = snapshot.take();
            let (new, event) = journal::seal(vault, &name, &envelope, decided.now, event, snapshot.as_ref())?;
            sealed.push(Unplaced::new(stream.clone(), revision, decided.metadata.clone(), event, &new));
            encoded.push(new);
        }
        item.appends.push(Append { stream: name, expected, events: encoded });
    }
    for (stream, expected) in &decided.asserts {
        item.asserts.push(Assert { stream: stream.to_string(), expected: *expected });
    }
    if let Some(guard) = &decided.guard {
        let outcome = serde_json::to_vec(&decided.reply)?;
        item.idempotency =
            Some(Idempotency { key: guard.key, fingerprint: guard.fingerprint, outcome, recorded_at: decided.now });
    }
    Ok((item, sealed))
}

/// Commands whose append came to an end, when it was sent, and to which end it came.
type Completed = (Vec<Waiting>, Instant, Result<Vec<Outcome>, eventlog::Error>);

/// Who is told what was appended, beside those who asked for it.
pub(super) struct Answering {
    pub(super) directory: Arc<Directory>,
    pub(super) apps: Arc<Apps>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) erasures: Arc<Notify>,
    pub(super) handed_over: Arc<HandedOver>,
    pub(super) metrics: Arc<Metrics>,
}

/// Appends sealed batches until there are no more, and answers each command once it is durable. Whatever waits is appended
/// together. While the log works on one append, the next one is sent, if nothing in it rests on one that is in flight: of
/// that it is not known yet whether it is kept, and another node's event in its place would have the revision that the next
/// one expects.
pub(super) async fn append_all(mut sealed: mpsc::Receiver<SealedBatch>, log: &dyn EventLog, answering: &Answering) {
    let mut waiting = Vec::with_capacity(BATCHES_MAX);
    let (mut pipeline, mut is_open) = (Pipeline::new(), true);
    // Numbers of the last commands that were answered and sent.
    let (mut answered, mut sent) = (0, 0);
    while is_open || !pipeline.is_empty() || !waiting.is_empty() {
        let room = BATCHES_MAX - waiting.len();
        tokio::select! {
            biased;
            Some((last, completed)) = pipeline.next() => {
                answered = last;
                answer(completed, answering);
            }
            more = sealed.recv_many(&mut waiting, room), if is_open && room > 0 => is_open = more > 0,
            // All that was sealed waits already.
            else => {}
        }
        let size = waiting.iter().map(Vec::len).sum();
        if pipeline.takes(size) && (pipeline.is_empty() || !rests_on(&waiting, answered + 1..=sent)) {
            let last = last_number(&waiting).unwrap_or(sent);
            let (items, whose) = still_valid(&mut waiting, &answering.in_flight);
            if !items.is_empty() {
                sent = last;
                supervision::reach("appender");
                crash_point::reach("append.before");
                let since = Instant::now();
                pipeline.send(items.len(), async move { (last, (whose, since, log.append(items).await)) });
            }
        }
    }
}

fn last_number(batches: &[SealedBatch]) -> Option<u64> {
    batches.iter().flatten().next_back().map(|(_, waiting)| waiting.dependencies.number)
}

/// Whether anything that waits was decided on one of these commands.
fn rests_on(batches: &[SealedBatch], commands: RangeInclusive<u64>) -> bool {
    batches.iter().flatten().any(|(_, waiting)| waiting.dependencies.rest_on(&commands))
}

/// What waits, without what was decided on a command that failed meanwhile: that is to be decided again.
fn still_valid(batches: &mut Vec<SealedBatch>, in_flight: &InFlight) -> (Vec<Item>, Vec<Waiting>) {
    let (mut items, mut whose) = (vec![], vec![]);
    let passed = last_number(batches);
    for (item, waiting) in batches.drain(..).flatten() {
        if in_flight.is_invalid(&waiting.dependencies) {
            waiting.fail(Answer::Conflict, None, in_flight);
        } else {
            items.push(item);
            whose.push(waiting);
        }
    }
    if let Some(number) = passed {
        in_flight.passed(number);
    }
    (items, whose)
}

fn answer((waiting, since, outcomes): Completed, answering: &Answering) {
    match outcomes {
        Ok(outcomes) => {
            crash_point::reach("append.durable");
            answering.metrics.appended(waiting.len(), since);
            let kept = outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Appended { last, .. } => Some(*last),
                Outcome::Conflict { .. } | Outcome::Replayed { .. } => None,
            });
            let kept = kept.max();
            for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                waiting.settle(outcome, answering);
            }
            if let Some(last) = kept {
                answering.directory.acknowledged(last);
            }
        }
        Err(error) => {
            // Of a log that is broken it was said already.
            if !matches!(error, eventlog::Error::Corrupt { .. }) {
                tracing::warn!(%error, "an append failed; its commands were answered so");
            }
            let is_ambiguous = matches!(error, eventlog::Error::Ambiguous(_));
            answering.metrics.append_failed(is_ambiguous);
            let answer = || match &error {
                eventlog::Error::Ambiguous(reason) => Answer::Unknown(reason.clone()),
                error => Answer::Failed(error.to_string()),
            };
            for waiting in waiting {
                waiting.holds.iter().for_each(|hold| hold.not_recorded(is_ambiguous));
                waiting.fail(answer(), None, &answering.in_flight);
            }
        }
    }
}

impl Waiting {
    /// Answers a command that recorded nothing, or not for certain. `stream`: which one was not as it was believed.
    fn fail(self, answer: Answer, stream: Option<&Stream>, in_flight: &InFlight) {
        // First, so that whoever is answered decides on something else.
        in_flight.fail(&self.dependencies, stream.into_iter().flat_map(beliefs_of));
        // The caller may have gone away; its answer is dropped.
        let _ = self.answer.send(answer);
    }

    fn settle(mut self, outcome: Outcome, answering: &Answering) {
        let Answering { directory, apps, in_flight, erasures, handed_over, .. } = answering;
        match outcome {
            Outcome::Appended { first, last } => {
                handed_over.put(first, std::mem::take(&mut self.events));
                self.holds.iter().for_each(|hold| hold.recorded(last));
                self.forgets.iter().for_each(|tag| directory.forgotten(*tag, last));
                apps.acknowledged(&self.app, last);
                if matches!(self.reply, Reply::Operation(_)) {
                    erasures.notify_one();
                }
                in_flight.succeed(&self.dependencies);
                let _ = self.answer.send(Answer::Done(self.reply, last));
            }
            Outcome::Conflict { stream, .. } => self.fail(Answer::Conflict, stream.parse().ok().as_ref(), in_flight),
            Outcome::Replayed { fingerprint, outcome } => {
                self.fail(Answer::Replayed(fingerprint, outcome), None, in_flight);
            }
        }
    }
}

#[cfg(test)]
mod tests;
