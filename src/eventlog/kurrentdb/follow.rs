//! Taking over what the stream holds.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::appender::{Appender, RETRY_AFTER};
use super::entry::{Assembler, Entry};
use super::metadata::Metadata;
use super::server::Page;
use super::{DELETED, REWOUND};
use crate::eventlog::embedded::step::{Mark, Step};
use crate::eventlog::{Damage, Error, EventLog as _};

/// How long what another node appended stays unseen at most, while nothing is appended here.
const POLL: Duration = Duration::from_millis(200);
/// The same while the server is away.
const POLL_AWAY: Duration = Duration::from_secs(1);
/// After how long the server is asked again where it seems to lack what it had.
const CONFIRM_AFTER: Duration = Duration::from_millis(500);
/// How long the server may be away at the start.
const CONNECT_FOR: Duration = Duration::from_secs(10);

impl Appender {
    /// Takes over what the server holds, waiting a little for it.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        let by = Instant::now() + CONNECT_FOR;
        while let Err(error) = self.pull().await {
            if !matches!(error, Error::Unavailable(_)) {
                return Err(error);
            }
            if let Some(reason) = self.server.hopeless().await {
                return Err(Error::Unavailable(reason));
            }
            if Instant::now() > by {
                return Err(error);
            }
            sleep(RETRY_AFTER).await;
        }
        match self.metadata().await?.danger() {
            Some(danger) => Err(Error::Unavailable(danger)),
            None => Ok(()),
        }
    }

    /// What is set of the stream. Who may not read that has to take it on trust.
    async fn metadata(&mut self) -> Result<Metadata, Error> {
        let metadata = self.server.metadata().await;
        if metadata.is_err() && self.server.was_denied() {
            tracing::warn!("the metadata of the stream in KurrentDB may not be read: give its user the right to ($mr)");
            return Ok(Metadata::default());
        }
        metadata
    }

    /// Looks whether the server may forget entries by now: then the log must not be used any more.
    pub(super) async fn inspect_again(&mut self) {
        if self.shared.integrity.broken().is_some() {
            return;
        }
        match self.metadata().await {
            Ok(metadata) => {
                let position = self.replica().head();
                if let Some(danger) = metadata.danger() {
                    self.shared.note_damage(position, Damage::Retention.because(danger)).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the metadata of the stream in KurrentDB cannot be read for now"),
        }
    }

    /// Waits a little, then reads what is new. It may be given up at any time.
    pub(super) async fn look(&mut self) -> Result<Page, Error> {
        sleep(if self.is_away { POLL_AWAY } else { POLL }).await;
        if self.shared.integrity.broken().is_some() {
            std::future::pending::<()>().await;
        }
        self.settle_mark()?;
        self.server.read(self.from()).await
    }

    pub(super) async fn follow_looked(&mut self, page: Result<Page, Error>) {
        let followed = match page {
            Ok(page) => self.follow(page).await,
            Err(error) => self.shared.note(Err(error)).await,
        };
        match followed {
            Ok(_) => self.is_away = false,
            // That was said, and why.
            Err(Error::Corrupt { .. }) => {}
            Err(error) if !self.is_away => {
                tracing::warn!(%error, "the log cannot be followed for now; trying again");
                self.is_away = true;
            }
            Err(_) => {}
        }
    }

    /// Checks that a page read from [`Appender::from`] begins with the entry taken over last.
    pub(super) async fn check(&mut self, page: &Page) -> Result<(), Error> {
        let first = |page: &Page| page.entries.first().map(|(revision, entry)| (*revision, entry.id));
        let mark = self.mark.as_ref().map(|mark| (mark.revision, mark.id));
        if mark.is_some() && first(page) != mark {
            // During a change of leaders the former one may still answer: another connection is asked before this counts.
            self.server.reconnect();
            sleep(CONFIRM_AFTER).await;
            let confirmed = self.server.read(self.from()).await?;
            if first(&confirmed) == mark {
                return Err(Error::Unavailable("a node of KurrentDB lacks entries that its leader has".into()));
            }
            let is_empty = first(&confirmed).is_none() && self.server.read(0).await?.entries.is_empty();
            let reason = if is_empty { Damage::Deleted.because(DELETED) } else { Damage::Rewound.because(REWOUND) };
            return Err(Error::Corrupt { position: self.replica().head(), reason });
        }
        self.server.trust();
        Ok(())
    }

    /// Takes over everything that is new; whether there was anything.
    pub(super) async fn pull(&mut self) -> Result<bool, Error> {
        self.settle_mark()?;
        let page = self.server.read(self.from()).await;
        let page = self.shared.note(page).await?;
        self.follow(page).await
    }

    /// Takes a page over that was read from [`Appender::from`], and what follows it.
    async fn follow(&mut self, page: Page) -> Result<bool, Error> {
        let followed = self.follow_on(page).await;
        self.shared.note(followed).await
    }

    async fn follow_on(&mut self, mut page: Page) -> Result<bool, Error> {
        self.check(&page).await?;
        let mut assembler = Assembler::new(self.mark.as_ref().map(|mark| mark.id), self.replica().head());
        let mut expected = self.next();
        let mut moved = false;
        let known = usize::from(self.mark.is_some());
        let mut entries = page.entries.drain(..).skip(known).collect::<Vec<_>>();
        loop {
            let (mut steps, mut last) = (Vec::new(), None);
            let taken = entries.iter().try_for_each(|entry| {
                if let Some(step) = take(&mut assembler, &mut expected, entry)? {
                    steps.push(step);
                    last = Some((entry.0, entry.1.id));
                }
                Ok::<_, Error>(())
            });
            // Also what comes before an entry that cannot be right: it can be copied elsewhere.
            if let Some((revision, id)) = last {
                self.mirror(steps, revision, id).await?;
                moved = true;
            }
            taken?;
            if !page.more {
                return Ok(moved);
            }
            page = self.server.read(expected).await?;
            entries = std::mem::take(&mut page.entries);
        }
    }

    /// Where to read on: at the entry taken over last, to see that it still is there.
    pub(super) fn from(&self) -> u64 {
        self.mark.as_ref().map_or(0, |mark| mark.revision)
    }

    /// Revision of the entry after the one taken over last.
    pub(super) fn next(&self) -> u64 {
        self.mark.as_ref().map_or(0, |mark| mark.revision + 1)
    }

    pub(super) async fn mirror(&mut self, steps: Vec<Step>, revision: u64, id: Uuid) -> Result<Vec<u64>, Error> {
        let mark = Mark { source: self.source.clone(), revision, id };
        self.mark_is_doubtful = true;
        let changed = self.replica().mirror(steps, mark.clone()).await?;
        (self.mark, self.mark_is_doubtful) = (Some(mark), false);
        Ok(changed)
    }

    /// After a failure, only the replica says how far it is.
    pub(super) fn settle_mark(&mut self) -> Result<(), Error> {
        if self.mark_is_doubtful {
            self.mark = self.replica().mark()?;
            self.mark_is_doubtful = false;
        }
        Ok(())
    }
}

/// The step that the next entry completes, if it does.
fn take(
    assembler: &mut Assembler,
    expected: &mut u64,
    (revision, entry): &(u64, Entry),
) -> Result<Option<Step>, Error> {
    if revision != expected {
        return Err(assembler.corrupt(Damage::Hole, &format!("entry {expected} is missing")));
    }
    *expected += 1;
    assembler.take(entry)
}
