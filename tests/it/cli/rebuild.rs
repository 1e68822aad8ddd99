//! Read models on a server, built anew beside the live ones.

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
    cluster.sql(&name, "update rollcall_read.user_directory_count_v1 set registered = 77");
    let rebuilt =
        rollcall(&["rebuild", "all", "--data-dir", path(dir.path()), "--database", &address]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
    assert_eq!(cluster.sql(&name, "select registered from rollcall_read.user_directory_count_v1"), "2");
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
