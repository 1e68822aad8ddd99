//! A real `HAProxy` with the file of `deploy/`, in front of two nodes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The proxy. Ended when dropped.
pub struct Haproxy {
    child: Child,
    pub address: SocketAddr,
    directory: tempfile::TempDir,
}

/// An address of this machine that nobody listens at, also while the process that does is restarted: no connection is made
/// from it, unlike from 127.0.0.1.
pub fn free_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let here = SocketAddr::from(([127, 77, high, low.max(1)], 0));
    TcpListener::bind(here).unwrap().local_addr().unwrap()
}

/// Replaces what must be there.
#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in the shipped file");
    text.replace(from, to)
}

impl Haproxy {
    /// Starts one whose checks are ten times as frequent as in the shipped file, which is otherwise as it is.
    pub fn start(nodes: [SocketAddr; 2]) -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let socket = directory.path().join("stats");
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy.cfg");
        let shipped = std::fs::read_to_string(shipped).unwrap();
        let here = replaced(&shipped, "bind :8080", &format!("bind {address}"));
        let here = replaced(&here, "inter 1s fastinter 500ms", "inter 100ms fastinter 50ms");
        let here = replaced(&here, "global\n", &format!("global\n    stats socket {}\n", socket.display()));
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, here).unwrap();
        let program = ["/usr/sbin/haproxy", "haproxy"].into_iter().find(|program| Path::new(program).exists());
        let child = Command::new(program.unwrap_or("haproxy"))
            .args(["-db", "-f"])
            .arg(&file)
            .env("NODE_ONE", nodes[0].to_string())
            .env("NODE_TWO", nodes[1].to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("HAProxy is not installed: run ./test.sh, which installs it");
        let proxy = Self { child, address, directory };
        proxy.until_both_are_up();
        proxy
    }

    /// Waits until its checks find both nodes ready.
    pub fn until_both_are_up(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.states().is_ok_and(|states| states == ["UP", "UP"]) {
            assert!(Instant::now() < until, "it does not find both nodes ready: {:?}", self.states());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What its checks say of each node.
    fn states(&self) -> std::io::Result<Vec<String>> {
        let mut stream = UnixStream::connect(self.directory.path().join("stats"))?;
        stream.write_all(b"show stat\n")?;
        let mut table = String::new();
        stream.read_to_string(&mut table)?;
        let mut lines = table.lines();
        let names: Vec<_> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let column = |name: &str| names.iter().position(|of| *of == name);
        let (Some(server), Some(status)) = (column("svname"), column("status")) else { return Ok(vec![]) };
        let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
        let nodes = rows.filter(|row| matches!(row.get(server), Some(&"one" | &"two")));
        Ok(nodes.filter_map(|row| row.get(status).map(|status| (*status).to_owned())).collect())
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
