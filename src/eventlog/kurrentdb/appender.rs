//! The one task that touches the replica: it takes over what the stream holds, and appends what is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::entry::{Assembler, Entry};
use super::server::{Failure, Page, Server};
use super::{DELETED, REWOUND, Shared, draft};
use crate::eventlog::embedded::Embedded;
use crate::eventlog::embedded::mirror::{Mark, Step};
use crate::eventlog::{Error, EventLog as _, Item, Outcome};

/// Most batches appended together.
const TOGETHER_MAX: usize = 16;
/// How long what another node appended stays unseen at most, while nothing is appended here.
const POLL: Duration = Duration::from_millis(200);
/// The same while the server is away.
const POLL_AWAY: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How long it is tried to append where nothing can have been kept yet.
const APPEND_FOR: Duration = Duration::from_secs(5);
/// How long it is tried to find out what became of an append whose answer was lost.
const SETTLE_FOR: Duration = Duration::from_secs(15);
/// How long other nodes may be faster.
const OVERTAKEN_FOR: Duration = Duration::from_secs(20);
/// How long the server may be away at the start.
const CONNECT_FOR: Duration = Duration::from_secs(10);

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the appender is asked.
pub(super) enum Task {
    Append(Vec<Item>, Answer<Vec<Outcome>>),
    Detach(Vec<(u64, Option<Bytes>)>, Answer<u64>),
    ExpireOutcomes(DateTime<Utc>, Answer<u64>),
}

/// What became of entries that were written.
enum Written {
    Kept,
    /// Another node was faster; nothing was kept.
    Overtaken,
}

enum Next {
    Asked(usize),
    Looked(Result<Page, Error>),
}

pub(super) struct Appender {
    server: Server,
    shared: Arc<Shared>,
    source: String,
    mark: Option<Mark>,
    is_away: bool,
}

impl Appender {
    pub(super) fn new(server: Server, shared: Arc<Shared>, source: &str, mark: Option<Mark>) -> Self {
        Self { server, shared, source: source.into(), mark, is_away: false }
    }

    fn replica(&self) -> &Embedded {
        &self.shared.replica.log
    }

