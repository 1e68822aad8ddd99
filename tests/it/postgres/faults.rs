//! What becomes of the log when something breaks: nothing that was acknowledged is lost, nothing is there twice, and a
//! log that lost its end is recognised.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Error, EventLog, Outcome};

use super::history::{append, event, item};
use super::writers::{Writers, whole};
use crate::support::Cluster;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

fn database(cluster: &Cluster, name: &str) -> Database {
    cluster.address(name).parse().unwrap()
}

async fn open(database: &Database) -> Result<Postgres, Error> {
    Postgres::open(database, Mode::Append).await
}

#[test]
fn what_was_acknowledged_survives_crashes_restarts_and_cut_connections_and_stands_there_once() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database = database(&cluster, &name);
    run(async {
        let writers = Writers::start(&database).await;
        for round in 0..9 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            match round % 3 {
                0 => cluster.stop("immediate"),
                1 => cluster.stop("fast"),
                _ => {
                    let others = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                        where pid <> pg_backend_pid() and backend_type = 'client backend'";
                    cluster.sql(&name, others);
                    continue;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            cluster.resume();
        }
        writers.go_on(100).await;
        writers.finish().await;
    });
}

/// What one caller was told of its events, each the first one of a stream.
#[derive(Default)]
struct Told {
    acknowledged: Vec<(String, u64)>,
    refused: Vec<String>,
}

async fn ask(log: Arc<Postgres>, caller: u32, until: Instant) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        if Instant::now() > until {
            break;
        }
        let stream = format!("{caller}-{number}");
        let mut item = item(&stream, 0, 1);
        item.appends[0].events[0].blobs = Some(Bytes::from(vec![7; 1_000]));
        match log.append(vec![item]).await {
            Ok(outcomes) => match outcomes[0] {
                Outcome::Appended { last, .. } => told.acknowledged.push((stream, last)),
                ref other => panic!("{other:?}"),
            },
            Err(Error::Unavailable(_)) => told.refused.push(stream),
            Err(Error::Ambiguous(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    told
}

/// Without keys, so that what is known is enough and batches are sent ahead of the answers to those before them.
#[test]
fn of_batches_that_are_sent_ahead_what_is_said_is_so_whatever_cuts_them_off() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database = database(&cluster, &name);
    run(async {
        let log = Arc::new(open(&database).await.unwrap());
        let until = Instant::now() + Duration::from_secs(8);
        let asking: Vec<_> = (0..16).map(|caller| tokio::spawn(ask(log.clone(), caller, until))).collect();
        let other = open(&database).await.unwrap();
        let mut round = 0_u64;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(37 + round * 53 % 211)).await;
            // Another node comes between, or the connections are cut.
            if round.is_multiple_of(3) {
                append(&other, "between", round / 3).await;
            } else {
                let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                    where query like 'select rollcall_log.append%' or query = 'commit'";
                cluster.sql(&name, cut);
            }
            round += 1;
        }
        let (mut acknowledged, mut refused) = (HashMap::new(), HashSet::new());
        for caller in asking {
            let told = caller.await.unwrap();
            acknowledged.extend(told.acknowledged);
            refused.extend(told.refused);
        }
        let there = whole(log.as_ref()).await;
        let positions: HashMap<_, _> = log
            .read_all(0, usize::MAX >> 1)
            .await
            .unwrap()
            .into_iter()
            .map(|event| (event.stream, event.position))
            .collect();
        assert!(acknowledged.len() > 100 && there.seen.len() >= acknowledged.len(), "{}", acknowledged.len());
        for (stream, position) in &acknowledged {
            assert_eq!(positions.get(stream.as_str()), Some(position), "{stream}");
        }
        assert_eq!(refused.iter().find(|stream| positions.contains_key(stream.as_str())), None);
    });
}

