//! What the log answers after a flush that failed, that old keys are deleted without a scan, and that the write-ahead log
//! stays small.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::file::LogFile;
use super::store::EXPIRED_TOGETHER;
use super::{Embedded, FailedSync, Faults};
use crate::eventlog::{Append, Error, EventLog as _, Idempotency, Item, NewEvent, Outcome};

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
}

/// One event for the end of a stream.
fn item(stream: &str, expected: u64) -> Item {
    let event = NewEvent {
        id: Uuid::new_v4(),
        name: "user.registered",
        version: 1,
        recorded_at: at(0),
        core: Bytes::from_static(b"core"),
        blobs: None,
    };
    Item { appends: vec![Append { stream: stream.into(), expected, events: vec![event] }], ..Item::default() }
}

fn key(number: u32) -> [u8; 32] {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key
}

fn guard(number: u32) -> Item {
    let idempotency =
        Idempotency { key: key(number), fingerprint: [1; 32], outcome: vec![2], recorded_at: at(number.into()) };
    Item { idempotency: Some(idempotency), ..Item::default() }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("log.db")
}

fn appended(position: u64) -> Vec<Outcome> {
    vec![Outcome::Appended { first: position, last: position }]
}

struct Given {
    dir: tempfile::TempDir,
    faults: Faults,
    log: Embedded,
}

impl Given {
    /// A log that holds one event, of the stream `s`.
    async fn one_event() -> Self {
        let (dir, faults) = (tempfile::tempdir().unwrap(), Faults::default());
        let log = Embedded::open_with_faults(&file(dir.path()), faults.clone()).unwrap();
        assert_eq!(log.append(vec![item("s", 0)]).await.unwrap(), appended(1));
        Self { dir, faults, log }
    }

    fn path(&self) -> PathBuf {
        file(self.dir.path())
    }

    /// Makes the file one that cannot be opened.
    fn hide(&self) {
        std::fs::rename(self.path(), self.dir.path().join("hidden")).unwrap();
    }

    fn show(&self) {
        std::fs::rename(self.dir.path().join("hidden"), self.path()).unwrap();
    }

