//! The root of the keys: where it lives, and what rotating it does.

use std::path::Path;

use super::{one_sentence, path, rollcall, text};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

/// What a command over the keys says when it ends well.
#[track_caller]
fn keys(task: &str, data: &Path, cell: Option<&str>) -> String {
    let mut command = rollcall(&["keys", task, "--data-dir", path(data)]);
    let output = command.args(cell.map(|cell| format!("--root-cell={cell}"))).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A data directory with a user in it, whose root lives in this cell.
fn started(cell: &str) -> (tempfile::TempDir, Service) {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::try_start_with(dir.path(), &[APP], &["--root-cell", cell]).unwrap();
    service.register(APP, &["ada"]);
    (dir, service)
}

fn ada_is_known(service: &Service) {
    let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
    assert_eq!(info.json()["userName"], "Name of ada");
}

#[test]
fn keys_are_shown_and_rotated_while_the_service_is_stopped_and_no_user_is_lost() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    let data = service.data().to_owned();
    let shown = keys("show", &data, None);
    for line in [
        "finality class: C",
        "local file, A/B slots in place",
        path(&data.join("root.cell")),
        "generation:     1",
        "last rotation:  20",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let before = std::fs::read(data.join("root.cell")).unwrap();
    let rotated = keys("rotate", &data, None);
    assert!(rotated.starts_with("rotated generation 1 -> 2 in "), "{rotated}");
    assert!(keys("show", &data, None).contains("generation:     2"));
    let after = std::fs::read(data.join("root.cell")).unwrap();
    let root = &before[32..64];
    assert!(!root.iter().all(|byte| *byte == 0) && !after.windows(32).any(|part| part == root));
    service.restart();
    ada_is_known(&service);
}

#[test]
fn a_root_split_over_two_files_serves_as_before_and_does_not_open_without_both() {
    let dir = tempfile::tempdir().unwrap();
    let second = dir.path().join("second.cell");
    let cell = format!("split:local,local:{}", path(&second));
    let (data, mut service) = started(&cell);
    service.stop();
    let shown = keys("show", data.path(), Some(&cell));
    assert!(shown.contains("split over two: ") && shown.contains(path(&second)), "{shown}");
    keys("rotate", data.path(), Some(&cell));
    let again = Service::try_start_with(data.path(), &[APP], &["--root-cell", &cell]).unwrap();
    ada_is_known(&again);
    drop(again);

    for wrong in ["local".to_owned(), format!("split:local,local:{}", path(&dir.path().join("third.cell")))] {
        let said = Service::try_start_with(data.path(), &[APP], &["--root-cell", &wrong]).err().unwrap();
        assert!(said.starts_with("rollcall: the vault is damaged: ") && said.contains("another root cell"), "{said}");
    }
    std::fs::remove_file(&second).unwrap();
    let show = ["keys", "show", "--root-cell", &cell, "--data-dir", path(data.path())];
    one_sentence(&rollcall(&show).output().unwrap(), &["does not hold the root of generation 2"]);
}

#[test]
fn a_bad_root_cell_is_refused_with_the_form_it_should_have_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for bad in ["tpm", "local:", "split:local", "split:split:local,local:/a"] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path(&data), "--root-cell", bad];
        let output = rollcall(&serve).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("split:CELL,CELL") && !said.contains("panicked"), "{said}");
    }
    let file = dir.path().join("rollcall.toml");
    std::fs::write(&file, "root_cell = \"tpm\"\n").unwrap();
    let output = rollcall(&["serve", "--config", path(&file)]).current_dir(dir.path()).output().unwrap();
    one_sentence(&output, &["line 1", "split:CELL,CELL"]);
    assert!(!data.exists());
}

#[test]
fn settings_of_the_keys_are_read_from_the_file_too() {
    let dir = tempfile::tempdir().unwrap();
    let (data, cell, file) = (dir.path().join("data"), dir.path().join("the.cell"), dir.path().join("rollcall.toml"));
    let content = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = {:?}\nroot_cell = \"local:{}\"\nrotate_keys_every_hours = 720\n\
         allow_unsuitable_mount = true\nvault_insecure = true\n",
        path(&data),
        path(&cell)
    );
    std::fs::write(&file, content).unwrap();
    drop(super::settings::started(&mut rollcall(&["serve", "--config", path(&file)])));
    assert!(cell.is_file() && !data.join("root.cell").exists());
    let cell = format!("local:{}", path(&cell));
    assert!(keys("show", &data, Some(&cell)).contains(&cell["local:".len()..]));
}
