//! The one task that touches the replica: it takes over what the stream holds, and appends what is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::entry::{Encoder, Entry};
use super::server::{Failure, Page, Server};
use super::{Shared, draft};
use crate::eventlog::embedded::Embedded;
use crate::eventlog::embedded::step::{Mark, Step};
use crate::eventlog::plan::Refused;
use crate::eventlog::{Error, EventLog as _, Item, Outcome};

/// Most batches appended together: a call takes long however little is in it.
const TASKS_MAX: usize = 64;
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How long it is tried to append where nothing can have been kept yet.
const APPEND_FOR: Duration = Duration::from_secs(5);
/// How long it is tried to find out what became of an append whose answer was lost.
const SETTLE_FOR: Duration = Duration::from_secs(15);
/// How long other nodes may be faster.
const OVERTAKEN_FOR: Duration = Duration::from_secs(20);

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the appender is asked.
pub(super) enum Task {
    Append(Vec<Item>, Answer<Vec<Outcome>>),
    Detach(Vec<(u64, Option<Bytes>)>, Answer<u64>),
    ExpireOutcomes(DateTime<Utc>, Answer<u64>),
    Latest(Answer<u64>),
    Claim(Uuid, Answer<()>),
    Fence(Answer<u64>),
}

/// What became of entries that were written.
enum Written {
    Kept,
    /// Another node was faster; nothing was kept.
    Overtaken,
}

enum Next {
    Inspect,
    Tasks(usize),
    Looked(Result<Page, Error>),
}

pub(super) struct Appender {
    pub(super) server: Server,
    pub(super) shared: Arc<Shared>,
    pub(super) source: String,
    /// The entry taken over last.
    pub(super) mark: Option<Mark>,
    /// Whether `mark` may be behind the replica, which could not be written when it was tried last.
    pub(super) mark_is_doubtful: bool,
    /// Whether the server did not answer when it was looked at last.
    pub(super) is_away: bool,
    inspect_every: Duration,
}

impl Appender {
    pub(super) fn new(
        server: Server,
        shared: Arc<Shared>,
        source: &str,
        mark: Option<Mark>,
        inspect_every: Duration,
    ) -> Self {
        let source = source.into();
        Self { server, shared, source, mark, mark_is_doubtful: false, is_away: false, inspect_every }
    }

    pub(super) fn replica(&self) -> &Embedded {
        &self.shared.replica.log
    }

