//! A log over another one: a test changes what it is about, and the rest is passed on.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall::eventlog::{Error, EventLog, Item, Outcome, RawEvent};
use tokio::sync::watch;

/// What a test changes of a log. Whatever it does not name is passed on to `log`.
#[async_trait]
pub trait Layer: Send + Sync {
    async fn append(&self, log: &dyn EventLog, batch: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        log.append(batch).await
    }
    async fn read_stream(
        &self,
        log: &dyn EventLog,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RawEvent>, Error> {
        log.read_stream(stream, after, limit).await
    }
    async fn read_stream_back(
        &self,
        log: &dyn EventLog,
        stream: &str,
        before: u64,
        limit: usize,
    ) -> Result<Vec<RawEvent>, Error> {
        log.read_stream_back(stream, before, limit).await
    }
    async fn read_all(&self, log: &dyn EventLog, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        log.read_all(after, limit).await
    }
    async fn read_at(&self, log: &dyn EventLog, positions: &[u64]) -> Result<Vec<RawEvent>, Error> {
        log.read_at(positions).await
    }
}

/// A log with a layer over it; what the layer has of its own can be asked of it.
pub struct Layered<L> {
    log: Arc<dyn EventLog>,
    layer: L,
}

impl<L> Layered<L> {
    pub fn over(log: Arc<dyn EventLog>, layer: L) -> Arc<Self> {
        Arc::new(Self { log, layer })
    }
}

impl<L> Deref for Layered<L> {
    type Target = L;
    fn deref(&self) -> &L {
        &self.layer
    }
}

#[async_trait]
impl<L: Layer> EventLog for Layered<L> {
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        self.layer.append(&*self.log, batch).await
    }
    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.layer.read_stream(&*self.log, stream, after, limit).await
    }
    async fn read_stream_back(&self, stream: &str, before: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.layer.read_stream_back(&*self.log, stream, before, limit).await
    }
    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.layer.read_all(&*self.log, after, limit).await
    }
    async fn read_at(&self, positions: &[u64]) -> Result<Vec<RawEvent>, Error> {
        self.layer.read_at(&*self.log, positions).await
    }
    fn head(&self) -> u64 {
        self.log.head()
    }
    async fn latest(&self) -> Result<u64, Error> {
        self.log.latest().await
    }
    async fn fence(&self) -> Result<u64, Error> {
        self.log.fence().await
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.log.watch()
    }
    fn broken(&self) -> Option<Error> {
        self.log.broken()
    }
    async fn stored_outcome(&self, key: [u8; 32]) -> Result<Option<([u8; 32], Vec<u8>)>, Error> {
        self.log.stored_outcome(key).await
    }
    async fn expire_outcomes(&self, time: DateTime<Utc>) -> Result<u64, Error> {
        self.log.expire_outcomes(time).await
    }
    async fn detach(&self, remaining: Vec<(u64, Option<Bytes>)>) -> Result<u64, Error> {
        self.log.detach(remaining).await
    }
}
