//! A log that moves to another backend.

use std::path::Path;

use rollcall::eventlog::EventLog as _;
use rollcall::eventlog::embedded::Embedded;

use super::{one_sentence, path, rollcall, text};
use crate::eventlog_damage::write_format_1;
use crate::support::soundness::{log_is_gapless, recorded};
use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;

#[track_caller]
fn copy(data: &Path, from: &[&str], to: &str) -> Result<String, String> {
    let mut command = rollcall(&["copy", "--data-dir", path(data), "--to", to]);
    let output = command.args(from).output().unwrap();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn name_of(service: &Service, user: &str) -> String {
    service.post(APP, "/user/info.json", &[("userId", user)]).ok().json()["userName"].as_str().unwrap().to_owned()
}

#[test]
fn a_log_moves_to_a_server_and_back_goes_on_where_a_copy_was_cut_short_and_is_the_same_everywhere() {
    let cluster = Cluster::start();
    let server = cluster.address(&cluster.database());
    let mut service = Service::start(&[APP]);
    let data = service.data().to_owned();
    service.register(APP, &["ada", "bob", "eve"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "eve")]).ok();
    // A stop leaves an erasure that is under way to the next start, which takes more from the log than was copied.
    service.eventually("eve is erased", |service| recorded(service.data(), "erasure.finalised") == 1);
    service.stop();
    let first = copy(&data, &[], &server).unwrap();
    // The source went on: what the target has of it is a part now, as after a copy that was cut short.
    let mut service = Service::start_in(&data, &[APP]);
    service.register(APP, &["cleo"]);
    service.stop();
    let second = copy(&data, &[], &server).unwrap();
    assert_ne!(first, second);
    assert!(second.contains("17 read models have the same rows"), "{second}");

    let mut there = Service::try_start_with(&data, &[APP], &["--database", &server]).unwrap();
    assert_eq!(name_of(&there, "ada"), "Name of ada");
    there.register(APP, &["dora"]);
    there.stop();
    let diverged = copy(&data, &[], &server).unwrap_err();
    assert!(diverged.contains("is no copy of it"), "{diverged}");

    std::fs::remove_file(data.join("log.db")).unwrap();
    std::fs::remove_file(data.join("read.db")).unwrap();
    copy(&data, &["--database", &server], "embedded").unwrap();
    let back = Service::start_in(&data, &[APP]);
    assert_eq!((name_of(&back, "cleo"), name_of(&back, "dora")), ("Name of cleo".into(), "Name of dora".into()));
}

#[test]
fn a_log_of_the_first_format_is_rewritten_where_it_is_and_the_service_goes_on_with_it() {
    let mut service = Service::start(&[APP]);
    let data = service.data().to_owned();
    service.register(APP, &["ada", "bob", "eve"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "eve")]).ok();
    service.eventually("eve is erased", |service| recorded(service.data(), "erasure.finalised") == 1);
    service.stop();
    let same = copy(&data, &[], "embedded").unwrap_err();
    assert!(same.contains("source and target are the same"), "{same}");

    let file = data.join("log.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let events = runtime.block_on(Embedded::open(&file).unwrap().read_all(0, 10_000)).unwrap();
    std::fs::remove_file(&file).unwrap();
    write_format_1(&file, &events);
    let refused = Service::try_start_with(&data, &[APP], &[]).err().expect("it must not start");
    assert!(refused.contains("rollcall copy --to embedded"), "{refused}");
    let done = copy(&data, &[], "embedded").unwrap();
    assert!(done.contains(&format!("{} events, rewritten", events.len())), "{done}");

    let service = Service::start_in(&data, &[APP]);
    assert_eq!(name_of(&service, "ada"), "Name of ada");
    service.register(APP, &["dora"]);
    drop(service);
    let output = rollcall(&["audit", "verify", "--data-dir", path(&data)]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    log_is_gapless(&data);
}

#[test]
fn a_server_with_the_log_of_another_vault_is_refused_before_anything_is_written() {
    let cluster = Cluster::start();
    let server = cluster.address(&cluster.database());
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = Service::try_start_with(one.path(), &[APP], &["--database", &server]).unwrap();
    first.register(APP, &["ada"]);
    first.stop();
    let refused = Service::try_start_with(other.path(), &[APP], &["--database", &server]);
    let said = refused.err().expect("it must not start");
    assert!(said.contains("belongs to the vault"), "{said}");
    let unknown = rollcall(&["copy", "--data-dir", path(one.path()), "--to", "oracle://x"]).output().unwrap();
    assert!(!unknown.status.success());
    let mut nowhere =
        rollcall(&["verify", "--data-dir", path(one.path()), "--database", "host=/nowhere dbname=x user=y"]);
    let output = nowhere.output().unwrap();
    one_sentence(&output, &["log"]);
}
