//! The SQL serves `PostgreSQL` too: every table is created and every statement prepared on a throw-away cluster.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rollcall_projections::ALL;

/// Where `PostgreSQL`'s programs are; `None`: not installed here.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.filter_map(Result::ok).map(|entry| entry.path().join("bin")).find(|bin| bin.join("initdb").exists())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Runs a program as somebody who is not root, which `initdb` refuses.
fn run(program: &Path, arguments: &[&str]) -> Output {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir("/").output().unwrap()
}

struct Cluster {
    bin: PathBuf,
    directory: tempfile::TempDir,
}

impl Cluster {
    fn start(bin: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(directory.path()).status().unwrap().success());
        }
        let cluster = Self { bin, directory };
        let (data, log) = (cluster.path("data"), cluster.path("log"));
        cluster.must("initdb", &["-D", &data, "-U", "rollcall", "--auth=trust", "--no-sync"]);
        let options = format!("-c listen_addresses='' -c fsync=off -k {}", cluster.path(""));
        cluster.must("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        cluster
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn must(&self, program: &str, arguments: &[&str]) {
        let output = run(&self.bin.join(program), arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program}: {out}{err}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        run(&self.bin.join("pg_ctl"), &["-D", &self.path("data"), "-m", "immediate", "stop"]);
    }
}

#[test]
fn every_schema_and_statement_is_accepted_by_postgresql() {
    let bin = programs().expect("PostgreSQL is not installed: run ./test.sh, which installs it");
    let mut script = String::new();
    for model in ALL {
        script.push_str(model.schema());
        for (number, sql) in model.statements().iter().chain(model.queries()).enumerate() {
            writeln!(script, "\nPREPARE {}_{number} AS {sql};", model.name()).unwrap();
        }
    }
    let cluster = Cluster::start(bin);
    let file = cluster.path("script.sql");
    std::fs::write(&file, script).unwrap();
    let socket = cluster.path("");
    let arguments = ["-q", "-v", "ON_ERROR_STOP=1", "-h", &socket, "-U", "rollcall", "-d", "postgres", "-f", &file];
    cluster.must("psql", &arguments);
}
