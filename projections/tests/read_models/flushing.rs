//! A store in a file is not flushed while it is used: what a dead process left is whole, and what a power cut left is built
//! anew.

use std::path::{Path, PathBuf};

use rollcall_projections::store::ReadStore;
use rollcall_projections::{ALL, Arrival, Poison};
use rollcall_schemas::ids::EventId;
use rusqlite::Connection;
use uuid::Uuid;

use crate::rebuilding::{digests, store};
use crate::support::{Log, now, subject};

fn registrations(users: u32) -> Log {
    let mut log = Log::default();
    for number in 0..users {
        log.register(subject(number));
    }
    log
}

fn with_suffix(store: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", store.display()).into()
}

/// A process that dies: nothing is closed, and the next one finds the files as they are.
fn killed(store: ReadStore) {
    std::mem::forget(store);
}

/// What a power cut leaves: the mark of the last boot, and some of the pages.
fn cut(path: &Path) {
    let mark = with_suffix(path, "-unflushed");
    let marked = std::fs::read_to_string(&mark).unwrap();
    let (_, inode) = marked.split_once(' ').unwrap();
    std::fs::write(mark, format!("4e4f1d0c-0000-4000-8000-000000000000 {inode}")).unwrap();
    let mut pages = std::fs::read(path).unwrap();
    pages.chunks_mut(4096).skip(1).step_by(2).for_each(|page| page.fill(0));
    std::fs::write(path, pages).unwrap();
    std::fs::write(with_suffix(path, "-wal"), b"").unwrap();
}

#[test]
fn a_store_whose_process_was_killed_goes_on_and_one_after_a_power_cut_is_built_anew() {
    let (files, store) = store();
    let path = files.path().join("read.db");
    let log = registrations(30);
    let arrivals = log.after(0);
    now(store.apply(&arrivals[..20], ALL)).unwrap();
    let before = (digests(&store), store.checkpoints());
    killed(store);
    let store = ReadStore::open(&path).unwrap();
    assert_eq!((digests(&store), store.checkpoints()), before, "a killed process costs no rebuild");
    now(store.apply(&arrivals[20..25], ALL)).unwrap();
    killed(store);

    cut(&path);
    let store = ReadStore::open(&path).unwrap();
    assert!(store.checkpoints().iter().all(|checkpoint| checkpoint.position == 0 && checkpoint.event.is_none()));
    now(store.apply(&arrivals, ALL)).unwrap();
    let (_clean_files, clean) = self::store();
    now(clean.apply(&arrivals, ALL)).unwrap();
    assert_eq!(digests(&store), digests(&clean));
    drop(store);
    let store = ReadStore::open(&path).unwrap();
    assert_eq!(store.checkpoints(), clean.checkpoints(), "it was flushed when it was closed");
}

#[test]
fn a_store_that_was_closed_is_whole_in_its_file_alone_and_bears_no_mark() {
    let (files, store) = store();
    let path = files.path().join("read.db");
    let log = registrations(10);
    now(store.apply(&log.after(0), ALL)).unwrap();
    let before = digests(&store);
    assert!(with_suffix(&path, "-unflushed").exists(), "the control: it bears one while it is used");
    drop(store);
    assert!(!with_suffix(&path, "-unflushed").exists());
    let elsewhere = tempfile::tempdir().unwrap();
    let copied = elsewhere.path().join("read.db");
    std::fs::copy(&path, &copied).unwrap();
    let store = ReadStore::open(&copied).unwrap();
    assert_eq!(digests(&store), before);
}

#[test]
fn a_store_that_is_discarded_is_not_flushed_and_is_built_anew_after_a_power_cut() {
    let (files, store) = store();
    let path = files.path().join("read.db");
    now(store.apply(&registrations(10).after(0), ALL)).unwrap();
    let before = digests(&store);
    store.discard();
    drop(store);
    assert!(with_suffix(&path, "-unflushed").exists());
    let store = ReadStore::open(&path).unwrap();
    assert_eq!(digests(&store), before, "the kernel has it");
    store.discard();
    drop(store);
    cut(&path);
    let store = ReadStore::open(&path).unwrap();
    assert!(store.checkpoints().iter().all(|checkpoint| checkpoint.position == 0));
}

#[test]
fn a_store_that_another_process_reads_when_it_is_closed_stays_marked() {
    let (files, store) = store();
    let path = files.path().join("read.db");
    now(store.apply(&registrations(10).after(0), ALL)).unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM store_checkpoint;").unwrap();
    now(store.apply(&registrations(12).after(10), ALL)).unwrap();
    drop(store);
    assert!(with_suffix(&path, "-unflushed").exists());
    drop(reader);
    drop(ReadStore::open(&path).unwrap());
    assert!(!with_suffix(&path, "-unflushed").exists());
}

#[tokio::test]
async fn what_an_operator_had_skipped_outlives_a_store_that_is_built_anew() {
    let (files, store) = store();
    let path = files.path().join("read.db");
    let poison = |position: u64| {
        let (stream, id) = (format!("user-{}", subject(9)), EventId(Uuid::from_u128(position.into())));
        Arrival::Undecodable(Poison { position, stream, id, reason: "unreadable".into() })
    };
    let stream = format!("user-{}", subject(9));
    now(store.apply(&[poison(1), poison(2)], ALL)).unwrap();
    assert_eq!(store.resolve_parked("user_directory", &stream, "of no use").await.unwrap(), 2);
    let skipped = store.skipped_after((0, ""), 10).await.unwrap();
    assert_eq!(skipped.len(), 2);
    killed(store);

    cut(&path);
    let store = ReadStore::open(&path).unwrap();
    assert_eq!(store.skipped_after((0, ""), 10).await.unwrap(), skipped);
    now(store.apply(&[poison(1), poison(2)], ALL)).unwrap();
    assert_eq!(store.parked_positions("user_directory", &stream, 10).await.unwrap(), Vec::<u64>::new());
    assert_eq!(store.parked_positions("apps", &stream, 10).await.unwrap(), [1, 2], "the control");

    // So it does where the next process was killed when it had just made the file.
    killed(store);
    for file in [path.clone(), with_suffix(&path, "-wal"), with_suffix(&path, "-shm")] {
        std::fs::remove_file(file).unwrap();
    }
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL; PRAGMA user_version = 1;").unwrap();
    let store = ReadStore::open(&path).unwrap();
    assert_eq!(store.skipped_after((0, ""), 10).await.unwrap(), skipped);

    // What is taken back stays taken back.
    assert_eq!(store.stop_skipping("user_directory", &stream).await.unwrap(), 2);
    killed(store);
    cut(&path);
    let store = ReadStore::open(&path).unwrap();
    assert_eq!(store.skipped_after((0, ""), 10).await.unwrap(), []);
}

#[test]
fn a_scratch_store_leaves_no_mark_and_is_never_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let store = ReadStore::scratch(&path, ALL).unwrap();
    now(store.apply(&registrations(3).after(0), ALL)).unwrap();
    assert!(!with_suffix(&path, "-unflushed").exists() && !with_suffix(&path, "-skipped").exists());
    drop(store);
    assert!(!with_suffix(&path, "-unflushed").exists());
}
