//! Secrets: where they may come from, how long they are, and that nothing shows them.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::{one_sentence, path, rollcall, text};
use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;

fn file(dir: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let file = dir.path().join(name);
    std::fs::write(&file, content).unwrap();
    file
}

fn serve(dir: &tempfile::TempDir) -> Command {
    rollcall(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path(&dir.path().join("data"))])
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success());
    text(&output.stderr)
}

#[test]
fn a_short_secret_of_a_production_app_is_refused_wherever_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let short = "shop:hunter2hunter2:production";
    let by_flag = serve(&dir).args(["--app", short]).output().unwrap();
    let by_environment = serve(&dir).env("ROLLCALL_APP", short).output().unwrap();
    let by_file = serve(&dir).arg("--app-file").arg(file(&dir, "apps", short)).output().unwrap();
    let settings = file(&dir, "rollcall.toml", &format!("apps = [\"{short}\"]\n"));
    let by_settings = serve(&dir).arg("--config").arg(settings).output().unwrap();
    for output in [by_flag, by_environment, by_file, by_settings] {
        let said = refused(&output);
        assert!(said.contains("at least 16 characters") && !said.contains("hunter2"), "{said}");
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn a_setting_that_is_not_understood_is_refused_without_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    for (option, value) in [
        ("--app", "shop:hunter2:moon"),
        ("--database", "postgres://ada:hunter2@example.org/rollcall?frobnicate=1"),
        ("--vault-database", "postgres://ada:hunter2@example.org/rollcall?frobnicate=1"),
        ("--kurrentdb", "http://ada:hunter2@example.org"),
    ] {
        let said = refused(&serve(&dir).args([option, value]).output().unwrap());
        assert!(said.contains(option) && !said.contains("hunter2"), "{said}");
        let name = format!("ROLLCALL_{}", option.trim_start_matches("--").replace('-', "_").to_uppercase());
        let said = refused(&serve(&dir).env(name, value).output().unwrap());
        assert!(said.contains(option) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_secret_that_the_settings_change_is_refused_and_the_app_keeps_its_own() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let changed = App { secret: "another-secret-of-the-app", ..APP };
    let said = Service::try_start(service.data(), &[changed], &[]).err().unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains(APP.key) && said.contains("rollcall apps rotate-secret testkey"), "{said}");
    assert!(!said.contains(changed.secret) && !said.contains(APP.secret), "{said}");
    service.restart();
    service.register(APP, &["ada"]);
}

#[test]
fn secrets_come_from_files_that_flags_or_the_environment_name() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let dir = tempfile::tempdir().unwrap();
    let address = file(&dir, "database", &format!("{}\n", cluster.address(&name)));
    let apps = file(&dir, "apps", &format!("# of the tests\n{}\n", APP.flag()));
    let data = dir.path().join("data");
    let args = ["--database-file", path(&address), "--app-file", path(&apps)];
    let mut service = Service::try_start_with(&data, &[], &args).unwrap();
    service.register(APP, &["ada"]);
    service.stop();
    assert_eq!(cluster.sql(&name, "select count(*) > 0 from rollcall_log.event"), "t");
    let listed = rollcall(&["apps", "list", "--data-dir", path(&data)])
        .env("ROLLCALL_DATABASE_FILE", &address)
        .output()
        .unwrap();
    assert!(text(&listed.stdout).contains(APP.key), "{}", text(&listed.stderr));
    let owner = rollcall(&["database", "drop-before", "--database-file", path(&address)]).output().unwrap();
    assert!(owner.status.success(), "{}", text(&owner.stderr));
    let twice = rollcall(&["apps", "list", "--data-dir", path(&data), "--database-file", path(&address)])
        .args(["--database", "postgres://a@b/c"])
        .output()
        .unwrap();
    assert!(refused(&twice).contains("cannot be used with"), "{}", text(&twice.stderr));
    let missing = rollcall(&["apps", "list", "--database-file", "/nothing/there"]).output().unwrap();
    assert!(refused(&missing).contains("/nothing/there"), "{}", text(&missing.stderr));
}

#[test]
fn a_process_leaves_no_core_dump_unless_that_is_asked_for() {
    let limits = |service: &Service| std::fs::read_to_string(format!("/proc/{}/limits", service.pid())).unwrap();
    let core = |limits: String| {
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        line.split_whitespace().skip(4).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let dir = tempfile::tempdir().unwrap();
    let service = Service::try_start(&dir.path().join("one"), &[APP], &["prlimit", "--core=4096:8192"]).unwrap();
    assert_eq!(core(limits(&service)), ["0", "0"]);
    let debugged = ["prlimit", "--core=4096:8192", "env", "ROLLCALL_ALLOW_CORE_DUMPS=1"];
    let service = Service::try_start(&dir.path().join("two"), &[APP], &debugged).unwrap();
    assert_eq!(core(limits(&service)), ["4096", "8192"]);
}

#[test]
fn a_retired_secret_in_the_settings_is_refused_and_what_to_do_is_said() {
    let mut service = Service::start(&[APP]);
    service.stop();
    for args in [&["apps", "rotate-secret", APP.key][..], &["apps", "rotate-secret", APP.key, "--retire", "1"]] {
        assert!(service.command(args).status.success());
    }
    let data = path(service.data());
    let output = rollcall(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--app", &APP.flag()]).output();
    one_sentence(&output.unwrap(), &[APP.key, "none of its secrets", "out of the settings"]);
}
