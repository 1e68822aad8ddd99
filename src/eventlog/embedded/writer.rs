//! The one writer: takes what is queued, commits it in one transaction, then answers.
//!
//! After a flush that failed, nobody knows what is on the disk: a later flush that succeeds says nothing about what the
//! earlier one could not write. So the file is closed, opened anew and flushed before anything else is read from it or
//! written to it, and what was in doubt is looked up in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::checkpoint::Checkpoints;
use super::dictionary::Dictionary;
use super::faults::Faults;
use super::file::{self, LogFile, Readers};
#[cfg(feature = "kurrentdb")]
use super::statements;
#[cfg(feature = "kurrentdb")]
use super::step::{Mark, Step};
use super::store::{Failure, Store};
use super::task::{Answer, Task};
use crate::eventlog::integrity::Integrity;
use crate::eventlog::plan::Plan;
use crate::eventlog::tail::Tail;
use crate::eventlog::{Damage, Error, Item, Outcome};
use crate::supervision;

/// Most batches committed together.
const TASKS_MAX: usize = 64;
/// How long the writer waits before it tries again to open a file whose flush failed.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// What the writer shares with those who read.
pub(super) struct Shared {
    pub(super) readers: Readers,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) tail: Tail,
    pub(super) integrity: Arc<Integrity>,
}

/// What was being committed when a flush failed.
enum InDoubt {
    Append(Box<Plan>),
    #[cfg(feature = "kurrentdb")]
    Mirror(Vec<Step>, Mark),
    /// Detachments and expiries: whoever asked repeats them.
    Repeatable,
}

pub(super) struct Writer {
    file: LogFile,
    checkpoints: Arc<Checkpoints>,
    faults: Faults,
    shared: Arc<Shared>,
    head: watch::Sender<u64>,
    /// None from a failed flush until the file was opened anew.
    store: Option<Store>,
    in_doubt: Option<InDoubt>,
}

fn distrusted() -> Error {
    Error::Unavailable("the disk could not be flushed, and the log's file cannot be opened anew for now".into())
}

/// Where nothing was presumed.
fn not_new() -> Error {
    Error::Unavailable("the index of the streams contradicts itself; run `rollcall audit verify`".into())
}

impl Writer {
    pub(super) fn new(
        file: LogFile,
        checkpoints: Arc<Checkpoints>,
        faults: Faults,
        shared: Arc<Shared>,
    ) -> Result<(Self, watch::Receiver<u64>), Error> {
        let mut connection = file.open()?;
        checkpoints.follow(&mut connection)?;
        let store = Store::new(connection, shared.dictionary.clone(), faults.clone())?;
        let (head, watched) = watch::channel(store.head);
        Ok((Self { file, checkpoints, faults, shared, head, store: Some(store), in_doubt: None }, watched))
    }

