//! Writers that do not give up while something breaks, and what the log must hold afterwards.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Error, EventLog, Idempotency, Item, Outcome};
use tokio::task::JoinHandle;

use super::history::{Reader, event, item};

/// Bytes of an event, so that a small disk is soon full.
const SIZE: usize = 4_096;

/// Every event of a log, checked.
pub async fn whole(log: &dyn EventLog) -> Reader {
    let mut reader = Reader::default();
    loop {
        let events = log.read_all(reader.position(), 1_000).await.unwrap();
        if events.is_empty() {
            return reader;
        }
        reader.take(&events).unwrap();
    }
}

/// What the writers were told so far.
#[derive(Default)]
pub struct Told {
    pub acknowledged: AtomicU64,
    /// That nothing was kept.
    pub refused: AtomicU64,
    /// That nobody can tell what was kept.
    pub unknown: AtomicU64,
    done: AtomicBool,
}

/// Writers that run, on two nodes.
pub struct Writers {
    database: Database,
    pub told: Arc<Told>,
    running: Vec<JoinHandle<Vec<String>>>,
}

/// A command that may be repeated: one event of a stream of its own, and a key.
pub fn keyed(writer: u8, number: u32) -> (String, Item) {
    let stream = format!("w{writer}-{number}");
    let mut key = [writer; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    let recorded_at = event(0).recorded_at;
    let idempotency = Some(Idempotency { key, fingerprint: [1; 32], outcome: vec![7], recorded_at });
    let mut item = Item { idempotency, ..item(&stream, 0, 1) };
    item.appends[0].events[0].blobs = Some(Bytes::from(vec![writer; SIZE]));
    (stream, item)
}

/// Repeats each command until it is acknowledged; answers which were.
async fn insist(log: Arc<Postgres>, writer: u8, told: Arc<Told>) -> Vec<String> {
    let mut acknowledged = vec![];
    for number in 0.. {
        if told.done.load(Ordering::SeqCst) {
            break;
        }
        let (stream, item) = keyed(writer, number);
        let mut may_be_kept = false;
        loop {
            match log.append(vec![item.clone()]).await {
                Ok(outcomes) => {
                    match &outcomes[0] {
                        Outcome::Appended { .. } => {}
                        Outcome::Replayed { .. } => assert!(may_be_kept, "{stream}: it said that nothing was kept"),
                        other => panic!("{stream}: {other:?}"),
                    }
                    told.acknowledged.fetch_add(1, Ordering::SeqCst);
                    acknowledged.push(stream);
                    break;
                }
                Err(Error::Unavailable(_)) => drop(told.refused.fetch_add(1, Ordering::SeqCst)),
                Err(Error::Ambiguous(_)) => {
                    may_be_kept = true;
                    told.unknown.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    acknowledged
}

impl Writers {
    pub async fn start(database: &Database) -> Self {
        let told = Arc::new(Told::default());
        let mut nodes = vec![];
        for _ in 0..2 {
            nodes.push(Arc::new(Postgres::open(database, Mode::Append).await.unwrap()));
        }
        let running =
            (0..6).map(|w| tokio::spawn(insist(nodes[usize::from(w) % 2].clone(), w, told.clone()))).collect();
        Self { database: database.clone(), told, running }
    }

    /// Waits until they were told something so often.
    pub async fn until(&self, what: impl Fn(&Told) -> &AtomicU64, often: u64) {
        while what(&self.told).load(Ordering::SeqCst) < often {
            assert!(!self.running.iter().any(JoinHandle::is_finished), "a writer gave up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until so many more commands were acknowledged.
    pub async fn go_on(&self, more: u64) {
        let before = self.told.acknowledged.load(Ordering::SeqCst);
        self.until(|told| &told.acknowledged, before + more).await;
    }

    /// Stops them, and fails unless the log holds each command that was acknowledged once, and nothing else.
    pub async fn finish(self) {
        self.told.done.store(true, Ordering::SeqCst);
        let mut acknowledged = vec![];
        for writer in self.running {
            acknowledged.extend(writer.await.unwrap());
        }
        let log = Postgres::open(&self.database, Mode::Append).await.unwrap();
        let mut times: HashMap<_, u32> = acknowledged.into_iter().map(|stream| (stream, 0)).collect();
        let events = whole(&log).await;
        assert_eq!(events.seen.len(), times.len(), "one event for each command that was acknowledged");
        for stream in events.streams() {
            *times.get_mut(stream).unwrap_or_else(|| panic!("{stream} was not acknowledged")) += 1;
        }
        assert!(times.values().all(|times| *times == 1));
    }
}