    /// Runs until nobody can ask any more; what was asked before is done.
    pub(super) async fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
        let mut taken = Vec::with_capacity(TASKS_MAX);
        let mut inspect_at = Instant::now() + self.inspect_every;
        loop {
            let next = tokio::select! {
                biased;
                // First: it may not wait for a pause.
                () = sleep_until(inspect_at) => Next::Inspect,
                count = tasks.recv_many(&mut taken, TASKS_MAX) => Next::Tasks(count),
                page = self.look() => Next::Looked(page),
            };
            match next {
                Next::Inspect => {
                    self.inspect_again().await;
                    inspect_at = Instant::now() + self.inspect_every;
                }
                Next::Tasks(0) => return,
                Next::Tasks(_) => self.work(&mut taken).await,
                Next::Looked(page) => self.follow_looked(page).await,
            }
        }
    }

    async fn work(&mut self, taken: &mut Vec<Task>) {
        let (mut appends, mut asked) = (Vec::new(), Vec::new());
        for task in taken.drain(..) {
            match task {
                Task::Latest(answer) => asked.push(answer),
                Task::Append(items, answer) => appends.push((items, answer)),
                Task::Detach(remaining, answer) => {
                    self.append_batch(std::mem::take(&mut appends)).await;
                    let _ = answer.send(self.detach(remaining).await);
                }
                Task::Claim(vault, answer) => {
                    self.append_batch(std::mem::take(&mut appends)).await;
                    let _ = answer.send(self.claim(vault).await);
                }
                Task::Fence(answer) => {
                    self.append_batch(std::mem::take(&mut appends)).await;
                    let fenced = self.commit(|_| Ok((vec![Step::Fence], ()))).await;
                    let _ = answer.send(fenced.map(|_| self.replica().head()));
                }
                Task::ExpireOutcomes(time, answer) => {
                    self.append_batch(std::mem::take(&mut appends)).await;
                    let expired = self.commit(|replica| Ok((draft::expire(replica, time)?, ()))).await;
                    let _ = answer.send(expired.map(|(changed, ())| changed.iter().sum()));
                }
            }
        }
        self.append_batch(appends).await;
        if !asked.is_empty() {
            let latest = self.pull().await.map(|_| self.replica().head());
            asked.into_iter().for_each(|answer| drop(answer.send(latest.clone())));
        }
    }

    async fn append_batch(&mut self, batches: Vec<(Vec<Item>, Answer<Vec<Outcome>>)>) {
        let (batches, answers): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        let mut told: Vec<Result<Vec<Outcome>, Error>> = answers.iter().map(|_| Ok(vec![])).collect();
        // A batch may be cut: what is refused in one chunk counts in the next.
        let mut refused = Refused::default();
        for mut chunk in draft::chunks(batches) {
            // What follows in a batch that failed was decided on what was not kept.
            chunk.retain(|(batch, _)| told.get(*batch).is_some_and(Result::is_ok));
            let (of, items): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
            match self.commit(|replica| draft::append(replica, &items, &refused)).await {
                Ok((_, planned)) => {
                    refused = planned.refused;
                    of.iter().zip(planned.outcomes).for_each(|(batch, outcome)| {
                        if let Some(Ok(outcomes)) = told.get_mut(*batch) {
                            outcomes.push(outcome);
                        }
                    });
                }
                Err(error) => {
                    told.iter_mut().enumerate().filter(|(batch, _)| of.contains(batch)).for_each(|(_, told)| {
                        let kept = told.as_ref().is_ok_and(|outcomes| !outcomes.is_empty());
                        *told = Err(if kept { partly(&error) } else { error.clone() });
                    })
                }
            }
        }
        for (answer, told) in answers.into_iter().zip(told) {
            let _ = answer.send(told);
        }
    }

    async fn detach(&mut self, remaining: Vec<(u64, Option<Bytes>)>) -> Result<u64, Error> {
        let mut changed = 0;
        for piece in draft::detachments(remaining) {
            let detached = self.commit(|replica| Ok((draft::detach(replica, &piece)?, ()))).await;
            let detached = detached.map_err(|error| if changed > 0 { partly(&error) } else { error });
            changed += detached?.0.iter().sum::<u64>();
        }
        Ok(changed)
    }

    /// Makes the log that of a vault, if it is nobody's.
    async fn claim(&mut self, vault: Uuid) -> Result<(), Error> {
        if self.mark.is_none()
            && let Some(user) = self.server.user().map(str::to_owned)
            && let Err(failure) = self.server.restrict_to(&user).await
        {
            tracing::warn!(
                ?failure,
                "the stream in KurrentDB could not be closed to others: whoever may write to it can break the log; set its \
                 $acl"
            );
        }
        self.commit(|replica| Ok((draft::own(replica, vault)?, ()))).await.map(drop)
    }

    /// Records what a draft says: drafted on what the replica knows, appended where the replica ends, drafted again if
    /// the stream ends elsewhere.
    async fn commit<T>(
        &mut self,
        draft: impl Fn(&Embedded) -> Result<(Vec<Step>, T), Error>,
    ) -> Result<(Vec<u64>, T), Error> {
        let by = Instant::now() + OVERTAKEN_FOR;
        let mut is_fresh = false;
        loop {
            self.shared.whole()?;
            self.settle_mark()?;
            let (steps, told) = draft(self.replica())?;
            let mut encoder = Encoder::new(self.mark.as_ref().map(|mark| mark.id), self.replica().head());
            steps.iter().try_for_each(|step| encoder.add(step))?;
            let entries = encoder.finish();
            let Some(last) = entries.last() else {
                // Nothing is appended that could show that the replica is behind.
                if is_fresh {
                    return Ok((vec![], told));
                }
                self.pull().await?;
                is_fresh = true;
                continue;
            };
            match self.write(&entries).await? {
                Written::Kept => {
                    let revision = self.next() + entries.len() as u64 - 1;
                    let mirrored = self.mirror(steps, revision, last.id).await;
                    return mirrored.map(|changed| (changed, told)).map_err(|error| {
                        Error::Ambiguous(format!(
                            "KurrentDB kept it, but its replica here could not be written: {error}"
                        ))
                    });
                }
                Written::Overtaken if Instant::now() > by => {
                    return Err(Error::Unavailable("other nodes appended all the time".into()));
                }
                Written::Overtaken => {
                    if !self.pull().await? {
                        sleep(RETRY_AFTER).await;
                    }
                    is_fresh = true;
                }
            }
        }
    }

    /// Appends entries right where the replica ends. The same entries at the same place are kept once, however often
    /// they are sent: so an append whose answer was lost is sent until there is an answer.
    async fn write(&mut self, entries: &[Entry]) -> Result<Written, Error> {
        let begun = Instant::now();
        let mut unknown = None;
        loop {
            let refused = match self.append_entries(entries).await {
                Ok(()) => return Ok(Written::Kept),
                Err(Failure::Conflict) if unknown.is_none() => return Ok(Written::Overtaken),
                Err(Failure::Conflict) => match self.is_ours(entries).await {
                    Ok(true) => return Ok(Written::Kept),
                    Ok(false) => return Ok(Written::Overtaken),
                    Err(error) => error.to_string(),
                },
                Err(Failure::Rejected(reason)) if unknown.is_none() => return Err(Error::Unavailable(reason)),
                Err(Failure::Refused(reason) | Failure::Rejected(reason)) => reason,
                Err(Failure::Unknown(reason)) => unknown.insert(reason).clone(),
                Err(Failure::Corrupt(error)) => return self.shared.note(Err(error)).await,
            };
            match unknown {
                Some(reason) if begun.elapsed() > SETTLE_FOR => return Err(Error::Ambiguous(reason)),
                None if begun.elapsed() > APPEND_FOR => return Err(Error::Unavailable(refused)),
                _ => sleep(RETRY_AFTER).await,
            }
        }
    }

    /// Appends where the replica ends, if that still is where the stream ends. The revision alone does not say so after
    /// another node became leader: there may be another entry now.
    async fn append_entries(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        if self.server.is_doubtful() {
            let page = self.server.read(self.from()).await.map_err(Failure::from)?;
            self.check(&page).await?;
        }
        self.server.append(self.mark.as_ref().map(|mark| mark.revision), entries).await
    }

    /// Whether these entries stand where they were to stand.
    async fn is_ours(&mut self, entries: &[Entry]) -> Result<bool, Error> {
        let page = self.server.read(self.next()).await?;
        Ok(page.entries.first().map(|(_, entry)| entry.id) == entries.first().map(|entry| entry.id))
    }
}

fn partly(error: &Error) -> Error {
    Error::Ambiguous(format!("a part of the batch was kept, and the rest was not: {error}"))
}
