//! What an operator is told of the ground the service stands on.

use super::{path, rollcall, text};
use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;

#[test]
fn a_role_that_was_given_what_the_service_needs_serves_and_cannot_rewrite_history() {
    let cluster = Cluster::start_with("fsync=on");
    let name = cluster.database();
    cluster.sql(&name, "create role limited login");
    let owner = cluster.address(&name);
    let limited = owner.replace("user=rollcall", "user=limited");
    let dir = tempfile::tempdir().unwrap();
    let early = Service::try_start_with(&dir.path().join("early"), &[APP], &["--database", &limited]).err().unwrap();
    assert!(early.contains("rollcall database prepare"), "{early}");
    let prepare = || rollcall(&["database", "prepare", "--database", &owner, "--role", "limited"]).output().unwrap();
    for _ in 0..2 {
        let prepared = prepare();
        assert!(prepared.status.success(), "{}", text(&prepared.stderr));
    }
    let data = dir.path().join("data");
    let mut service = Service::try_start_with(&data, &[APP], &["--database", &limited]).unwrap();
    service.register(APP, &["ada"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    service.eventually("it is erased", |_| {
        cluster.sql(&name, "select count(*) from rollcall_log.event where name = 'erasure.finalised'") == "1"
    });
    service.stop();
    for task in [&["rebuild", "all"][..], &["database", "back", "user_directory"], &["database", "drop-before"]] {
        let mut command = rollcall(task);
        if task[0] == "rebuild" {
            command.args(["--data-dir", path(&data)]);
        }
        let done = command.args(["--database", &limited]).output().unwrap();
        assert!(done.status.success(), "{task:?}: {}", text(&done.stderr));
    }
    for rewrite in [
        "update rollcall_log.event set core = ''",
        "delete from rollcall_log.event",
        "truncate rollcall_log.event",
        "alter table rollcall_log.event disable trigger all",
        "drop table rollcall_log.event",
    ] {
        let as_limited = format!("set role limited; {rewrite}");
        let refused = std::process::Command::new("psql")
            .args(["-h", &cluster.path(""), "-U", "rollcall", "-d", &name, "-v", "ON_ERROR_STOP=1", "-c", &as_limited])
            .output()
            .unwrap();
        assert!(!refused.status.success(), "{rewrite}");
    }
    let doctor = |address: &str| {
        let output = rollcall(&["doctor", "--data-dir", path(&data), "--database", address]).output().unwrap();
        (output.status.code(), text(&output.stdout))
    };
    let (code, said) = doctor(&limited);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ok    rights of the role") && said.contains("ok    triggers: 3 of 3"), "{said}");
    let (_, said) = doctor(&owner);
    assert!(said.contains("note  rights of the role") && said.contains("note  role: rollcall"), "{said}");
}

#[test]
fn what_would_lose_or_expose_data_is_called_bad() {
    let cluster = Cluster::start_with("fsync=off");
    let name = cluster.database();
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::try_start_with(dir.path(), &[APP], &["--database", &cluster.address(&name)]).unwrap();
    service.stop();
    cluster.sql(&name, "alter table rollcall_log.event disable trigger event_is_never_deleted");
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output =
        rollcall(&["doctor", "--data-dir", path(dir.path()), "--database", &cluster.address(&name)]).output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for bad in ["BAD   fsync: off", "BAD   triggers: 2 of 3", "BAD   data directory: mode 755"] {
        assert!(said.contains(bad), "{said}");
    }
}

#[test]
fn settings_that_leak_or_cut_short_and_a_root_on_a_doubtful_mount_are_told() {
    let cluster = Cluster::start_with("fsync=on");
    let name = cluster.database();
    let dir = tempfile::tempdir().unwrap();
    for setting in ["log_min_duration_statement = 100", "log_transaction_sample_rate = 0.5", "lock_timeout = 60000"] {
        cluster.sql(&name, &format!("alter database {name} set {setting}"));
    }
    let doctor = rollcall(&["doctor", "--data-dir", path(dir.path()), "--database", &cluster.address(&name)])
        .args(["--root-cell", "local:/dev/shm/not-there-yet/root.cell"])
        .output()
        .unwrap();
    let said = text(&doctor.stdout);
    for told in [
        "note  log_min_duration_statement: 100ms; ",
        "note  log_transaction_sample_rate: 0.5; ",
        "note  lock_timeout: 1min; ",
        "ok    statement_timeout: 0",
        "note  keys: mount of the root cell: /dev/shm/not-there-yet/root.cell: tmpfs forgets",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}