/// What one node sends ahead fails whenever the other one was faster, and nothing stands still or is refused for it.
#[test]
fn two_nodes_that_send_batches_ahead_do_not_stand_in_each_others_way() {
    let cluster = Cluster::start();
    let database = database(&cluster, &cluster.database());
    run(async {
        let (one, other) = (Arc::new(open(&database).await.unwrap()), open(&database).await.unwrap());
        let until = Instant::now() + Duration::from_secs(4);
        let asking: Vec<_> = (0..64).map(|caller| tokio::spawn(ask(one.clone(), caller, until))).collect();
        // Now and then, so that in between the first one knows enough to send ahead.
        let mut between = 0;
        while Instant::now() < until {
            append(&other, "between", between).await;
            between += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut acknowledged = usize::try_from(between).unwrap();
        for caller in asking {
            let told = caller.await.unwrap();
            assert_eq!(told.refused, Vec::<String>::new());
            acknowledged += told.acknowledged.len();
        }
        assert_eq!(whole(one.as_ref()).await.seen.len(), acknowledged);
    });
}

#[test]
fn a_standby_that_takes_over_without_the_last_events_is_recognised_by_a_node_that_saw_them() {
    let primary = Cluster::start();
    let standby = primary.standby();
    let name = primary.database();
    let both = format!(
        "host={},{} user=rollcall dbname={name} target_session_attrs=read-write",
        primary.path(""),
        standby.path("")
    );
    let both: Database = both.parse().unwrap();
    run(async {
        let log = open(&both).await.unwrap();
        for revision in 0..10 {
            append(&log, "s", revision).await;
        }
        let there = "select count(*) from rollcall_log.event";
        while standby.try_sql(&name, there).as_deref() != Ok("10") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        standby.stop("fast");
        for revision in 10..15 {
            append(&log, "s", revision).await;
        }
        assert_eq!(log.head(), 15);
        primary.stop("immediate");
        standby.resume();
        standby.promote();
        let told = loop {
            // Its stream has 10 events there: without the check this would be event 11 once more.
            match log.append(vec![item("s", 10, 1)]).await {
                Err(error @ Error::Corrupt { .. }) => break error,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Ok(outcomes) => panic!("{outcomes:?}"),
            }
        };
        assert!(told.to_string().contains("position 15") && told.to_string().contains("a standby took over"), "{told}");
        assert_eq!(log.broken().unwrap().to_string(), told.to_string());
        assert!(matches!(log.read_all(0, 5).await, Err(Error::Corrupt { .. })), "nothing is read from it any more");
        // Who opens it now knows only what it holds.
        let fresh = open(&both).await.unwrap();
        assert_eq!(fresh.head(), 10);
        assert_eq!(standby.sql(&name, "select epoch from rollcall_log.epoch"), "2");
    });
}

#[test]
fn a_dump_that_is_restored_holds_the_same_log_under_a_new_epoch_and_takes_more() {
    let cluster = Cluster::start();
    let (from, to) = (cluster.database(), cluster.database());
    run(async {
        let log = open(&database(&cluster, &from)).await.unwrap();
        for revision in 0..20 {
            append(&log, "s", revision).await;
        }
        let before = whole(&log).await;
        let (dump, socket) = (cluster.path("dump"), cluster.path(""));
        cluster.must("pg_dump", &["-h", &socket, "-U", "rollcall", "-Fc", "-f", &dump, &from]);
        cluster.must("pg_restore", &["-h", &socket, "-U", "rollcall", "-d", &to, &dump]);
        let restored = open(&database(&cluster, &to)).await.unwrap();
        assert_eq!(whole(&restored).await.seen, before.seen);
        assert_eq!(cluster.sql(&to, "select epoch from rollcall_log.epoch"), "2");
        assert_eq!(append(&restored, "s", 20).await, 21);
    });
}

#[test]
fn neither_a_clock_that_jumps_nor_a_transaction_number_far_ahead_changes_the_order() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database = database(&cluster, &name);
    run(async {
        let log = open(&database).await.unwrap();
        for (revision, recorded_at) in [1_000_000, -1_000_000, 0].into_iter().enumerate() {
            let mut late = item("s", revision as u64, 1);
            late.appends[0].events = vec![event(recorded_at)];
            log.append(vec![late]).await.unwrap();
        }
        drop(log);
        cluster.stop("fast");
        let far = 1_500_000_000_u32;
        let pages = vec![0_u8; 256 * 1024];
        let file = cluster.path(&format!("data/pg_xact/{:04X}", far / (8_192 * 4 * 32)));
        std::fs::write(&file, pages).unwrap();
        std::process::Command::new("chown").args(["postgres", &file]).status().unwrap();
        cluster.must("pg_resetwal", &["-f", "-x", &far.to_string(), "-D", &cluster.path("data")]);
        cluster.resume();
        let log = open(&database).await.unwrap();
        assert_eq!(append(&log, "s", 3).await, 4);
        assert_eq!(whole(&log).await.seen.len(), 4);
    });
}

#[test]
fn a_node_that_stands_still_with_the_lock_held_loses_it_and_others_go_on() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database = database(&cluster, &name);
    run(async {
        let log = Arc::new(open(&database).await.unwrap());
        append(log.as_ref(), "s", 0).await;
        // As a node does that is stopped in the middle of a batch.
        let stopped = database.connect(None).await.unwrap();
        let lock =
            "begin; set local idle_in_transaction_session_timeout = '1s'; select pg_advisory_xact_lock(1380731971)";
        stopped.batch_execute(lock).await.unwrap();
        assert_eq!(append(log.as_ref(), "s", 1).await, 2);
        assert!(stopped.batch_execute("commit").await.is_err());
    });
}

#[test]
fn history_cannot_be_rewritten_by_whoever_writes_it() {
    let cluster = Cluster::start();
    let name = cluster.database();
    run(async {
        let log = open(&database(&cluster, &name)).await.unwrap();
        append(&log, "s", 0).await;
        let client = database(&cluster, &name).connect(None).await.unwrap();
        for rewrite in [
            "update rollcall_log.event set core = 'x'",
            "update rollcall_log.event set position = 7",
            "delete from rollcall_log.event",
            "truncate rollcall_log.event",
        ] {
            let refused = client.batch_execute(rewrite).await.unwrap_err();
            assert!(refused.as_db_error().unwrap().message().contains("immutable"), "{rewrite}");
        }
    });
}
