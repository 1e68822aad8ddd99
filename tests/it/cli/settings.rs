//! Where settings come from, and which is the stronger one.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{one_sentence, path, rollcall, text};

/// A started service. Killed when dropped.
pub(super) struct Started {
    child: Child,
    lines: Vec<String>,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts it and reads what it prints until it listens.
pub(super) fn started(command: &mut Command) -> Started {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = vec![];
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let listens = line.starts_with("listening on ");
        lines.push(line);
        if listens {
            break;
        }
    }
    let started = Started { child, lines };
    assert!(started.lines.last().is_some_and(|line| line.starts_with("listening on ")), "it did not start");
    started
}

impl Started {
    fn says(&self, what: &str) -> bool {
        self.lines.iter().any(|line| line.contains(what))
    }
}

fn config(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("rollcall.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn has_data(dir: &Path) -> bool {
    dir.join("log.db").is_file()
}

#[test]
fn a_bad_app_is_refused_with_the_form_it_should_have() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for bad in ["key", "k y:hunter2", "key:hunter2:moon", "key:hunter2-hunter2-:production:gold"] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path(&data), "--app", bad];
        let output = rollcall(&serve).output().unwrap();
        assert!(!output.status.success(), "{bad}");
        let said = text(&output.stderr);
        assert!(said.contains("KEY:SECRET") && !said.contains("panicked"), "{said}");
    }
    assert!(!data.exists());
}

#[test]
fn a_bad_configuration_file_is_refused_in_one_sentence_that_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent.toml");
    let output = rollcall(&["serve", "--config", path(&absent)]).output().unwrap();
    one_sentence(&output, &[path(&absent), "cannot be read"]);
    for (content, line) in [
        ("listen = \"nowhere\"\n", "line 1"),
        ("data_dir = \"data\"\nlitsen = \"127.0.0.1:0\"\n", "line 2"),
        ("listen = \"127.0.0.1:0\"\napps = [\"key:hunter2:moon\"]\n", "line 2"),
        ("apps = [\"key:hunter2\"\n", "line"),
        ("listen", "line 1"),
    ] {
        let file = config(dir.path(), content);
        let output = rollcall(&["serve", "--config", path(&file)]).current_dir(dir.path()).output().unwrap();
        let said = one_sentence(&output, &[path(&file), "is not valid", line]);
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn an_unknown_word_of_a_configuration_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = config(dir.path(), "litsen = \"127.0.0.1:0\"\n");
    let output = rollcall(&["serve", "--config", path(&file)]).output().unwrap();
    one_sentence(&output, &["litsen", "data_dir"]);
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str| dir.path().join(name);
    let content = format!(
        "listen = \"127.0.0.2:0\"\ndata_dir = {:?}\napps = [\"filekey:filesecret\"]\n",
        path(&of("of-the-file"))
    );
    let file = config(dir.path(), &content);

    let by_file = started(&mut rollcall(&["serve", "--config", path(&file)]));
    assert!(by_file.says("listening on http://127.0.0.2:") && by_file.says("created app filekey"));
    assert!(has_data(&of("of-the-file")));
    drop(by_file);

    let environment = |args: &[&str]| {
        let mut command = rollcall(args);
        command.env("ROLLCALL_CONFIG", &file).env("ROLLCALL_LISTEN", "127.0.0.3:0");
        command.env("ROLLCALL_DATA_DIR", of("of-the-environment"));
        command.env("ROLLCALL_APP", "envkey:envsecret,second:envsecret-and-more:production");
        command
    };
    let by_environment = started(&mut environment(&["serve"]));
    assert!(by_environment.says("listening on http://127.0.0.3:"));
    for created in ["created app envkey (development)", "created app second (production)", "created app filekey"] {
        assert!(by_environment.says(created), "{:?}", by_environment.lines);
    }
    assert!(has_data(&of("of-the-environment")));
    drop(by_environment);

    let data = of("of-the-flag");
    let flags = [
        "serve",
        "--listen",
        "127.0.0.4:0",
        "--data-dir",
        path(&data),
        "--app",
        "filekey:flagsecret-and-more:production",
    ];
    let by_flag = started(&mut environment(&flags));
    assert!(by_flag.says("listening on http://127.0.0.4:") && by_flag.says("created app filekey (production)"));
    assert!(!by_flag.says("envkey") && has_data(&data));
}
