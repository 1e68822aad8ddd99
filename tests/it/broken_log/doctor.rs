//! What `rollcall doctor` says of a server that does not, and of a log that is shorter than it was.

use super::{APP, said};
use crate::cli::rollcall;
use crate::support::relay::Relay;
use crate::support::{Cluster, Service};

#[test]
fn a_server_that_takes_a_connection_and_falls_silent_does_not_keep_the_doctor() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let relay = Relay::start(cluster.path(".s.PGSQL.5432"), "server_version_num");
    relay.fall_silent();
    let dir = tempfile::tempdir().unwrap();
    let doctor = rollcall(&["doctor", "--data-dir", dir.path().to_str().unwrap(), "--database", &relay.address(&name)])
        .output()
        .unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    assert!(
        said(&doctor).contains("BAD   database: the server takes connections and does not answer"),
        "{}",
        said(&doctor)
    );
}

#[test]
fn a_log_that_is_shorter_than_its_checkpoint_or_of_another_vault_is_called_bad() {
    let cluster = Cluster::start_with("fsync=on");
    let name = cluster.database();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = cluster.address(&name);
    let mut service = Service::try_start_with(one.path(), &[APP], &["--database", &server]).unwrap();
    service.register(APP, &["ada"]);
    service.stop();
    Service::start_in(other.path(), &[APP]).stop();
    let doctor = |data: &std::path::Path| {
        said(&rollcall(&["doctor", "--data-dir", data.to_str().unwrap(), "--database", &server]).output().unwrap())
    };
    assert!(doctor(one.path()).contains("ok    vault of the log"), "{}", doctor(one.path()));
    assert!(doctor(other.path()).contains("BAD   vault of the log"), "{}", doctor(other.path()));
    cluster.sql(
        &name,
        "alter table rollcall_log.event disable trigger all; delete from rollcall_log.event where position > 1",
    );
    assert!(doctor(one.path()).contains("BAD   length of the log: 1 events, of"), "{}", doctor(one.path()));
    // The one in files.
    let log = rusqlite::Connection::open(other.path().join("log.db")).unwrap();
    log.execute_batch("drop trigger event_is_never_deleted; delete from event where position > 1").unwrap();
    drop(log);
    let said = said(&rollcall(&["doctor", "--data-dir", other.path().to_str().unwrap()]).output().unwrap());
    assert!(said.contains("BAD   length of the log: 1 events, of"), "{said}");
}