    /// Takes over what the server holds, waiting a little for it.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        let by = Instant::now() + CONNECT_FOR;
        loop {
            match self.pull().await {
                Err(Error::Unavailable(_)) if Instant::now() < by => sleep(RETRY_AFTER).await,
                pulled => return pulled.map(drop),
            }
        }
    }

    /// Runs until nobody can ask any more; what was asked before is done.
    pub(super) async fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
        let mut taken = Vec::with_capacity(TOGETHER_MAX);
        loop {
            let next = tokio::select! {
                biased;
                count = tasks.recv_many(&mut taken, TOGETHER_MAX) => Next::Asked(count),
                page = self.look() => Next::Looked(page),
            };
            match next {
                Next::Asked(0) => return,
                Next::Asked(_) => self.work(&mut taken).await,
                Next::Looked(page) => self.follow_looked(page).await,
            }
        }
    }

    /// Waits a little, then reads what is new. It may be given up at any time.
    async fn look(&mut self) -> Result<Page, Error> {
        sleep(if self.is_away { POLL_AWAY } else { POLL }).await;
        if self.shared.broken.get().is_some() {
            std::future::pending::<()>().await;
        }
        self.server.read(self.from()).await
    }

    async fn follow_looked(&mut self, page: Result<Page, Error>) {
        let followed = match page {
            Ok(page) => self.follow(page).await,
            Err(error) => self.shared.note(Err(error)),
        };
        match followed {
            Ok(_) => self.is_away = false,
            Err(error) if !self.is_away => {
                tracing::warn!(%error, "the log cannot be followed for now; trying again");
                self.is_away = true;
            }
            Err(_) => {}
        }
    }

    async fn work(&mut self, taken: &mut Vec<Task>) {
        let mut appends = Vec::new();
        for task in taken.drain(..) {
            match task {
                Task::Append(items, answer) => appends.push((items, answer)),
                Task::Detach(remaining, answer) => {
                    self.append_together(std::mem::take(&mut appends)).await;
                    let _ = answer.send(self.detach(remaining).await);
                }
                Task::ExpireOutcomes(time, answer) => {
                    self.append_together(std::mem::take(&mut appends)).await;
                    let expired = self.commit(|replica| Ok((draft::expire(replica, time)?, ()))).await;
                    let _ = answer.send(expired.map(|(changed, ())| changed.iter().sum()));
                }
            }
        }
        self.append_together(appends).await;
    }

    async fn append_together(&mut self, batches: Vec<(Vec<Item>, Answer<Vec<Outcome>>)>) {
        let (batches, answers): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        let mut told: Vec<Result<Vec<Outcome>, Error>> = answers.iter().map(|_| Ok(vec![])).collect();
        for mut chunk in draft::chunks(batches) {
            // What follows in a batch that failed was decided on what was not kept.
            chunk.retain(|(batch, _)| told.get(*batch).is_some_and(Result::is_ok));
            let (of, items): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
            let appended = self.commit(|replica| draft::append(replica, &items)).await.map(|(_, outcomes)| outcomes);
            match appended {
                Ok(outcomes) => of.iter().zip(outcomes).for_each(|(batch, outcome)| {
                    if let Some(Ok(outcomes)) = told.get_mut(*batch) {
                        outcomes.push(outcome);
                    }
                }),
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
            let (steps, told) = draft(self.replica())?;
            let entries = draft::entries(&steps, self.replica().head())?;
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
            let refused = match self.server.append(self.mark.as_ref().map(|mark| mark.revision), entries).await {
                Ok(()) => return Ok(Written::Kept),
                Err(Failure::Conflict) if unknown.is_none() => return Ok(Written::Overtaken),
                Err(Failure::Conflict) => match self.is_ours(entries).await {
                    Ok(true) => return Ok(Written::Kept),
                    Ok(false) => return Ok(Written::Overtaken),
                    Err(error) => error.to_string(),
                },
                Err(Failure::Refused(reason)) => reason,
                Err(Failure::Unknown(reason)) => unknown.insert(reason).clone(),
                Err(Failure::Deleted) => {
                    return self.shared.note(Err(Error::Corrupt { position: 0, reason: DELETED.into() }));
                }
            };
            match unknown {
                Some(reason) if begun.elapsed() > SETTLE_FOR => return Err(Error::Ambiguous(reason)),
                None if begun.elapsed() > APPEND_FOR => return Err(Error::Unavailable(refused)),
                _ => sleep(RETRY_AFTER).await,
            }
        }
    }

    /// Whether these entries stand where they were to stand.
    async fn is_ours(&mut self, entries: &[Entry]) -> Result<bool, Error> {
        let page = self.server.read(self.next()).await?;
        Ok(page.entries.first().map(|(_, entry)| entry.id) == entries.first().map(|entry| entry.id))
    }

    /// Takes over everything that is new; whether there was anything.
    async fn pull(&mut self) -> Result<bool, Error> {
        let page = self.server.read(self.from()).await;
        let page = self.shared.note(page)?;
        self.follow(page).await
    }

    /// Takes a page over that was read from [`Appender::from`], and what follows it.
    async fn follow(&mut self, page: Page) -> Result<bool, Error> {
        let followed = self.follow_on(page).await;
        self.shared.note(followed)
    }

    async fn follow_on(&mut self, mut page: Page) -> Result<bool, Error> {
        let mut assembler = Assembler::new(self.replica().head());
        let mut expected = self.next();
        let mut moved = false;
        let mut entries = std::mem::take(&mut page.entries).into_iter();
        if let Some(mark) = &self.mark {
            let last = entries.next();
            if last.is_none_or(|(revision, entry)| (revision, entry.id) != (mark.revision, mark.id)) {
                return Err(Error::Corrupt { position: self.replica().head(), reason: REWOUND.into() });
            }
        }
        loop {
            let (mut steps, mut last) = (Vec::new(), None);
            for (revision, entry) in entries {
                if revision != expected {
                    let reason = format!("entry {expected} of the KurrentDB stream is missing");
                    return Err(Error::Corrupt { position: self.replica().head() + 1, reason });
                }
                expected += 1;
                if let Some(step) = assembler.take(&entry)? {
                    steps.push(step);
                    last = Some((revision, entry.id));
                }
            }
            if let Some((revision, id)) = last {
                self.mirror(steps, revision, id).await?;
                moved = true;
            }
            if !page.more {
                return Ok(moved);
            }
            page = self.server.read(expected).await?;
            entries = std::mem::take(&mut page.entries).into_iter();
        }
    }

    /// Where to read on: at the entry taken over last, to see that it still is there.
    fn from(&self) -> u64 {
        self.mark.as_ref().map_or(0, |mark| mark.revision)
    }

    /// Revision of the entry after the one taken over last.
    fn next(&self) -> u64 {
        self.mark.as_ref().map_or(0, |mark| mark.revision + 1)
    }

    async fn mirror(&mut self, steps: Vec<Step>, revision: u64, id: uuid::Uuid) -> Result<Vec<u64>, Error> {
        let mark = Mark { source: self.source.clone(), revision, id };
        let changed = self.replica().mirror(steps, mark.clone()).await?;
        self.mark = Some(mark);
        Ok(changed)
    }
}

fn partly(error: &Error) -> Error {
    Error::Ambiguous(format!("a part of the batch was kept, and the rest was not: {error}"))
}
