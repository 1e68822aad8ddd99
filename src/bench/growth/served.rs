//! A service in a process of its own, which ends with this.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::Error;

/// How long a service may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(10);
/// How long one answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

pub(super) struct Served {
    child: Child,
    /// Where it prints: to close it would be to tell the service that nobody reads.
    _stdout: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
    /// From the start of the process until it was ready.
    pub(super) started_in: Duration,
}

impl Served {
    /// Starts `rollcall serve` over a data directory and waits until it is ready.
    pub(super) fn start(dir: &Path, workers: u16) -> Result<Self, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_str().is_some_and(|name| name.starts_with("ROLLCALL_"))) {
            command.env_remove(name);
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--drain-seconds", "0"]);
        // The app is there already.
        command.args(["--workers", &workers.to_string(), "--data-dir"]).arg(dir).stdout(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| Error::Constant("a service without an output".into()))?;
        let mut stdout = BufReader::new(stdout);
        let address = match listening(&mut stdout) {
            Ok(address) => address,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut served = Self { child, _stdout: stdout, address, started_in: Duration::ZERO };
        while !served.is_ready() {
            if began.elapsed() > READY_WITHIN {
                return Err(Error::Constant("a service was not ready in time".into()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        served.started_in = began.elapsed();
        Ok(served)
    }

    fn is_ready(&self) -> bool {
        let request = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        self.exchange(request).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
    }

    /// One call on a connection of its own.
    fn exchange(&self, request: &str) -> Result<Vec<u8>, Error> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// What the REST face answers.
    pub(super) fn get(&self, path: &str) -> Result<Value, Error> {
        let request = super::get(path).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        super::json(&self.exchange(&request)?)
    }

    /// Bytes of memory that are of no file.
    pub(super) fn anonymous_memory(&self) -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kibibytes.ok_or_else(|| Error::Constant("the system does not tell the memory of a process".into()))? * 1024)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Its data is thrown away.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a service says that it listens.
fn listening(stdout: &mut impl std::io::BufRead) -> Result<SocketAddr, Error> {
    let mut line = String::new();
    while stdout.read_line(&mut line)? > 0 {
        if let Some(address) = line.trim().strip_prefix("listening on http://") {
            return address.parse().map_err(|_| Error::Constant(format!("no address: {line}")));
        }
        line.clear();
    }
    Err(Error::Constant("a service ended before it listened".into()))
}
