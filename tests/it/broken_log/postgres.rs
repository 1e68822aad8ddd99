//! The log in PostgreSQL.

use std::time::{Duration, Instant};

use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Damage, Error, EventLog as _};

use super::{APP, is_refused, known, said, says_that_it_is_broken, walk};
use crate::cli::rollcall;
use crate::postgres::history::{append, item};
use crate::support::{Cluster, Service};

const HEAD: &str = "select max(position) from rollcall_log.event";

/// Takes the end of the log away, as an asynchronous standby does that never had it.
fn cut(cluster: &Cluster, database: &str, after: u64) {
    cluster.sql(
        database,
        &format!(
            "alter table rollcall_log.event disable trigger all;
             delete from rollcall_log.event where position > {after};
             alter table rollcall_log.event enable trigger all"
        ),
    );
}

#[test]
fn a_lost_end_is_said_refuses_every_start_and_is_accounted_for_by_the_documented_steps() {
    let cluster = Cluster::start_with("fsync=on");
    let name = cluster.database();
    let (server, dir) = (cluster.address(&name), tempfile::tempdir().unwrap());
    let (data, args) = (dir.path(), ["--database", server.as_str()]);
    let mut service = Service::try_start_with(data, &[APP], &args).unwrap();
    service.register(APP, &["ada", "bob"]);
    let kept: u64 = cluster.sql(&name, HEAD).parse().unwrap();
    service.register(APP, &["eve"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "bob")]).ok();
    service.eventually("bob is erased", |_| {
        cluster.sql(&name, "select count(*) from rollcall_log.event where name = 'erasure.finalised'") == "1"
    });
    let seen: u64 = cluster.sql(&name, HEAD).parse().unwrap();
    cut(&cluster, &name, kept);
    says_that_it_is_broken(&service, "rewound", seen);
    service.kill();
    // Not even without what was signed: what the node saw is enough.
    std::fs::remove_dir_all(data.join("tree")).unwrap();
    let rewound = format!("rewound at position {seen}");
    is_refused(data, &args, &[&rewound, "rollcall recover", "docs/broken-log.md"]);
    let doctor = rollcall(&["doctor", "--data-dir", data.to_str().unwrap()]).args(args).output().unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    assert!(said(&doctor).contains("BAD   incident: at ") && said(&doctor).contains(&rewound), "{}", said(&doctor));

    let recovered = walk("Go on without the lost end", data, &[("ROLLCALL_DATABASE", &server)]);
    assert!(recovered.status.success(), "{}", said(&recovered));
    let lost = format!("lost: the {} events at the positions {} to {seen}", seen - kept, kept + 1);
    assert!(said(&recovered).contains(&lost), "{lost:?} is not in {}", said(&recovered));
    assert!(data.join("incident-1.json").is_file() && !data.join("incident.json").exists());
    let service = Service::try_start_with(data, &[APP], &args).unwrap();
    assert_eq!(known(&service, &["ada", "bob", "eve"]), ["ada"], "what is lost is lost, and bob stays erased");
    service.register(APP, &["eve"]);
    let doctor = rollcall(&["doctor", "--data-dir", data.to_str().unwrap()]).args(args).output().unwrap();
    assert!(
        said(&doctor).contains("ok    length of the log") && !said(&doctor).contains("incident"),
        "{}",
        said(&doctor)
    );
}

#[test]
fn a_lost_end_that_is_brought_back_is_no_incident_any_more() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let (server, dir) = (cluster.address(&name), tempfile::tempdir().unwrap());
    let (data, args) = (dir.path(), ["--database", server.as_str()]);
    let mut service = Service::try_start_with(data, &[APP], &args).unwrap();
    service.register(APP, &["ada"]);
    cluster.sql(&name, "create table kept as select * from rollcall_log.event");
    let seen: u64 = cluster.sql(&name, HEAD).parse().unwrap();
    cut(&cluster, &name, seen - 3);
    says_that_it_is_broken(&service, "rewound", seen);
    service.kill();
    is_refused(data, &args, &["rewound at position"]);
    let back = format!("insert into rollcall_log.event select * from kept where position > {}", seen - 3);
    cluster.sql(&name, &back);
    let service = Service::try_start_with(data, &[APP], &args).unwrap();
    assert_eq!(known(&service, &["ada"]), ["ada"]);
    assert!(service.errors().contains("the incident is over"), "{}", service.errors());
}

#[test]
fn tables_that_are_gone_are_said_to_be_deleted() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let (server, dir) = (cluster.address(&name), tempfile::tempdir().unwrap());
    let service = Service::try_start_with(dir.path(), &[APP], &["--database", &server]).unwrap();
    service.register(APP, &["ada"]);
    let seen: u64 = cluster.sql(&name, HEAD).parse().unwrap();
    cluster.sql(&name, "drop schema rollcall_log cascade");
    says_that_it_is_broken(&service, "deleted", seen);
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

#[test]
fn a_standby_that_has_not_received_the_last_events_is_no_broken_log() {
    let primary = Cluster::start();
    let standby = primary.standby();
    let name = primary.database();
    let both = format!("host={},{} user=rollcall dbname={name}", primary.path(""), standby.path(""));
    let both: Database = both.parse().unwrap();
    run(async {
        let log = Postgres::open(&both, Mode::Append).await.unwrap();
        append(&log, "s", 0).await;
        while standby.try_sql(&name, "select count(*) from rollcall_log.event").as_deref() != Ok("1") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        standby.sql(&name, "select pg_wal_replay_pause()");
        append(&log, "s", 1).await;
        primary.stop("fast");
        // What follows the log looks for a server several times meanwhile, and finds the standby alone.
        for _ in 0..10 {
            assert!(log.broken().is_none());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let refused = log.append(vec![item("s", 2, 1)]).await;
        assert!(matches!(refused, Err(Error::Unavailable(_) | Error::Ambiguous(_))), "{refused:?}");
        assert!(log.broken().is_none());
        primary.resume();
        standby.stop("fast");
        let until = Instant::now() + Duration::from_secs(60);
        while let Err(error) = log.append(vec![item("s", 2, 1)]).await {
            assert!(!matches!(error, Error::Corrupt { .. }) && Instant::now() < until, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(log.read_all(0, 9).await.unwrap().len(), 3);
    });
}

#[test]
fn an_event_that_is_missing_before_the_last_one_is_a_hole_and_ends_the_use_of_the_log() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database: Database = cluster.address(&name).parse().unwrap();
    run(async {
        let log = Postgres::open(&database, Mode::Append).await.unwrap();
        for revision in 0..5 {
            append(&log, "s", revision).await;
        }
        drop(log);
        cluster.sql(
            &name,
            "alter table rollcall_log.event disable trigger all; delete from rollcall_log.event where position = 3",
        );
        let log = Postgres::open(&database, Mode::Append).await.unwrap();
        assert_eq!(log.read_all(0, 2).await.unwrap().len(), 2);
        let Err(Error::Corrupt { position: 3, reason }) = log.read_all(0, 5).await else { panic!("it must be told") };
        assert_eq!((reason.damage, reason.last_seen.unwrap().position), (Damage::Hole, 5));
        assert!(log.broken().is_some());
    });
}
