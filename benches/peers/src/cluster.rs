//! A `PostgreSQL` cluster of the run's own, which flushes like any other and is thrown away with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A server that listens on a socket in its own directory.
pub(crate) struct Cluster {
    programs: PathBuf,
    directory: TempDir,
}

impl Cluster {
    /// A new server with every setting as `PostgreSQL` has it.
    pub(crate) fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("rollcall-peers-").tempdir()?;
        if nix::unistd::geteuid().is_root() {
            let postgres = nix::unistd::User::from_name("postgres")?.context("there is no user postgres")?;
            std::os::unix::fs::chown(directory.path(), Some(postgres.uid.as_raw()), Some(postgres.gid.as_raw()))?;
        }
        let cluster = Self { programs: programs()?, directory };
        let (data, log) = (cluster.path("data"), cluster.path("log"));
        cluster.run("initdb", &["-D", &data, "-U", "peers", "--auth=trust"])?;
        let options = format!("-c listen_addresses='' -c fsync=on -c synchronous_commit=on -k {}", cluster.path(""));
        cluster.run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"])?;
        Ok(cluster)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("postgres://peers@{}/postgres", self.path("").trim_end_matches('/').replace('/', "%2F"))
    }

    /// Its first process, the parent of all others.
    pub(crate) fn pid(&self) -> Result<u32> {
        let text = std::fs::read_to_string(self.path("data/postmaster.pid"))?;
        Ok(text.lines().next().context("an empty postmaster.pid")?.trim().parse()?)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Runs a program of the server, as somebody who is not root: it refuses root.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let path = self.programs.join(program);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        let output =
            command.args(arguments).current_dir("/").output().with_context(|| format!("cannot run {program}"))?;
        if !output.status.success() {
            bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.run("pg_ctl", &["-D", &self.path("data"), "-w", "-m", "immediate", "stop"]) {
            eprintln!("the throw-away cluster was not stopped: {error:#}");
        }
    }
}

/// Where the server's programs are: the newest that Debian installed, or wherever the path says.
fn programs() -> Result<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut versions: Vec<u32> = installed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    let debian = versions.iter().map(|version| Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .chain(std::env::split_paths(&path))
        .find(|directory| directory.join("initdb").exists())
        .context("there is no initdb: install PostgreSQL, or name a cluster with --postgres")
}
