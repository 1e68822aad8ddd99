//! What the read models do at once, and what they leave until there is more.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rollcall::engine::projector::LIVE_BATCH_MAX;
use rollcall::eventlog::{self, Append, EventLog, Item, NewEvent, RawEvent};
use rollcall_schemas::stream::Stream;
use uuid::Uuid;

use crate::support::log_layer::{Layer, Layered};

use super::{Environment, Running, register, rename};

/// A log to which somebody appends whenever the projector reads it, so that it always holds more.
#[derive(Default)]
struct Growing {
    /// The last event of the stream that grows; `None`: nobody appends.
    last: Mutex<Option<RawEvent>>,
    /// How often the projector found something.
    batches: AtomicU64,
}

impl Growing {
    fn next(&self) -> Option<Item> {
        let mut last = self.last.lock().unwrap();
        let RawEvent { stream, revision, version, recorded_at, core, blobs, .. } = last.clone()?;
        let event = NewEvent { id: Uuid::new_v4(), name: "user.modified", version, recorded_at, core, blobs };
        last.as_mut()?.revision += 1;
        let append = Append { stream: stream.to_string(), expected: revision, events: vec![event] };
        Some(Item { appends: vec![append], ..Item::default() })
    }
}

#[async_trait]
impl Layer for Growing {
    async fn read_all(&self, log: &dyn EventLog, after: u64, limit: usize) -> Result<Vec<RawEvent>, eventlog::Error> {
        let events = log.read_all(after, limit).await?;
        // Nobody else reads so many at once.
        if limit == LIVE_BATCH_MAX
            && !events.is_empty()
            && let Some(item) = self.next()
        {
            self.batches.fetch_add(1, Ordering::Relaxed);
            log.append(vec![item]).await?;
        }
        Ok(events)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_gather_while_nobody_asks_for_them_though_there_are_always_more() {
    let dir = tempfile::tempdir().unwrap();
    Running::create(dir.path(), Environment::Production).await.stop();
    let mut log = None;
    let running =
        Running::open_with(dir.path(), |inner| log.insert(Layered::over(inner, Growing::default())).clone()).await;
    let log = log.unwrap();
    let subject = running.register("ada").await.subject;
    running.execute(rename("ada", "Ada")).await.unwrap();
    let events = running.data.log.read_stream(&Stream::User(subject).to_string(), 0, 100).await.unwrap();

    *log.last.lock().unwrap() = events.last().cloned();
    running.execute(register("bob")).await.unwrap();
    let since = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    *log.last.lock().unwrap() = None;
    let (batches, took) = (log.batches.load(Ordering::Relaxed), since.elapsed());
    // One at a time, each 8 ms after the one before; the first ones may have been waited for.
    assert!(batches > 1, "nothing was applied");
    assert!(u128::from(batches) <= took.as_millis() / 8 + 10, "{batches} batches in {took:?}");
    running.engine().all_applied().await.unwrap();
    running.stop();
}
