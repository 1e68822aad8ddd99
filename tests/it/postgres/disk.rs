//! The server's disk is full, or slow: what was acknowledged is kept, once; who is told that nothing was kept is told the
//! truth; and the node goes on by itself.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Error, EventLog, Outcome};

use super::history::{append, item};
use super::writers::{Writers, whole};
use crate::disk_full::{APP, done_or_busy, fill, name as user_name, register};
use crate::support::small_disk::SmallDisk;
use crate::support::{Cluster, Service, rollcall};

/// So many refusals, with nothing acknowledged in between or not, mean that it is full.
const REFUSALS: u64 = 100;
/// Longer than a batch and the search for what became of it may take together.
const HANGS_MAX: Duration = Duration::from_secs(45);

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// Opens a log whose server recovers from a crash.
async fn open_again(database: &Database) -> Postgres {
    loop {
        match Postgres::open(database, Mode::Append).await {
            Ok(log) => return log,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Appends until the server has said this and turned many away, then makes room, and checks what is there.
fn lives_through_a_full_disk(cluster: &Cluster, full: &str, make_room: impl Fn()) {
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    run(async {
        let writers = Writers::start(&database).await;
        while !cluster.said().contains(full) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        writers.until(|told| &told.refused, REFUSALS).await;
        make_room();
        // It may take the server more than one try to come back, and it gives up after one of them.
        let supervise = async {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                cluster.supervise();
            }
        };
        tokio::select! {
            () = writers.go_on(200) => {}
            () = supervise => {}
        }
        writers.finish().await;
    });
}

#[test]
fn a_server_without_room_for_its_tables_turns_appends_away_until_there_is() {
    let Some(disk) = SmallDisk::mount(72) else { return };
    let cluster = Cluster::start_with_on("data", disk.path());
    lives_through_a_full_disk(&cluster, "No space left on device", || disk.enlarge());
}

#[test]
fn a_server_that_panics_for_want_of_room_for_its_wal_loses_nothing_and_is_used_again() {
    let Some(disk) = SmallDisk::mount(40) else { return };
    let cluster = Cluster::start_with_on("data/pg_wal", disk.path());
    lives_through_a_full_disk(&cluster, "PANIC:  could not write to file \"pg_wal/xlogtemp", || disk.enlarge());
}

#[test]
fn a_server_whose_files_may_not_grow_loses_nothing_and_is_used_again() {
    let cluster = Cluster::start_with("fsync=on");
    let (first, _) = cluster.processes();
    // What it starts from here on, which is who writes; a segment of the WAL has 16 MB.
    cluster.limit_files(first, "12000000");
    // Whoever starts it again does so without the limit; it may have given up by then by itself.
    lives_through_a_full_disk(&cluster, "File too large", || cluster.crash());
}

#[test]
fn a_service_whose_server_panics_for_want_of_room_turns_commands_away_until_it_is_back() {
    let Some(disk) = SmallDisk::mount(40) else { return };
    let cluster = Cluster::start_with_on("data/pg_wal", disk.path());
    let (name, data) = (cluster.database(), tempfile::tempdir().unwrap());
    let (address, data) = (cluster.address(&name), data.path().join("data"));
    let mut service = Service::try_start_with(&data, &[APP], &["--database", &address]).unwrap();
    // Two segments of 16 MB fit on the disk; this fills one of them.
    cluster.sql(&name, "select pg_logical_emit_message(true, '', repeat('x', 16000000))");
    let (registered, _, refused) = fill(&service);
    assert!(registered.len() > 10 && cluster.said().contains("PANIC"), "{}", registered.len());
    disk.enlarge();
    service.eventually("a command is taken again", |service| {
        cluster.supervise();
        done_or_busy(&register(service, "after"))
    });
    refused.iter().for_each(|user_id| drop(register(&service, user_id).ok()));
    for user_id in registered.iter().chain(&refused) {
        assert_eq!(user_name(&service, user_id), Some(format!("Name of {user_id}")));
    }
    service.stop();
    let verified = rollcall(&["verify", "--database", &address], &data);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_commit_that_is_on_the_disk_when_the_server_panics_is_not_said_to_be_lost() {
    let cluster = Cluster::start_with("fsync=on");
    let name = cluster.database();
    // A flush waits for others to come along, and takes them with it.
    cluster.configure("commit_delay=100000\ncommit_siblings=0\nwal_writer_delay=10s\n");
    cluster.stop("fast");
    cluster.resume();
    let database: Database = cluster.address(&name).parse().unwrap();
    run(async {
        let log = Postgres::open(&database, Mode::Append).await.unwrap();
        append(&log, "s", 0).await;
        // The place where the node may write no further is behind its commit, and before what comes along.
        cluster.sql(&name, "select pg_logical_emit_message(true, '', repeat('x', 6000000))");
        let place = cluster.sql(&name, "select (pg_current_wal_insert_lsn() - '0/0') % 16777216");
        let limit = (place.parse::<f64>().unwrap() + 30_000.0).to_string();
        let nodes =
            "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
        for node in cluster.sql(&name, nodes).lines() {
            cluster.limit_files(node.parse().unwrap(), &limit);
        }
        let noise = database.connect(None).await.unwrap();
        let come_along = async {
            let flushes = "select 1 / count(*) from pg_stat_activity where query like 'select rollcall_log.append%'
                and state = 'active' and backend_xid is not null";
            while noise.batch_execute(flushes).await.is_err() {}
            // The server goes down while it answers this, or before.
            let _ = noise.batch_execute("select pg_logical_emit_message(false, '', repeat('x', 100000))").await;
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = log.append(vec![item("s", 1, 1)]) => answer,
            () = come_along => unreachable!(),
        };
        assert!(cluster.said().contains("PANIC"), "{}", cluster.said());
        let kept = whole(&open_again(&database).await).await.seen.len();
        match answer {
            Ok(outcomes) => assert_eq!((outcomes, kept), (vec![Outcome::Appended { first: 2, last: 2 }], 2)),
            Err(Error::Unavailable(told)) => assert_eq!(kept, 1, "{told}"),
            Err(error) => panic!("{error}"),
        }
    });
}

/// Stops or continues processes: to whoever waits for them, that looks as a disk does that does not answer.
fn signal(which: &str, processes: &BTreeSet<u32>) {
    let processes: Vec<_> = processes.iter().map(ToString::to_string).collect();
    // One that has ended meanwhile is none of ours any more.
    Command::new("kill").arg(which).args(processes).output().unwrap();
}

/// The disk is slow: each flush takes 20 ms more (`commit_delay`, which the server sleeps while it holds the lock of the
/// WAL). And it hangs: some or all of the processes that use it stand still, as in an I/O that does not return.
#[test]
fn a_disk_that_is_slow_and_hangs_costs_time_and_nothing_else() {
    let cluster = Cluster::start_with("fsync=on");
    let name = cluster.database();
    let database: Database = cluster.address(&name).parse().unwrap();
    run(async {
        cluster.sql(&name, "alter system set commit_delay = 20000");
        cluster.sql(&name, "alter system set commit_siblings = 0");
        cluster.sql(&name, "select pg_reload_conf()");
        let writers = Writers::start(&database).await;
        for round in 0..12_u64 {
            writers.go_on(5).await;
            let (_, some) = cluster.processes();
            // All of them, every other one, or one of three.
            let hanging: BTreeSet<_> =
                some.into_iter().skip(1).step_by(usize::try_from(round % 3 + 1).unwrap()).collect();
            signal("-STOP", &hanging);
            tokio::time::sleep(Duration::from_millis(100 + round * 617 % 1_900)).await;
            signal("-CONT", &hanging);
        }
        // For so long that somebody must be told that nothing can be told. Whether somebody is depends on where it stands
        // still: who has only asked is told that nothing was kept, and then it hangs once more.
        while writers.told.unknown.load(Ordering::SeqCst) == 0 {
            writers.go_on(5).await;
            let mut hanging = BTreeSet::new();
            let since = Instant::now();
            while since.elapsed() < HANGS_MAX && writers.told.unknown.load(Ordering::SeqCst) == 0 {
                // Those as well that are started for connections made meanwhile.
                hanging.extend(cluster.processes().1);
                signal("-STOP", &hanging);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            signal("-CONT", &hanging);
        }
        cluster.sql(&name, "alter system reset all");
        cluster.sql(&name, "select pg_reload_conf()");
        writers.go_on(500).await;
        writers.finish().await;
    });
}

/// A batch of which the server was asked what is there, and told nothing yet, when it stood still.
#[test]
fn a_server_that_hangs_before_it_was_told_anything_has_kept_nothing() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database: Database = cluster.address(&name).parse().unwrap();
    run(async {
        let log = Postgres::open(&database, Mode::Append).await.unwrap();
        // One of the two is refused, whatever is there: which one, is asked.
        let batch = |stream| vec![item(stream, 0, 1), item(stream, 0, 1)];
        log.append(batch("s")).await.unwrap();
        let writes = "select pid from pg_stat_activity where query = 'commit'";
        let hanging = [cluster.sql(&name, writes).parse().unwrap()].into();
        signal("-STOP", &hanging);
        let answer = log.append(batch("t")).await;
        signal("-CONT", &hanging);
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        let outcomes = log.append(batch("t")).await.unwrap();
        let refused = Outcome::Conflict { stream: "t".into(), current: 1 };
        assert_eq!(outcomes, [Outcome::Appended { first: 2, last: 2 }, refused]);
        assert_eq!(whole(&log).await.seen.len(), 2);
    });
}

/// The same with a batch that was told whole, and that the server gets to when the node has given it up.
#[test]
fn what_was_said_not_to_be_kept_is_not_kept_by_a_server_that_gets_to_it_late() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database: Database = cluster.address(&name).parse().unwrap();
    run(async {
        let log = Postgres::open(&database, Mode::Append).await.unwrap();
        append(&log, "s", 0).await;
        append(&log, "s", 1).await;
        let writes = "select pid from pg_stat_activity where query like 'select rollcall_log.append%'";
        let pid = cluster.sql(&name, writes);
        let hanging = [pid.parse().unwrap()].into();
        signal("-STOP", &hanging);
        let (first, second) = tokio::join!(log.append(vec![item("s", 2, 1)]), log.append(vec![item("t", 0, 1)]));
        signal("-CONT", &hanging);
        for answer in [first, second] {
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        }
        let there = format!("select count(*) from pg_stat_activity where pid = {pid}");
        while cluster.sql(&name, &there) != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(whole(&log).await.seen.len(), 2);
        assert_eq!(append(&log, "s", 2).await, 3);
    });
}
