//! A service in a process of its own, so that its memory and its processor time are its own. It ends with this process.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Error, KEY, Options, SECRET, cpu_time};

/// How long a service may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(10);
/// How long one answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// Most of a page of a list.
const PAGE: usize = 500;

/// A node that serves.
pub(super) struct Served {
    process: Child,
    pub(super) address: SocketAddr,
    /// From the start of the process until it was ready.
    pub(super) started_in: Duration,
}

/// Where a node keeps what it keeps, as arguments: its data directory of this name, and the databases and keys that the
/// command line of this process names.
pub(super) fn place(options: &Options, name: &str) -> Vec<String> {
    let mut args = vec!["--data-dir".to_owned(), options.dir.join(name).display().to_string()];
    // As they were given to this process: an address is not written back from what was read of it.
    let mut given = std::env::args();
    while let Some(arg) = given.next() {
        let flag = arg.split_once('=').map_or(arg.as_str(), |(flag, _)| flag);
        if ["--database", "--vault-database", "--root-cell"].contains(&flag) {
            let value = if flag == arg { given.next() } else { None };
            args.push(arg);
            args.extend(value);
        }
    }
    args
}

/// The app of this bench, as arguments.
pub(super) fn app() -> [String; 2] {
    ["--app".to_owned(), format!("{KEY}:{SECRET}:production:pro")]
}

/// This program with none of its settings taken from the environment.
fn program() -> Result<Command, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_str().is_some_and(|name| name.starts_with("ROLLCALL_"))) {
        command.env_remove(name);
    }
    command.env("ROLLCALL_LOG", "error");
    Ok(command)
}

/// Runs a command of this program to its end; answers what it printed.
pub(super) fn command(args: &[String]) -> Result<String, Error> {
    let output = program()?.args(args).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        // The arguments may hold the password of a database.
        return Err(Error::Constant(format!("`rollcall {} …` failed", args.first().map_or("", String::as_str))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Served {
    /// Starts `rollcall serve` and waits until it is ready.
    ///
    /// # Errors
    /// It ends instead, or takes too long.
    pub(super) fn start(args: &[String]) -> Result<Self, Error> {
        let mut command = program()?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--drain-seconds", "0"]).args(args);
        let began = Instant::now();
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| Error::Constant("a service without an output".into()))?;
        let mut stdout = BufReader::new(stdout);
        let address = match listening(&mut stdout) {
            Ok(address) => address,
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                return Err(error);
            }
        };
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(drop));
        let mut served = Self { process, address, started_in: Duration::ZERO };
        while !served.is_ready() {
            if began.elapsed() > READY_WITHIN || served.process.try_wait()?.is_some() {
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
    ///
    /// # Errors
    /// Something else than 200.
    pub(super) fn get(&self, path: &str) -> Result<Value, Error> {
        let request = call("GET", path, "").replacen("\r\n", "\r\nConnection: close\r\n", 1);
        json(&self.exchange(&request)?)
    }

    /// How many users there are, counted page by page.
    ///
    /// # Errors
    /// A page is not answered.
    pub(super) fn count_users(&self) -> Result<u64, Error> {
        let (mut cursor, mut seen) = (String::new(), 0);
        loop {
            let page = self.get(&format!("users?limit={PAGE}{cursor}"))?;
            seen += page["users"].as_array().map_or(0, Vec::len) as u64;
            let Some(next) = page["next"].as_str() else { return Ok(seen) };
            cursor = format!("&cursor={next}");
        }
    }

    /// Bytes of memory that are of no file.
    pub(super) fn anonymous_memory(&self) -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kibibytes.ok_or_else(|| Error::Constant("the system does not tell the memory of a process".into()))? * 1024)
    }

    /// Processor time so far, user and system, in steps of 10 ms.
    pub(super) fn cpu_time(&self) -> Result<Duration, Error> {
        cpu_time(&self.process.id().to_string())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself; its data is thrown away, or must outlive this.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where a service says that it listens.
fn listening(stdout: &mut impl BufRead) -> Result<SocketAddr, Error> {
    let mut line = String::new();
    while stdout.read_line(&mut line)? > 0 {
        if let Some(address) = line.trim().strip_prefix("listening on http://") {
            return address.parse().map_err(|_| Error::Constant(format!("no address: {line}")));
        }
        line.clear();
    }
    Err(Error::Constant("a service ended before it listened".into()))
}

/// A call of the REST face.
pub(super) fn call(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}:{SECRET}\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    )
}

/// The JSON of an answer whose head says how long it is.
fn json(answer: &[u8]) -> Result<Value, Error> {
    let broken = || Error::Constant(format!("a service answered {}", String::from_utf8_lossy(answer)));
    let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").and_then(|at| answer.get(at + 4..));
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(broken());
    }
    serde_json::from_slice(body.unwrap_or_default()).map_err(|_| broken())
}