    /// Waits until the log takes a command again.
    async fn recovered(&self, item: impl Fn() -> Item) -> Vec<Outcome> {
        loop {
            match self.log.append(vec![item()]).await {
                Ok(outcomes) => return outcomes,
                Err(Error::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn after_a_failed_flush_the_file_is_opened_anew_and_what_it_holds_is_what_is_answered() {
    let given = Given::one_event().await;
    given.faults.fail_sync(FailedSync::Kept);
    assert_eq!(given.log.append(vec![item("s", 1)]).await.unwrap(), appended(2));
    assert_eq!((given.log.head(), given.log.read_all(0, 9).await.unwrap().len()), (2, 2));

    given.faults.fail_sync(FailedSync::Lost);
    assert!(matches!(given.log.append(vec![item("s", 2)]).await, Err(Error::Unavailable(_))));
    assert_eq!(given.log.append(vec![item("s", 2)]).await.unwrap(), appended(3));
    assert_eq!(given.log.read_stream("s", 0, 9).await.unwrap().len(), 3);
    let path = given.path();
    drop(given.log);
    assert_eq!(Embedded::open(&path).unwrap().head(), 3);
}

#[tokio::test]
async fn while_the_file_cannot_be_opened_anew_the_append_is_in_doubt_and_nothing_else_is_begun() {
    for failed in [FailedSync::Kept, FailedSync::Lost] {
        let given = Given::one_event().await;
        given.hide();
        given.faults.fail_sync(failed);
        let told = given.log.append(vec![item("s", 1)]).await.unwrap_err();
        assert!(matches!(told, Error::Ambiguous(_)), "{told}");
        let told = given.log.append(vec![item("other", 0)]).await.unwrap_err();
        assert!(matches!(told, Error::Unavailable(_)), "{told}");
        let told = given.log.read_stream("s", 0, 9).await.unwrap_err();
        assert!(matches!(told, Error::Unavailable(_)), "{told}");
        assert_eq!(given.log.head(), 1);

        given.show();
        let kept = u64::from(failed == FailedSync::Kept);
        assert_eq!(given.recovered(|| item("other", 0)).await, appended(2 + kept), "{failed:?}");
        let events = given.log.read_all(0, 9).await.unwrap();
        assert_eq!(events.iter().filter(|event| &*event.stream == "s").count() as u64, 1 + kept, "{failed:?}");
    }
}

#[tokio::test]
async fn what_was_in_doubt_and_is_found_is_seen_by_those_who_follow() {
    let given = Given::one_event().await;
    let mut watched = given.log.watch();
    given.hide();
    given.faults.fail_sync(FailedSync::Kept);
    assert!(matches!(given.log.append(vec![item("s", 1)]).await, Err(Error::Ambiguous(_))));
    given.show();
    watched.wait_for(|head| *head == 2).await.unwrap();
    assert_eq!(given.log.read_all(1, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_that_lost_what_was_acknowledged_is_not_used_any_more() {
    let given = Given::one_event().await;
    let path = given.path();
    drop(given.log);
    let old = given.dir.path().join("old");
    std::fs::copy(&path, &old).unwrap();
    let log = Embedded::open_with_faults(&path, given.faults.clone()).unwrap();
    log.append(vec![item("s", 1)]).await.unwrap();
    std::fs::rename(&path, given.dir.path().join("hidden")).unwrap();
    given.faults.fail_sync(FailedSync::Lost);
    assert!(matches!(log.append(vec![item("s", 2)]).await, Err(Error::Ambiguous(_))));
    for more in ["-wal", "-shm"] {
        std::fs::remove_file(given.dir.path().join(format!("log.db{more}"))).unwrap();
    }
    std::fs::rename(&old, &path).unwrap();
    while log.broken().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(log.broken(), Some(Error::Corrupt { position: 2, .. })));
    assert!(matches!(log.read_stream("s", 0, 9).await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn a_detachment_and_an_expiry_in_doubt_are_repeated() {
    let given = Given::one_event().await;
    for failed in [FailedSync::Kept, FailedSync::Lost] {
        given.faults.fail_sync(failed);
        let blobs = Some(Bytes::from_static(b"left"));
        assert!(matches!(given.log.detach(vec![(1, blobs.clone())]).await, Err(Error::Ambiguous(_))));
        given.recovered(Item::default).await;
        given.log.detach(vec![(1, blobs.clone())]).await.unwrap();
        assert_eq!(given.log.read_all(0, 9).await.unwrap()[0].blobs, blobs);
        given.log.append(vec![guard(1)]).await.unwrap();
        given.faults.fail_sync(failed);
        assert!(given.log.expire_outcomes(at(9)).await.is_err());
        given.recovered(Item::default).await;
        given.log.expire_outcomes(at(9)).await.unwrap();
        assert_eq!(given.log.stored_outcome(key(1)).await.unwrap(), None);
    }
}

/// Appends so many events of 100,000 bytes, several at a time.
async fn append_large(log: &Embedded, number: u32, each: impl Fn()) {
    let append = async || {
        for _ in 0..number / 8 {
            let mut large = item(&Uuid::new_v4().to_string(), 0);
            large.appends[0].events[0].core = Bytes::from(vec![7; 100_000]);
            log.append(vec![large]).await.unwrap();
            each();
        }
    };
    futures_util::future::join_all((0..8).map(|_| append())).await;
}

#[tokio::test]
async fn after_a_checkpoint_that_could_not_be_flushed_the_file_is_opened_anew() {
    let (dir, faults, opened) = (tempfile::tempdir().unwrap(), Faults::default(), Arc::new(AtomicU64::new(0)));
    let counted = opened.clone();
    let file = LogFile::new(&file(dir.path()), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let log = Embedded::start(&dir.path().join("log.db"), file, faults.clone()).unwrap();
    faults.fail_checkpoint();
    while opened.load(Ordering::Relaxed) < 2 {
        let before = log.head();
        append_large(&log, 80, || {}).await;
        assert_eq!(log.head(), before + 80);
    }
}

#[tokio::test]
async fn after_a_checkpoint_that_could_not_be_flushed_the_write_ahead_log_stays_when_the_file_is_closed() {
    let given = Given::one_event().await;
    given.faults.fail_checkpoint();
    let large = (0..200).map(|number| {
        let mut large = item(&number.to_string(), 0);
        large.appends[0].events[0].core = Bytes::from(vec![7; 100_000]);
        large
    });
    given.log.append(large.collect()).await.unwrap();
    let length = |name: &str| std::fs::metadata(given.dir.path().join(name)).map_or(0, |file| file.len());
    while length("log.db") < 1_000_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(given.log);
    assert!(length("log.db-wal") > 20_000_000);
    assert_eq!(Embedded::open(&file(given.dir.path())).unwrap().head(), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_small_while_the_writer_is_never_idle() {
    let given = Given::one_event().await;
    let write_ahead = || std::fs::metadata(given.dir.path().join("log.db-wal")).unwrap().len();
    let largest = AtomicU64::new(0);
    append_large(&given.log, 1_600, || _ = largest.fetch_max(write_ahead(), Ordering::Relaxed)).await;
    let largest = largest.into_inner();
    assert!(largest < 80_000_000, "{largest} bytes, of 160,000,000 that were appended");
}

#[tokio::test]
async fn however_many_keys_are_old_all_of_them_expire_and_the_others_stay() {
    let given = Given::one_event().await;
    let many = EXPIRED_TOGETHER * 5 / 2;
    given.log.append((0..many + 3).map(guard).collect()).await.unwrap();
    assert_eq!(given.log.expire_outcomes(at(many.into())).await.unwrap(), u64::from(many));
    assert_eq!(given.log.stored_outcome(key(many - 1)).await.unwrap(), None);
    assert!(given.log.stored_outcome(key(many)).await.unwrap().is_some());
    assert_eq!(given.log.expire_outcomes(at(many.into())).await.unwrap(), 0);
}

#[cfg(feature = "kurrentdb")]
#[tokio::test]
async fn what_a_mirror_in_doubt_has_taken_over_its_mark_tells() {
    use super::step::{Mark, Step};

    for failed in [FailedSync::Kept, FailedSync::Lost] {
        let given = Given::one_event().await;
        let path = given.path();
        drop(given.log);
        drop(Embedded::open_mirror(&path).unwrap());
        let log = Embedded::open_with_faults(&path, given.faults.clone()).unwrap();
        let mut event = log.read_all(0, 1).await.unwrap().remove(0);
        (event.position, event.revision, event.id) = (2, 2, Uuid::new_v4());
        let steps = vec![Step::Append { events: vec![event], kept: None }];
        let mark = Mark { source: "theirs".into(), revision: 7, id: Uuid::new_v4() };
        given.faults.fail_sync(failed);
        assert!(matches!(log.mirror(steps, mark.clone()).await, Err(Error::Ambiguous(_))));
        let found = loop {
            match log.mark() {
                Ok(found) => break found,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let kept = failed == FailedSync::Kept;
        assert_eq!((found, log.head()), (kept.then_some(mark), 1 + u64::from(kept)));
    }
}
