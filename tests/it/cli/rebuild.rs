//! Read models on a server, built anew beside the live ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall::database::Database;
use rollcall_projections::ALL;
use rollcall_projections::store::{BuildLock, Shadow};

use super::{path, rollcall, text};
use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;

#[test]
fn a_read_model_is_rebuilt_beside_the_live_one_and_one_of_another_version_at_the_start() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let (dir, address) = (tempfile::tempdir().unwrap(), cluster.address(&name));
    let start = || Service::try_start_with(dir.path(), &[APP], &["--database", &address]).unwrap();
    let knows = |service: &Service| {
        for user in ["ada", "bob"] {
            let info = service.post(APP, "/user/info.json", &[("userId", user)]).ok();
            assert_eq!(info.json()["userName"], format!("Name of {user}"));
        }
    };
    let mut service = start();
    service.register(APP, &["ada", "bob"]);
    service.stop();
    // Rows that no event made: a rebuild does not have them.
    cluster.sql(&name, "update rollcall_read.user_directory_count_v2 set registered = 77");
    let rebuilt =
        rollcall(&["rebuild", "all", "--data-dir", path(dir.path()), "--database", &address]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
    assert_eq!(cluster.sql(&name, "select registered from rollcall_read.user_directory_count_v2"), "2");
    let verify = || {
        let verified = rollcall(&["verify", "--data-dir", path(dir.path()), "--database", &address]).output().unwrap();
        assert!(verified.status.success(), "{}", text(&verified.stdout));
    };
    verify();
    // As a version of before left it.
    cluster.sql(
        &name,
        "update rollcall_read.store_checkpoint set version = 0, position = 1 where model = 'user_directory'",
    );
    let mut service = start();
    knows(&service);
    service.stop();
    verify();
    assert_eq!(
        cluster.sql(&name, "select version from rollcall_read.store_checkpoint where model = 'user_directory'"),
        "1"
    );
    assert_ne!(cluster.sql(&name, "select count(*) from pg_tables where schemaname = 'rollcall_read_before'"), "0");
}

/// A service on a server that was stopped, with so many users.
fn stopped(cluster: &Cluster, users: usize) -> (tempfile::TempDir, String) {
    let name = cluster.database();
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::try_start_with(dir.path(), &[APP], &["--database", &cluster.address(&name)]).unwrap();
    let users: Vec<_> = (0..users).map(|number| format!("u{number}")).collect();
    service.register(APP, &users.iter().map(String::as_str).collect::<Vec<_>>());
    service.post(APP, "/user/deactivate.json", &[("userId", "u0")]).ok();
    service.stop();
    (dir, name)
}

/// Kills a rebuild where everything but one read model has been taken over from its scratch file; answers that file.
fn killed_in_the_middle(cluster: &Cluster, name: &str, dir: &Path) -> PathBuf {
    let address = cluster.address(name);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let pool = address.parse::<Database>().unwrap().pool(1).unwrap();
        drop(Shadow::open(BuildLock::wait(pool).await.unwrap(), ALL).await.unwrap());
    });
    let count = |what: &str| cluster.sql(name, &format!("select count(*) from pg_stat_activity where {what}"));
    let until = |what: &str| {
        while count(what) == "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hold = "begin; lock table rollcall_read_next.audit_trail_v2 in access share mode; select pg_sleep(600)";
            assert!(cluster.try_sql(name, hold).is_err(), "it is ended");
        });
        until("wait_event = 'PgSleep'");
        let mut rebuild =
            rollcall(&["rebuild", "all", "--data-dir", path(dir), "--database", &address]).spawn().unwrap();
        until("wait_event_type = 'Lock' and query like '%audit_trail_v2%'");
        while cluster.sql(name, "select count(*) from rollcall_read_next.store_checkpoint where position = 0") != "1" {
            std::thread::sleep(Duration::from_millis(20));
        }
        rebuild.kill().unwrap();
        rebuild.wait().unwrap();
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'";
        cluster.sql(name, end);
    });
    let mut files = std::fs::read_dir(dir.join("rebuild")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|file| file.extension().is_some_and(|extension| extension == "db")).unwrap()
}

#[test]
fn a_rebuild_that_was_killed_goes_on_where_it_stopped_unless_the_file_is_of_another_log() {
    let cluster = Cluster::start();
    let (dir, name) = stopped(&cluster, 20);
    let address = cluster.address(&name);
    let marked = "select count(*) > 0 from rollcall_read.audit_trail_v2
        where subject = '\\x00000000000000000000000000000000'";
    let rebuild = || {
        let rebuilt =
            rollcall(&["rebuild", "all", "--data-dir", path(dir.path()), "--database", &address]).output().unwrap();
        assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
        assert!(!dir.path().join("rebuild").exists(), "nothing is left behind");
        cluster.sql(&name, marked)
    };
    for (change, goes_on) in [("", "t"), ("; update store_checkpoint set event = zeroblob(16)", "f")] {
        let file = killed_in_the_middle(&cluster, &name, dir.path());
        let scratch = rusqlite::Connection::open(&file).unwrap();
        scratch.execute_batch(&format!("insert into audit_trail_v2 values (zeroblob(16), 1) {change}")).unwrap();
        drop(scratch);
        assert_eq!(rebuild(), goes_on);
    }
    assert_eq!(rebuild(), "f");
    let verified = rollcall(&["verify", "--data-dir", path(dir.path()), "--database", &address]).output().unwrap();
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    // Whoever starts the service instead does not need it.
    killed_in_the_middle(&cluster, &name, dir.path());
    let mut service = Service::try_start_with(dir.path(), &[APP], &["--database", &address]).unwrap();
    assert!(!dir.path().join("rebuild").exists());
    service.stop();
}

#[test]
fn what_was_live_before_a_rebuild_is_kept_until_it_is_dropped_by_command() {
    let cluster = Cluster::start();
    let (dir, name) = stopped(&cluster, 2);
    let address = cluster.address(&name);
    let run = |args: &[&str]| {
        let output = rollcall(&[args, &["--database", &address]].concat()).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let registered = || cluster.sql(&name, "select registered from rollcall_read.user_directory_count_v2");
    cluster.sql(&name, "update rollcall_read.user_directory_count_v2 set registered = 77");
    let (done, said) = run(&["rebuild", "user_directory", "--data-dir", path(dir.path())]);
    assert!(done, "{said}");
    assert_eq!(registered(), "1");
    let (done, said) = run(&["database", "back", "user_directory"]);
    assert!(done && said.contains("version 2 of user_directory is live again"), "{said}");
    assert_eq!(registered(), "77");
    assert!(run(&["database", "back", "user_directory"]).0);
    assert_eq!(registered(), "1");
    let (done, said) = run(&["database", "drop-before"]);
    assert!(done && said.contains("dropped 2 tables: user_directory_count_v2, user_directory_v2"), "{said}");
    let (done, said) = run(&["database", "back", "user_directory"]);
    assert!(!done && said.contains("no read model user_directory"), "{said}");
    let (done, said) = run(&["verify", "--data-dir", path(dir.path())]);
    assert!(done, "{said}");
}
