//! What the embedded log does when its file is full, damaged, or not its own.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::DateTime;
use rollcall::eventlog::embedded::Embedded;
use rollcall::eventlog::{Append, Error, EventLog, Idempotency, Item, NewEvent, Outcome, RawEvent};
use rusqlite::Connection;
use uuid::Uuid;

fn file(dir: &Path) -> PathBuf {
    dir.join("events.db")
}

fn event(number: u64, core: usize) -> NewEvent {
    NewEvent {
        id: Uuid::from_u128(u128::from(number)),
        name: "user.registered",
        version: 1,
        recorded_at: DateTime::from_timestamp_millis(1_700_000_000_000).unwrap(),
        core: Bytes::from(vec![7; core]),
        blobs: Some(Bytes::from_static(b"sealed")),
    }
}

fn append(stream: &str, expected: u64, events: Vec<NewEvent>) -> Item {
    let appends = vec![Append { stream: stream.into(), expected, events }];
    Item { appends, ..Item::default() }
}

/// A log of five events in one stream, closed.
async fn log_of_five(dir: &Path) {
    let log = Embedded::open(&file(dir)).unwrap();
    log.append(vec![append("one", 0, (1..=5).map(|n| event(n, 10)).collect())]).await.unwrap();
}

#[tokio::test]
async fn a_hole_is_corruption_at_the_position_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    log_of_five(dir.path()).await;
    let raw = Connection::open(file(dir.path())).unwrap();
    raw.execute_batch("drop trigger event_is_never_deleted; delete from event where position = 3").unwrap();
    drop(raw);
    let log = Embedded::open(&file(dir.path())).unwrap();
    for after in [0, 1, 2] {
        let error = log.read_all(after, 100).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { position: 3, .. }), "after {after}: {error}");
    }
    assert_eq!(log.read_all(0, 2).await.unwrap().len(), 2, "what is before the hole can be read");
    assert_eq!(log.read_all(3, 100).await.unwrap().len(), 2, "what is behind it too");
}

#[tokio::test]
async fn events_cut_off_the_end_behind_the_logs_back_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    log_of_five(dir.path()).await;
    let log = Embedded::open(&file(dir.path())).unwrap();
    let raw = Connection::open(file(dir.path())).unwrap();
    raw.execute_batch("drop trigger event_is_never_deleted; delete from event where position = 5").unwrap();
    assert!(matches!(log.read_all(4, 100).await, Err(Error::Corrupt { position: 5, .. })));
}

#[tokio::test]
async fn nobody_with_the_file_open_can_change_a_core_or_delete_an_event() {
    let dir = tempfile::tempdir().unwrap();
    log_of_five(dir.path()).await;
    let raw = Connection::open(file(dir.path())).unwrap();
    for column in ["position", "stream", "revision", "id", "name", "version", "recorded_at", "core"] {
        let error = raw.execute(&format!("update event set {column} = 77 where position = 2"), []).unwrap_err();
        assert!(error.to_string().contains("an event is immutable"), "{column}: {error}");
    }
    let error = raw.execute("delete from event where position = 5", []).unwrap_err();
    assert!(error.to_string().contains("an event is never deleted"), "{error}");
    assert_eq!(raw.execute("update event set blobs = null where position = 2", []).unwrap(), 1);
    drop(raw);
    let events = Embedded::open(&file(dir.path())).unwrap().read_all(0, 100).await.unwrap();
    let cores: Vec<_> = events.iter().map(|event| event.core.len()).collect();
    assert_eq!(cores, [10; 5]);
}

