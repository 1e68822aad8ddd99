//! The real log, made to fail in the ways a log can.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall::eventlog::{self, Item, Outcome};
use tokio::sync::{Notify, watch};

use super::{Arc, Environment, EventLog, Limits, Place, RawEvent, Running};

/// A stream, whom to tell that it was read, and who lets the answer go.
pub(super) type Held = (String, Arc<Notify>, Arc<Notify>);

/// An append that is held up: whom to tell that it began, who lets it go on, and whether it fails then.
pub(super) type Gate = (Arc<Notify>, Arc<Notify>, bool);

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept, and said to be.
    Kept,
    /// Nothing is kept, as is said.
    Failed,
    /// Nothing is kept, and that is not known.
    Lost,
    /// It is kept, and that is not known.
    Unknown,
    /// It is kept before the next one, and nothing is known.
    LateBefore,
    /// It is kept after the next one, and nothing is known.
    LateAfter,
    /// It is kept, and it is said that it is not.
    Lied,
}

/// The real log, of which some appends fail or take long.
pub(super) struct Failing {
    inner: Arc<dyn EventLog>,
    /// What becomes of the next appends.
    pub(super) fates: Mutex<VecDeque<Fate>>,
    late: tokio::sync::Mutex<Vec<(Fate, Vec<Item>)>>,
    /// Most events that one read of the log answers, slowly; 0: it is as fast as it is.
    pub(super) slow_reads_of: AtomicUsize,
    /// How many pages of streams were read.
    pub(super) pages_read: AtomicU64,
    /// How many events of streams were read.
    pub(super) events_read: AtomicU64,
    /// How many of the next appends fail.
    pub(super) next: AtomicU32,
    /// Every so many appends fail; 0: none.
    pub(super) every: AtomicU32,
    appends: AtomicU64,
    /// The next read of this stream is held up once it was made, until it is let go.
    pub(super) held: Mutex<Option<Held>>,
    /// The next appends.
    pub(super) gates: Mutex<VecDeque<Gate>>,
}

impl Failing {
    pub(super) fn over(inner: Arc<dyn EventLog>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fates: Mutex::default(),
            late: tokio::sync::Mutex::default(),
            slow_reads_of: AtomicUsize::new(0),
            pages_read: AtomicU64::new(0),
            events_read: AtomicU64::new(0),
            next: AtomicU32::new(0),
            every: AtomicU32::new(0),
            appends: AtomicU64::new(0),
            held: Mutex::default(),
            gates: Mutex::default(),
        })
    }

    async fn meet(&self, fate: Fate, batch: Vec<Item>) -> Result<Vec<Outcome>, eventlog::Error> {
        let unknown = || eventlog::Error::Ambiguous("no answer".into());
        match fate {
            Fate::Kept => self.inner.append(batch).await,
            Fate::Failed => Err(full()),
            Fate::Lost => Err(unknown()),
            Fate::Unknown => self.inner.append(batch).await.and(Err(unknown())),
            Fate::LateBefore | Fate::LateAfter => {
                self.late.lock().await.push((fate, batch));
                Err(unknown())
            }
            Fate::Lied => self.inner.append(batch).await.and(Err(full())),
        }
    }

    /// Appends what comes late.
    pub(super) async fn arrive(&self, fate: Fate) {
        let mut late = self.late.lock().await;
        let (arriving, rest): (Vec<_>, _) = late.drain(..).partition(|(of, _)| *of == fate);
        *late = rest;
        for (_, batch) in arriving {
            self.inner.append(batch).await.unwrap();
        }
    }

    /// Holds a read of a stream up, once it was made, if it is to be held up.
    async fn hold(&self, stream: &str) {
        let held = self.held.lock().unwrap().take_if(|(of, ..)| of == stream);
        if let Some((_, reached, release)) = held {
            reached.notify_one();
            release.notified().await;
        }
    }

    fn fails(&self) -> bool {
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        let every = u64::from(self.every.load(Ordering::Relaxed));
        let next = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| next.checked_sub(1)).is_ok();
        next || every > 0 && number.is_multiple_of(every)
    }
}

