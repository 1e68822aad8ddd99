//! Many writers on several nodes stall before they commit while foreign transactions stay open; readers on the primary
//! and on a hot standby must see a complete prefix at every read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rollcall::database::Database;
use rollcall::eventlog::postgres::{Faults, Mode, Postgres};
use rollcall::eventlog::{self, EventLog, Outcome};

use super::history::{Reader, item};
use crate::support::Cluster;

const EVENTS: u64 = 1_000_000;
const NODES: usize = 3;
const WRITERS: usize = 8;
/// Events of one command, so that a million of them take a minute and not an hour.
const TOGETHER: usize = 25;
/// Commands of one batch.
const COMMANDS: usize = 8;

const WITHOUT_LOCK: &str = "do $$ declare
    as_it_is text := pg_get_functiondef('rollcall_log.append'::regproc);
    mutated text := replace(as_it_is, 'perform pg_advisory_xact_lock', '-- perform');
begin
    if mutated = as_it_is then raise 'it takes no lock'; end if;
    execute mutated;
end $$";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What a writer was told: the first and the last position of each command.
type Told = Vec<(u64, u64)>;

/// Appends to its own streams, and to one that all of them fight for.
async fn write(log: Arc<Postgres>, writer: usize, enough: u64) -> Result<Told, String> {
    let (mut told, mut own, mut shared) = (vec![], vec![0_u64; COMMANDS], 0_u64);
    while log.head() < enough {
        let mut batch: Vec<_> =
            (0..COMMANDS).map(|command| item(&format!("own-{writer}-{command}"), own[command], TOGETHER)).collect();
        batch.push(item("shared", shared, 1));
        let outcomes = log.append(batch).await.map_err(|error| error.to_string())?;
        for (command, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Outcome::Appended { first, last } => {
                    told.push((first, last));
                    if command < COMMANDS {
                        own[command] += TOGETHER as u64;
                    } else {
                        shared += 1;
                    }
                }
                Outcome::Conflict { stream, current } if stream == "shared" => shared = current,
                other => return Err(format!("writer {writer}: {other:?}")),
            }
        }
    }
    Ok(told)
}

/// Reads from the beginning to the end, while it grows.
async fn read(log: Arc<Postgres>, done: Arc<AtomicBool>, enough: Arc<AtomicU64>) -> Result<Reader, String> {
    let mut reader = Reader::default();
    loop {
        let last_round = done.load(Ordering::SeqCst);
        let events = log.read_all(reader.position(), 5_000).await.map_err(|error| error.to_string())?;
        reader.take(&events)?;
        if events.is_empty() {
            if last_round && reader.position() >= enough.load(Ordering::SeqCst) {
                return Ok(reader);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Opens transactions that have written something and do not end, one after the other.
async fn hold_open(database: Database, done: Arc<AtomicBool>, open_for: Duration) {
    let client = database.connect(None).await.unwrap();
    client.batch_execute("create table if not exists foreign_work (n bigint)").await.unwrap();
    while !done.load(Ordering::SeqCst) {
        client
            .batch_execute("begin isolation level repeatable read; insert into foreign_work values (1)")
            .await
            .unwrap();
        tokio::time::sleep(open_for).await;
        client.batch_execute("commit").await.unwrap();
    }
}

/// Runs the whole thing; answers what went wrong first, or what the log held in the end.
fn torture(cluster: &Cluster, standby: Option<&Cluster>, events: u64, without_lock: bool) -> Result<u64, String> {
    let name = cluster.database();
    let database: Database = cluster.address(&name).parse().unwrap();
    runtime().block_on(async {
        let stall_max = Duration::from_millis(if without_lock { 20 } else { 3 });
        let faults = Faults { stall_max, without_lock };
        if without_lock {
            // The mutation of what the server does; that of what a node sends is among its faults.
            drop(Postgres::open(&database, Mode::Append).await.unwrap());
            cluster.sql(&name, WITHOUT_LOCK);
        }
        let mut nodes = vec![];
        for _ in 0..NODES {
            nodes.push(Arc::new(Postgres::open_with(&database, Mode::Append, faults).await.unwrap()));
        }
        let (done, enough) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(u64::MAX)));
        let mut readers = vec![tokio::spawn(read(nodes[0].clone(), done.clone(), enough.clone()))];
        // A reader of its own, without the appender's memory of what it appended itself.
        let other = Arc::new(Postgres::open(&database, Mode::Read).await.unwrap());
        readers.push(tokio::spawn(read(other, done.clone(), enough.clone())));
        if let Some(standby) = standby {
            let there: Database = standby.address(&name).parse().unwrap();
            let replica = loop {
                match Postgres::open(&there, Mode::Read).await {
                    Ok(log) => break Arc::new(log),
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            };
            readers.push(tokio::spawn(read(replica, done.clone(), enough.clone())));
        }
        let foreign = tokio::spawn(hold_open(database.clone(), done.clone(), Duration::from_secs(10)));
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write(nodes[writer % NODES].clone(), writer, events))).collect();
        let mut told = vec![];
        let mut wrong = None;
        for writer in writers {
            match writer.await.unwrap() {
                Ok(some) => told.extend(some),
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        let head = told.iter().map(|(_, last)| *last).max().unwrap_or(0);
        enough.store(head, Ordering::SeqCst);
        done.store(true, Ordering::SeqCst);
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let mut histories = vec![];
        for reader in readers {
            histories.push(reader.await.unwrap()?);
        }
        foreign.abort();
        told.sort_unstable();
        let mut next = 1;
        for (first, last) in &told {
            if *first != next {
                return Err(format!("position {next} was given to nobody, or {first} twice"));
            }
            next = last + 1;
        }
        let whole = histories.iter().max_by_key(|reader| reader.position()).unwrap();
        if !histories.iter().all(|reader| reader.is_prefix_of(whole)) {
            return Err("two readers saw different histories".into());
        }
        Ok(head)
    })
}

#[test]
fn a_million_events_of_writers_that_stall_are_seen_without_skip_hole_duplicate_or_reorder() {
    let cluster = Cluster::start();
    let standby = cluster.standby();
    let head = torture(&cluster, Some(&standby), EVENTS, false).unwrap();
    assert!(head >= EVENTS, "{head}");
}

#[test]
fn without_the_lock_of_the_log_the_same_torture_fails() {
    let cluster = Cluster::start();
    let wrong = torture(&cluster, None, 50_000, true).unwrap_err();
    assert!(wrong.contains("23505") || wrong.contains("after") || wrong.contains("came where"), "{wrong}");
}

/// What many event stores do: the position comes from a sequence, at the insert.
#[test]
fn the_checker_sees_the_skip_of_a_log_that_numbers_events_by_a_sequence() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    runtime().block_on(async {
        let log = Postgres::open(&database, Mode::Append).await.unwrap();
        super::history::append(&log, "first", 0).await;
        let (slow, fast) = (database.connect(None).await.unwrap(), database.connect(None).await.unwrap());
        let insert = |stream: &str| {
            format!(
                "insert into rollcall_log.event select nextval('numbers'), '{stream}', 1, gen_random_uuid(),
                 'user.registered', 1, 0, '{{}}', null"
            )
        };
        slow.batch_execute("create sequence numbers start 2").await.unwrap();
        slow.batch_execute(&format!("begin; {}", insert("slow"))).await.unwrap();
        fast.batch_execute(&insert("fast")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let read = log.read_all(1, 10).await;
        let Err(eventlog::Error::Corrupt { position: 2, reason }) = read else { panic!("{read:?}") };
        assert_eq!(reason.damage, eventlog::Damage::Hole, "{reason}");
    });
}