#[tokio::test]
async fn a_full_disk_refuses_whole_batches_and_the_log_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    log_of_five(dir.path()).await;
    let full = Embedded::open_with(&file(dir.path()), |connection| {
        let pages: u32 = connection.query_row("pragma page_count", [], |row| row.get(0))?;
        connection.query_row(&format!("pragma max_page_count = {}", pages + 4), [], |_| Ok(()))
    })
    .unwrap();
    let before = full.read_all(0, 100).await.unwrap();
    let mut small = append("small", 0, vec![event(6, 10)]);
    small.idempotency = Some(Idempotency {
        key: [1; 32],
        fingerprint: [2; 32],
        outcome: vec![3],
        recorded_at: DateTime::from_timestamp_millis(1_700_000_000_000).unwrap(),
    });
    let batch = vec![small.clone(), append("large", 0, vec![event(7, 100_000)])];
    for _ in 0..3 {
        let error = full.append(batch.clone()).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable(why) if why == "the disk is full"), "{error}");
        assert_eq!((full.head(), *full.watch().borrow()), (5, 5));
        assert_eq!(full.read_all(0, 100).await.unwrap(), before);
        assert!(full.read_stream("small", 0, 10).await.unwrap().is_empty(), "half a batch was kept");
        assert_eq!(full.stored_outcome([1; 32]).await.unwrap(), None, "the key of a batch that failed was kept");
    }
    // What still fits is taken, with revisions and names as if the failure had not been.
    let outcomes = full.append(vec![small.clone()]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Appended { first: 6, last: 6 }]);
    drop(full);

    let log = Embedded::open(&file(dir.path())).unwrap();
    assert_eq!(log.head(), 6);
    let outcomes = log.append(batch).await.unwrap();
    let replayed = Outcome::Replayed { fingerprint: [2; 32], outcome: vec![3] };
    assert_eq!(outcomes, [replayed, Outcome::Appended { first: 7, last: 7 }]);
    assert_eq!(log.read_all(0, 100).await.unwrap().len(), 7);
}

