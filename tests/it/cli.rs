//! The binary as an operator meets it: settings, first start, apps and their secrets, clear refusals.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{App, Service};

mod apps;
mod bench;
mod copy;
mod deploy;
mod directory;
mod doctor;
mod drill;
mod first_start;
mod keys;
mod parked;
mod reads;
mod rebuild;
mod replay;
mod secrets;
mod settings;

/// The binary with none of its settings taken from where the tests run.
pub fn rollcall(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    for name in [
        "LISTEN",
        "DATA_DIR",
        "CONFIG",
        "APP",
        "APP_FILE",
        "DATABASE_FILE",
        "READY_WITH_PARKED",
        "WORKERS",
        "LOG",
        "ROOT_CELL",
        "ALLOW_UNSUITABLE_MOUNT",
        "ROTATE_KEYS_EVERY_HOURS",
        "DRAIN_SECONDS",
    ] {
        command.env_remove(format!("ROLLCALL_{name}"));
    }
    command.args(args);
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Fails unless the command ended badly with one sentence that says all of this; answers the sentence.
#[track_caller]
fn one_sentence(output: &Output, says: &[&str]) -> String {
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with("rollcall: ") && !said.contains("panicked"), "{said}");
    says.iter().for_each(|part| assert!(said.contains(part), "{part:?} is not in {said}"));
    said
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_data_directory_in_use_is_refused_in_one_sentence_by_every_command() {
    let service = Service::start(&[App::PRODUCTION]);
    let data = path(service.data());
    for args in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["apps", "list"],
        &["apps", "create"],
        &["rebuild", "all"],
        &["verify"],
        &["keys", "show"],
        &["keys", "rotate"],
    ] {
        let output = rollcall(args).args(["--data-dir", data]).output().unwrap();
        one_sentence(&output, &[data, "in use by another rollcall process"]);
    }
    service.register(App::PRODUCTION, &["still-there"]);
}

#[test]
fn a_taken_port_is_refused_in_one_sentence_and_leaves_no_data() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = rollcall(&["serve", "--listen", &address, "--data-dir", path(&data)]).output().unwrap();
    one_sentence(&output, &[&address, "--listen"]);
    assert!(!data.exists());
}

#[test]
fn commands_over_a_directory_without_data_say_so_and_make_none() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["verify"][..], &["rebuild", "all"], &["apps", "list"], &["keys", "show"]] {
        let output = rollcall(args).args(["--data-dir", path(dir.path())]).output().unwrap();
        one_sentence(&output, &["there is no rollcall data in", path(dir.path())]);
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let data = file.join("data");
    let output = rollcall(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path(&data)]).output().unwrap();
    one_sentence(&output, &[path(&data), "cannot be used"]);
}

#[test]
fn a_rebuild_of_an_unknown_model_names_the_known_ones() {
    let mut service = Service::start(&[App::PRODUCTION]);
    service.stop();
    let said = one_sentence(&service.command(&["rebuild", "moods"]), &["\"moods\"", "all, "]);
    for model in ["user_directory", "blocklists", "friend_graph"] {
        assert!(said.contains(model), "{said}");
        assert!(service.command(&["rebuild", model]).status.success(), "{model}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = rollcall(&["--version"]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), format!("rollcall {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_service_that_is_asked_to_stop_ends_well_and_keeps_what_it_acknowledged() {
    let mut service = Service::start(&[App::PRODUCTION]);
    service.register(App::PRODUCTION, &["ada"]);
    service.stop();
    assert!(!service.errors().contains("ERROR"), "{}", service.errors());
    service.restart();
    let info = service.post(App::PRODUCTION, "/user/info.json", &[("userId", "ada")]).ok();
    assert_eq!(info.json()["userName"], "Name of ada");
}