fn full() -> eventlog::Error {
    eventlog::Error::Unavailable("the disk is full".into())
}

#[async_trait]
impl EventLog for Failing {
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, eventlog::Error> {
        let gate = self.gates.lock().unwrap().pop_front();
        if let Some((reached, release, fails)) = gate {
            reached.notify_one();
            release.notified().await;
            return if fails { Err(full()) } else { self.inner.append(batch).await };
        }
        let fate = self.fates.lock().unwrap().pop_front();
        if let Some(fate) = fate {
            self.arrive(Fate::LateBefore).await;
            let was_late = std::mem::take(&mut *self.late.lock().await);
            let outcomes = self.meet(fate, batch).await;
            let arrived = std::mem::replace(&mut *self.late.lock().await, was_late);
            self.arrive(Fate::LateAfter).await;
            self.late.lock().await.extend(arrived);
            return outcomes;
        }
        if self.appends.load(Ordering::Relaxed) % 5 == 2 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        if self.fails() {
            return Err(full());
        }
        self.inner.append(batch).await
    }
    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, eventlog::Error> {
        self.pages_read.fetch_add(1, Ordering::Relaxed);
        let events = self.inner.read_stream(stream, after, limit).await;
        self.events_read.fetch_add(events.as_ref().map_or(0, Vec::len) as u64, Ordering::Relaxed);
        self.hold(stream).await;
        events
    }
    async fn read_stream_back(
        &self,
        stream: &str,
        before: u64,
        limit: usize,
    ) -> Result<Vec<RawEvent>, eventlog::Error> {
        self.pages_read.fetch_add(1, Ordering::Relaxed);
        let events = self.inner.read_stream_back(stream, before, limit).await;
        self.events_read.fetch_add(events.as_ref().map_or(0, Vec::len) as u64, Ordering::Relaxed);
        self.hold(stream).await;
        events
    }
    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, eventlog::Error> {
        match self.slow_reads_of.load(Ordering::Relaxed) {
            0 => self.inner.read_all(after, limit).await,
            few => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                self.inner.read_all(after, limit.min(few)).await
            }
        }
    }
    fn head(&self) -> u64 {
        self.inner.head()
    }
    async fn latest(&self) -> Result<u64, eventlog::Error> {
        self.inner.latest().await
    }
    async fn fence(&self) -> Result<u64, eventlog::Error> {
        self.inner.fence().await
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.watch()
    }
    async fn stored_outcome(&self, key: [u8; 32]) -> Result<Option<([u8; 32], Vec<u8>)>, eventlog::Error> {
        self.inner.stored_outcome(key).await
    }
    async fn expire_outcomes(&self, time: DateTime<Utc>) -> Result<u64, eventlog::Error> {
        self.inner.expire_outcomes(time).await
    }
    async fn detach(&self, remaining: Vec<(u64, Option<Bytes>)>) -> Result<u64, eventlog::Error> {
        self.inner.detach(remaining).await
    }
}

/// A directory with an app, opened again over a log that can fail.
pub(super) async fn failing(dir: &std::path::Path) -> (Running, Arc<Failing>) {
    failing_at(&crate::support::place(dir)).await
}

/// The same, at a place.
pub(super) async fn failing_at(place: &Place) -> (Running, Arc<Failing>) {
    Running::create_at(place, Environment::Production).await.stop();
    another_failing_at(place).await
}

/// One more node at a place that has the app.
pub(super) async fn another_failing_at(place: &Place) -> (Running, Arc<Failing>) {
    let mut failing = None;
    let running = Running::open_at(place, Limits::default(), |log| failing.insert(Failing::over(log)).clone()).await;
    (running, failing.unwrap())
}