#[tokio::test]
async fn batches_committed_together_with_one_that_does_not_fit_all_fail_or_all_stand() {
    let dir = tempfile::tempdir().unwrap();
    log_of_five(dir.path()).await;
    let full = Embedded::open_with(&file(dir.path()), |connection| {
        let pages: u32 = connection.query_row("pragma page_count", [], |row| row.get(0))?;
        connection.query_row(&format!("pragma max_page_count = {}", pages + 6), [], |_| Ok(()))
    })
    .unwrap();
    let full = std::sync::Arc::new(full);
    let tasks: Vec<_> = (0..40_u64)
        .map(|n| {
            let log = full.clone();
            let size = if n % 8 == 3 { 100_000 } else { 10 };
            tokio::spawn(async move {
                log.append(vec![append(&format!("s{n}"), 0, vec![event(100 + n, size)])]).await.map(|mut o| o.remove(0))
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(Outcome::Appended { first, .. }) => acknowledged.push((first, format!("s{n}"))),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
        }
    }
    acknowledged.sort();
    let held = |events: Vec<rollcall::eventlog::RawEvent>| {
        events.into_iter().map(|event| (event.position, event.stream.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(held(full.read_all(5, 100).await.unwrap()), acknowledged);
    drop(full);
    let log = Embedded::open(&file(dir.path())).unwrap();
    assert_eq!(held(log.read_all(5, 100).await.unwrap()), acknowledged);
}

#[test]
fn the_file_of_another_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let raw = Connection::open(file(dir.path())).unwrap();
    raw.execute_batch("create table theirs (n integer); insert into theirs values (7)").unwrap();
    drop(raw);
    let error = Embedded::open(&file(dir.path())).err().unwrap();
    assert!(error.to_string().contains("is not an event log"), "{error}");
    let raw = Connection::open(file(dir.path())).unwrap();
    let tables: u32 = raw.query_row("select count(*) from sqlite_master", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);

    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "no database at all, but long enough to be looked at as one".repeat(100)).unwrap();
    assert!(Embedded::open(&text).is_err());
}

#[tokio::test]
async fn a_log_of_a_newer_format_is_refused_with_both_formats_named() {
    let dir = tempfile::tempdir().unwrap();
    log_of_five(dir.path()).await;
    Connection::open(file(dir.path())).unwrap().execute_batch("pragma user_version = 3").unwrap();
    let error = Embedded::open(&file(dir.path())).err().unwrap().to_string();
    assert!(error.contains("format 3") && error.contains("format 2"), "{error}");
}

/// What the first format was.
const FORMAT_1: &str = "
    create table event_name (number integer primary key, name text not null unique);
    create table event (
        position integer primary key, stream text not null, revision integer not null, id blob not null,
        name integer not null, version integer not null, recorded_at integer not null, core blob not null, blobs blob
    );
    create unique index event_of_stream on event (stream, revision);
    create table outcome (
        key blob not null primary key, fingerprint blob not null, outcome blob not null, recorded_at integer not null
    ) without rowid;
    create trigger event_core_is_immutable
    before update of position, stream, revision, id, name, version, recorded_at, core on event
    begin select raise(abort, 'an event is immutable'); end;
    create trigger event_is_never_deleted
    before delete on event begin select raise(abort, 'an event is never deleted'); end;
    pragma application_id = 0x524c4c43; pragma user_version = 1;
    insert into outcome values (x'0101010101010101010101010101010101010101010101010101010101010101',
        x'0202020202020202020202020202020202020202020202020202020202020202', x'03', 1700000000000);";

/// Writes a log as the first format holds it.
pub fn write_format_1(path: &Path, events: &[RawEvent]) {
    let mut raw = Connection::open(path).unwrap();
    raw.execute_batch(FORMAT_1).unwrap();
    let transaction = raw.transaction().unwrap();
    for event in events {
        let name = "insert into event_name (name) values (?1) on conflict do nothing";
        transaction.execute(name, [&event.name]).unwrap();
        let insert = "insert into event values (?1, ?2, ?3, ?4,
            (select number from event_name where event_name.name = ?5), ?6, ?7, ?8, ?9)";
        let id = event.id.as_bytes();
        let (at, blobs) = (event.recorded_at.timestamp_millis(), event.blobs.as_deref());
        let row =
            (event.position, &event.stream, event.revision, id, &event.name, event.version, at, &event.core[..], blobs);
        transaction.execute(insert, row).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_log_of_the_first_format_is_refused_until_it_is_rewritten_and_is_then_the_same_events() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = Embedded::open(&file(other.path())).unwrap();
    let items = (0..5_000_u64).map(|number| {
        let stream = format!("user-{}", Uuid::from_u128(u128::from(number % 900)));
        let mut event = event(number + 1, 0);
        let core = format!(r#"{{"meta":{{"correlation":"{}"}},"data":{{"n":{number}}}}}"#, Uuid::new_v4());
        event.core = if number % 7 == 0 { Bytes::from(vec![7; 9]) } else { core.into() };
        event.blobs = (number % 3 == 0).then(|| Bytes::from_static(b"\0\x04name\0\0\0\x03abc"));
        append(&stream, number / 900, vec![event])
    });
    let outcomes = log.append(items.collect()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Appended { .. })));
    let events = log.read_all(0, 10_000).await.unwrap();
    write_format_1(&file(dir.path()), &events);

    let refused = Embedded::open(&file(dir.path())).err().unwrap().to_string();
    assert!(refused.contains("format 1") && refused.contains("rollcall copy --to embedded"), "{refused}");
    assert_eq!(Embedded::convert(&file(dir.path()), &|_, _| {}).unwrap(), Some(5_000));
    assert_eq!(Embedded::convert(&file(dir.path()), &|_, _| {}).unwrap(), None, "once is enough");
    let rewritten = Embedded::open(&file(dir.path())).unwrap();
    assert_eq!(rewritten.read_all(0, 10_000).await.unwrap(), events);
    assert_eq!(rewritten.stored_outcome([1; 32]).await.unwrap(), Some(([2; 32], vec![3])));
    let stream = &events[4].stream;
    assert_eq!(rewritten.read_stream(stream, 0, 99).await.unwrap(), log.read_stream(stream, 0, 99).await.unwrap());
    assert_eq!(
        rewritten.expire_outcomes(DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()).await.unwrap(),
        1
    );
    drop(rewritten);
    log_is_whole(&file(dir.path()));
}

/// Fails unless the file holds nothing but the tables of this format.
fn log_is_whole(path: &Path) {
    let raw = Connection::open(path).unwrap();
    let tables = "select count(*) from sqlite_master where name like '%\\_1' escape '\\'";
    assert_eq!(raw.query_row(tables, [], |row| row.get::<_, u32>(0)).unwrap(), 0);
    assert_eq!(raw.query_row("pragma integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    assert_eq!(
        raw.query_row("pragma freelist_count", [], |row| row.get::<_, u32>(0)).unwrap(),
        0,
        "it keeps no old copy"
    );
}

#[tokio::test]
async fn a_log_of_the_first_format_with_a_hole_is_not_rewritten_and_stays_as_it_is() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    log_of_five(other.path()).await;
    let mut events = Embedded::open(&file(other.path())).unwrap().read_all(0, 9).await.unwrap();
    events.remove(2);
    write_format_1(&file(dir.path()), &events);
    for _ in 0..2 {
        let error = Embedded::convert(&file(dir.path()), &|_, _| {}).unwrap_err();
        assert!(matches!(error, Error::Corrupt { position: 3, .. }), "{error}");
    }
    let raw = Connection::open(file(dir.path())).unwrap();
    assert_eq!(raw.query_row("select count(*) from event", [], |row| row.get::<_, u32>(0)).unwrap(), 4);
}

#[tokio::test]
async fn a_row_that_cannot_be_unpacked_is_corruption_at_its_position() {
    for (sql, position) in [
        ("update event set core = x'' where position = 3", 3),
        ("update event set core = x'01ffff' where position = 2", 2),
        ("update event set blobs = x'0105' where position = 4", 4),
        ("update event set stream = x'09' where position = 5", 5),
        ("update event set name = 77 where position = 1", 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        log_of_five(dir.path()).await;
        let raw = Connection::open(file(dir.path())).unwrap();
        raw.execute_batch("drop trigger event_core_is_immutable").unwrap();
        assert_eq!(raw.execute(sql, []).unwrap(), 1);
        drop(raw);
        let log = Embedded::open(&file(dir.path())).unwrap();
        let error = log.read_all(0, 100).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { position: at, .. } if at == position), "{sql}: {error}");
        assert_eq!(log.read_all(0, position as usize - 1).await.unwrap().len(), position as usize - 1);
    }
}

#[tokio::test]
async fn a_stream_that_is_there_is_not_begun_again_whatever_else_is_appended_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let stream = |number: u128| format!("user-{}", Uuid::from_u128(number));
    let log = Embedded::open(&file(dir.path())).unwrap();
    log.append(vec![append(&stream(1), 0, vec![event(1, 10)])]).await.unwrap();
    drop(log);
    // Opened anew, it has no revision in memory: only the index tells that the stream is there.
    let log = Embedded::open(&file(dir.path())).unwrap();
    let begin = |number: u64| append(&stream(u128::from(number)), 0, vec![event(10 + number, 10)]);
    let outcomes = log.append(vec![begin(2), begin(1), begin(3)]).await.unwrap();
    let conflict = Outcome::Conflict { stream: stream(1), current: 1 };
    let [second, third] = [2, 3].map(|at| Outcome::Appended { first: at, last: at });
    assert_eq!(outcomes, [second, conflict, third]);
    assert_eq!(log.read_all(0, 9).await.unwrap().len(), 3);
    let outcomes = log.append(vec![append(&stream(1), 1, vec![event(20, 10)])]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Appended { first: 4, last: 4 }]);
}
