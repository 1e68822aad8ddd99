//! A `PostgreSQL` server of a test's own, thrown away with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the server's programs are.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let mut bins = versions.into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path().join("bin"));
    bins.find(|bin| bin.join("initdb").exists()).expect("PostgreSQL is not installed: run ./test.sh, which installs it")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Runs a program as somebody who is not root, which the server refuses.
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

/// A server that listens on a socket in its own directory.
pub struct Cluster {
    bin: PathBuf,
    directory: tempfile::TempDir,
    databases: AtomicU32,
    frozen: AtomicBool,
}

impl Cluster {
    /// A new server. It does not flush: nothing here survives the machine.
    pub fn start() -> Self {
        Self::start_with("fsync=off")
    }

    /// A new server with another setting, as `name=value`; it flushes only where that is `fsync=on`.
    pub fn start_with(setting: &str) -> Self {
        let cluster = Self::made(setting);
        cluster.resume();
        cluster
    }

    /// A new server with a part of its data on another disk, such as `data/pg_wal`.
    #[allow(dead_code)]
    pub fn start_with_on(part: &str, disk: &Path) -> Self {
        let cluster = Self::made("fsync=on");
        let (here, there) = (cluster.path(part), disk.join("part"));
        assert!(Command::new("mv").arg(&here).arg(&there).status().unwrap().success());
        std::os::unix::fs::symlink(there, here).unwrap();
        cluster.resume();
        cluster
    }

