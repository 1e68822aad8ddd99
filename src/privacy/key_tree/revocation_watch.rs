//! Whether this node knows what the others did to the tree they share. Every node looks several times a second, and one
//! that could not look for a second uses no key: what another node has destroyed is unreadable here by then.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::db::Db;
use super::signers;
use crate::privacy::Error;

/// How often it looks.
pub(super) const EVERY: Duration = Duration::from_millis(200);
/// How long keys in memory are used without having looked.
const LIVES: Duration = Duration::from_secs(1);
/// How long a caller waits for a look that is late, at most; when nobody could look for longer than that, nobody waits.
const WAIT_MAX: Duration = Duration::from_secs(1);

const SEEN: &str = "select generation, (select count(*) from signer) from vault where id = 1";

pub(super) struct RevocationWatch {
    /// Looks, one at a time.
    pub(super) looker: Mutex<Box<dyn Db>>,
    began: Instant,
    /// When the last look that was answered began, in microseconds since `began`.
    seen: AtomicU64,
    stopping: Mutex<bool>,
    turned: Condvar,
    /// The same for those who must not block their thread.
    looked: Notify,
}

fn silent() -> Error {
    Error::Unavailable("its database has not answered for a second; no key is used until it does".into())
}

/// What a look shows.
pub(super) struct Seen {
    pub(super) generation: u64,
    pub(super) signers: usize,
}

impl Seen {
    pub(super) fn by(db: &mut dyn Db) -> Result<Self, Error> {
        let gone = || Error::Damaged("its row is gone".into());
        let row = db.row(SEEN, &[])?.ok_or_else(gone)?;
        Ok(Self { generation: row.number(0)?, signers: row.number(1)? })
    }

    pub(super) fn is_of(&self, generation: u64, signers: &[signers::Held]) -> bool {
        self.generation == generation && self.signers == signers.len()
    }
}

impl RevocationWatch {
    /// As of now, when everything was just read.
    pub(super) fn new(looker: Box<dyn Db>) -> Self {
        let (seen, stopping) = (AtomicU64::new(0), Mutex::new(false));
        Self {
            looker: Mutex::new(looker),
            began: Instant::now(),
            seen,
            stopping,
            turned: Condvar::new(),
            looked: Notify::new(),
        }
    }

    fn stopping(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look that began then was answered, and what it showed was done.
    pub(super) fn saw(&self, started: Instant) {
        let micros = started.saturating_duration_since(self.began).as_micros();
        self.seen.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::AcqRel);
        let _waiting = self.stopping();
        self.turned.notify_all();
        self.looked.notify_waiters();
    }

    fn age(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_micros(self.seen.load(Ordering::Acquire)))
    }

    /// How much longer a look that is late may be waited for; nothing where keys in memory may be used.
    fn late(&self) -> Result<Option<Duration>, Error> {
        let age = self.age();
        if age < LIVES {
            return Ok(None);
        }
        let left = (LIVES + WAIT_MAX).saturating_sub(age);
        if left.is_zero() { Err(silent()) } else { Ok(Some(left)) }
    }

    /// Waits until keys in memory may be used, without blocking the thread.
    pub(super) async fn current(&self) -> Result<(), Error> {
        loop {
            let mut looked = pin!(self.looked.notified());
            // Before it is looked at the time: a look in between is not missed.
            looked.as_mut().enable();
            let Some(left) = self.late()? else { return Ok(()) };
            if *self.stopping() {
                return Err(silent());
            }
            // Late or not, the time says.
            let _ = tokio::time::timeout(left, looked).await;
        }
    }

    /// Whether keys in memory may be used. A thread of its own waits a little for a look that is late; one that runs
    /// asynchronous work must not, and has waited in [`RevocationWatch::current`].
    pub(super) fn fresh(&self) -> Result<(), Error> {
        if self.late()?.is_none() {
            return Ok(());
        }
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(silent());
        }
        let mut waiting = self.stopping();
        loop {
            let Some(left) = self.late()? else { return Ok(()) };
            if *waiting {
                return Err(silent());
            }
            waiting = self.turned.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Looks until stopped.
    pub(super) fn keep_looking(&self, mut look: impl FnMut() -> Result<(), Error>) {
        let mut failed = false;
        loop {
            let looked = look();
            if let (Err(error), false) = (&looked, failed) {
                tracing::warn!(%error, "this node cannot see what others do to the keys");
            }
            failed = looked.is_err();
            let stopping = self.stopping();
            let until = |stopping: &mut bool| !*stopping;
            let (stopping, _) =
                self.turned.wait_timeout_while(stopping, EVERY, until).unwrap_or_else(PoisonError::into_inner);
            if *stopping {
                return;
            }
        }
    }

    pub(super) fn stop(&self) {
        *self.stopping() = true;
        self.turned.notify_all();
        self.looked.notify_waiters();
    }
}