    /// Runs until nobody can ask any more; what was asked before is done.
    pub(super) fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
        let mut taken = Vec::with_capacity(TASKS_MAX);
        loop {
            while self.store.is_none() && self.reopen().is_err() {
                if !refuse_all(&mut tasks) {
                    return;
                }
                std::thread::sleep(RETRY_AFTER);
            }
            if tasks.blocking_recv_many(&mut taken, TASKS_MAX) == 0 {
                break;
            }
            supervision::reach("log-writer");
            self.work(&mut taken);
            self.finish_checkpoint();
        }
        // What may not be on the disk must not be taken for moved when the file is closed.
        self.finish_checkpoint();
        self.store.iter().for_each(|store| file::tidy(&store.connection));
    }

    fn work(&mut self, taken: &mut Vec<Task>) {
        let mut appends = Vec::new();
        for task in taken.drain(..) {
            match task {
                Task::Append(items, answer) => appends.push((items, answer)),
                Task::Detach(remaining, answer) => {
                    self.append_batch(std::mem::take(&mut appends));
                    let detached = self.with_store(InDoubt::Repeatable, |store| store.detach(&remaining));
                    if detached.is_ok() {
                        let tail = &self.shared.tail;
                        remaining.iter().for_each(|(position, blobs)| tail.detach(*position, blobs.as_ref()));
                    }
                    let _ = answer.send(detached);
                }
                Task::ExpireOutcomes(time, answer) => {
                    let _ = answer.send(self.with_store(InDoubt::Repeatable, |store| store.expire(time)));
                }
                #[cfg(feature = "kurrentdb")]
                Task::Mirror(steps, mark, answer) => {
                    self.append_batch(std::mem::take(&mut appends));
                    let _ = answer.send(self.mirror(steps, mark));
                }
            }
        }
        self.append_batch(appends);
    }

    /// Moves the last pages of the write-ahead log, where the other thread asks for it: only between two transactions is
    /// there a moment at which all of it is moved, and from then on it begins anew.
    fn finish_checkpoint(&mut self) {
        let finished = self.store.as_ref().map_or(Ok(()), |store| self.checkpoints.finish(&store.connection));
        if let Err(error) = finished {
            self.distrust(InDoubt::Repeatable, &error);
        }
    }

    /// Does something in a transaction of its own.
    fn with_store<T>(
        &mut self,
        doubtful: InDoubt,
        work: impl FnOnce(&mut Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let store = self.store.as_mut().ok_or_else(distrusted)?;
        work(store).map_err(|failure| match failure {
            Failure::Undone(error) => error,
            Failure::NotNew => not_new(),
            Failure::InDoubt(error) => {
                self.distrust(doubtful, &error);
                Error::Ambiguous(error.to_string())
            }
        })
    }

    fn append_batch(&mut self, batches: Vec<(Vec<Item>, Answer<Vec<Outcome>>)>) {
        if batches.is_empty() {
            return;
        }
        let mut answers = Vec::with_capacity(batches.len());
        let mut items = Vec::new();
        for (batch, answer) in batches {
            answers.push((batch.len(), answer));
            items.extend(batch);
        }
        match self.append(&items) {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                for (size, answer) in answers {
                    let _ = answer.send(Ok(outcomes.by_ref().take(size).collect()));
                }
            }
            Err(error) => answers.into_iter().for_each(|(_, answer)| drop(answer.send(Err(error.clone())))),
        }
    }

    fn append(&mut self, items: &[Item]) -> Result<Vec<Outcome>, Error> {
        match self.append_presuming(items, true) {
            // Nobody else writes: what is asked now is so until it is inserted.
            Err(Failure::NotNew) => self.append_presuming(items, false),
            appended => appended,
        }
        .map_err(|failure| match failure {
            Failure::Undone(error) | Failure::InDoubt(error) => error,
            Failure::NotNew => not_new(),
        })
    }

    /// `presume`: see [`Store::plan`]. What is in doubt is settled here, if the file can be opened anew.
    fn append_presuming(&mut self, items: &[Item], presume: bool) -> Result<Vec<Outcome>, Failure> {
        let store = self.store.as_mut().ok_or_else(distrusted)?;
        let mut plan = store.plan(items, presume)?;
        let outcomes = std::mem::take(&mut plan.outcomes_told);
        match store.insert(&plan) {
            Ok(()) => {
                self.publish(plan);
                Ok(outcomes)
            }
            Err(Failure::InDoubt(error)) => {
                self.distrust(InDoubt::Append(Box::new(plan)), &error);
                match self.reopen() {
                    Ok(true) => Ok(outcomes),
                    Ok(false) => Err(Failure::Undone(error)),
                    Err(_) => Err(Failure::InDoubt(Error::Ambiguous(error.to_string()))),
                }
            }
            Err(undone) => Err(undone),
        }
    }

    /// Visible before acknowledged, so that whoever is answered can read it.
    fn publish(&self, plan: Plan) {
        self.shared.tail.extend(plan.events);
        self.head.send_replace(plan.head);
    }

    #[cfg(feature = "kurrentdb")]
    fn mirror(&mut self, steps: Vec<Step>, mark: Mark) -> Result<Vec<u64>, Error> {
        let store = self.store.as_mut().ok_or_else(distrusted)?;
        match store.mirror(&steps, &mark) {
            Ok(changed) => {
                let head = store.head;
                self.publish_mirrored(steps, head);
                Ok(changed)
            }
            Err(Failure::Undone(error)) => Err(error),
            Err(Failure::NotNew) => Err(not_new()),
            Err(Failure::InDoubt(error)) => {
                self.distrust(InDoubt::Mirror(steps, mark), &error);
                Err(Error::Ambiguous(error.to_string()))
            }
        }
    }

    #[cfg(feature = "kurrentdb")]
    fn publish_mirrored(&self, steps: Vec<Step>, head: u64) {
        let tail = &self.shared.tail;
        for step in steps {
            match step {
                Step::Append { events, .. } => tail.extend(events),
                Step::Detach(remaining) => {
                    remaining.iter().for_each(|(position, blobs)| tail.detach(*position, blobs.as_ref()));
                }
                Step::Expire(_) | Step::Own(_) | Step::Fence => {}
            }
        }
        self.head.send_replace(head);
    }

    /// Closes the file: nothing is read from it or written to it before it was opened anew.
    fn distrust(&mut self, doubtful: InDoubt, error: &Error) {
        tracing::error!(%error, "the log's file could not be flushed; it is closed and opened anew");
        self.shared.readers.close();
        self.store.take().into_iter().for_each(Store::abandon);
        self.in_doubt = Some(doubtful);
    }

    /// Opens the file anew, and finds out whether it holds what was in doubt.
    fn reopen(&mut self) -> Result<bool, Error> {
        self.shared.integrity.check()?;
        let opened = self.file.reopen().and_then(|mut connection| {
            self.checkpoints.follow(&mut connection)?;
            let store = Store::new(connection, self.shared.dictionary.clone(), self.faults.clone())?;
            let is_kept = match &self.in_doubt {
                Some(InDoubt::Append(plan)) => store.holds(plan)?,
                #[cfg(feature = "kurrentdb")]
                Some(InDoubt::Mirror(_, mark)) => statements::mark(&store.connection)?.as_ref() == Some(mark),
                Some(InDoubt::Repeatable) | None => false,
            };
            Ok((store, is_kept))
        });
        let (store, is_kept) = opened.inspect_err(|error| {
            tracing::debug!(%error, "the log's file cannot be opened anew yet");
        })?;
        let (known, head) = (*self.head.borrow(), store.head);
        if head < known {
            let reason = "the file does not hold this event any more, which was acknowledged: the disk lost it";
            return Err(self.shared.integrity.condemn_blocking(known, Damage::Rewound.because(reason)));
        }
        tracing::warn!(is_kept, "the log's file was opened anew after a flush that failed");
        self.store = Some(store);
        match self.in_doubt.take() {
            Some(InDoubt::Append(plan)) if is_kept => self.publish(*plan),
            #[cfg(feature = "kurrentdb")]
            Some(InDoubt::Mirror(steps, _)) if is_kept => self.publish_mirrored(steps, head),
            _ => {}
        }
        self.shared.readers.resume();
        Ok(is_kept)
    }
}

/// Refuses whatever is asked; whether somebody may ask more.
fn refuse_all(tasks: &mut mpsc::Receiver<Task>) -> bool {
    loop {
        match tasks.try_recv() {
            Ok(task) => task.refuse(distrusted()),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
}