    fn made(setting: &str) -> Self {
        let cluster = Self::empty();
        // Most servers sort texts by a language and not by their bytes.
        let locale = ["--encoding=UTF8", "--locale-provider=icu", "--icu-locale=en-US"];
        let data = cluster.path("data");
        cluster.must("initdb", &[&["-D", &data, "-U", "rollcall", "--auth=trust", "--no-sync"], &locale[..]].concat());
        cluster.configure("listen_addresses=''\nlc_messages='C'\n");
        std::fs::write(cluster.path("setting"), setting).unwrap();
        cluster
    }

    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(directory.path()).status().unwrap().success());
        }
        Self { bin: programs(), directory, databases: AtomicU32::new(0), frozen: AtomicBool::new(false) }
    }

    /// Adds settings, which hold from its next start on.
    pub fn configure(&self, settings: &str) {
        let file = self.path("data/postgresql.conf");
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, before + settings).unwrap();
    }

    /// A standby of this server, by streaming replication.
    #[allow(dead_code)]
    pub fn standby(&self) -> Self {
        let standby = Self::empty();
        let (socket, data) = (self.path(""), standby.path("data"));
        standby
            .must("pg_basebackup", &["-h", &socket, "-U", "rollcall", "-D", &data, "-R", "-X", "stream", "-c", "fast"]);
        std::fs::write(standby.path("setting"), "fsync=off").unwrap();
        standby.resume();
        standby
    }

    /// From now on, what this server commits waits for its standby.
    #[allow(dead_code)]
    pub fn wait_for_standby(&self) {
        self.sql("postgres", "alter system set synchronous_standby_names = '*'");
        self.sql("postgres", "select pg_reload_conf()");
        let until = Instant::now() + Duration::from_secs(60);
        while self.sql("postgres", "select count(*) from pg_stat_replication where sync_state = 'sync'") != "1" {
            assert!(Instant::now() < until, "no standby follows");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the server's processes as a machine that is paused does: those that serve connections first, and half a second
    /// later all of them. Connections stay open, and the kernel takes new ones.
    #[allow(dead_code)]
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
        signal("-STOP", &self.processes().1);
        std::thread::sleep(Duration::from_millis(500));
        // The first one, before it starts others.
        let (first, _) = self.processes();
        signal("-STOP", &[first]);
        signal("-STOP", &self.processes().1);
    }

    /// Lets the processes go on.
    #[allow(dead_code)]
    pub fn thaw(&self) {
        let (first, others) = self.processes();
        signal("-CONT", &others);
        signal("-CONT", &[first]);
        self.frozen.store(false, Ordering::SeqCst);
    }

    /// Kills every process of the server, and waits until they are gone.
    #[allow(dead_code)]
    pub fn kill(&self) {
        let (first, _) = self.processes();
        // So that it starts no others meanwhile.
        signal("-STOP", &[first]);
        let (_, others) = self.processes();
        signal("-KILL", &[first]);
        signal("-KILL", &others);
        let lives = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
        while lives(&first) || others.iter().any(lives) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Where nobody has collected the first one yet, its number is still taken, and the next one would not start.
        for lock in ["data/postmaster.pid", ".s.PGSQL.5432.lock"] {
            let _ = std::fs::remove_file(self.path(lock));
        }
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn must(&self, program: &str, arguments: &[&str]) -> String {
        let output = run(&self.bin.join(program), arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program}: {out}{err}");
        out.into_owned()
    }

    /// Starts the server again.
    pub fn resume(&self) {
        let setting = std::fs::read_to_string(self.path("setting")).unwrap();
        let options = format!(
            "-c fsync=off -c shared_buffers=64MB -c max_wal_senders=4 -c hot_standby=on -c {setting} -k {}",
            self.path("")
        );
        let start = ["-D", &self.path("data"), "-w", "-l", &self.path("log"), "-o", &options, "start"];
        let output = run(&self.bin.join("pg_ctl"), &start);
        assert!(output.status.success(), "{}", self.said());
    }

    /// Starts the server again if it has ended, as a supervisor does.
    #[allow(dead_code)]
    pub fn supervise(&self) {
        if !run(&self.bin.join("pg_ctl"), &["-D", &self.path("data"), "status"]).status.success() {
            self.resume();
        }
    }

    /// What the server wrote to its log.
    #[allow(dead_code)]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// The processes of the server: the first one, and those it has started.
    #[allow(dead_code)]
    pub fn processes(&self) -> (u32, Vec<u32>) {
        let file = std::fs::read_to_string(self.path("data/postmaster.pid")).unwrap();
        let first: u32 = file.lines().next().unwrap().parse().unwrap();
        let listed = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        (first, listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
    }

    /// Limits the size of the files that one of its processes writes, and all processes that this one starts later. Only the
    /// soft limit is set, so that it can be raised again.
    #[allow(dead_code)]
    pub fn limit_files(&self, pid: u32, bytes: &str) {
        let arguments = ["--pid", &pid.to_string(), &format!("--fsize={bytes}:")];
        let limited = run(Path::new("prlimit"), &arguments);
        assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
    }

    /// Stops the server: `fast`, or `immediate` as in a crash.
    #[allow(dead_code)]
    pub fn stop(&self, mode: &str) {
        self.must("pg_ctl", &["-D", &self.path("data"), "-w", "-m", mode, "stop"]);
    }

    /// Ends the server as in a crash, if it has not ended already.
    #[allow(dead_code)]
    pub fn crash(&self) {
        run(&self.bin.join("pg_ctl"), &["-D", &self.path("data"), "-w", "-m", "immediate", "stop"]);
    }

    /// Makes a standby a primary.
    #[allow(dead_code)]
    pub fn promote(&self) {
        self.must("pg_ctl", &["-D", &self.path("data"), "-w", "promote"]);
    }

    /// Runs SQL in a database and answers what it prints.
    #[allow(dead_code)]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// The same, where it may fail: on a standby that has not received the database yet.
    #[allow(dead_code)]
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let socket = self.path("");
        let arguments =
            ["-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", &socket, "-U", "rollcall", "-d", database, "-c", sql];
        let output = run(&self.bin.join("psql"), &arguments);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The name of a new, empty database.
    #[allow(dead_code)]
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.must("createdb", &["-h", &self.path(""), "-U", "rollcall", &name]);
        name
    }

    /// Our keys and indexes that are sorted by a language instead of by bytes.
    #[allow(dead_code)]
    pub fn keys_of_words(&self, database: &str) -> String {
        let sql =
            "select i.indexrelid::regclass, a.attname from pg_index i join pg_attribute a on a.attrelid = i.indexrelid
            where i.indrelid::regclass::text like 'rollcall%' and a.attcollation not in (0, '\"C\"'::regcollation)";
        self.sql(database, sql)
    }

    /// The address of a database.
    #[allow(dead_code)]
    pub fn address(&self, database: &str) -> String {
        format!("host={} user=rollcall dbname={database}", self.path(""))
    }
}

/// One that has ended meanwhile gets none.
fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let _ = Command::new("kill").arg(name).args(pids.iter().map(u32::to_string)).output().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.frozen.load(Ordering::SeqCst) {
            self.thaw();
        }
        run(&self.bin.join("pg_ctl"), &["-D", &self.path("data"), "-m", "immediate", "stop"]);
    }
}
