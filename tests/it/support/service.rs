//! The built binary, started on a free port over a data directory of its own, as a user would start it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rollcall::database::Database;
use rollcall::wiring::{KeyOptions, LogPlace, Place, places};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(60);

/// An app the service is started with.
#[derive(Debug, Clone, Copy)]
pub struct App {
    pub key: &'static str,
    pub secret: &'static str,
    pub kind: &'static str,
}

impl App {
    pub const DEVELOPMENT: Self = Self { key: "devkey", secret: "devsecret", kind: "development" };
    pub const PRODUCTION: Self = Self { key: "testkey", secret: "testsecret-of-production", kind: "production" };
    pub const OTHER: Self = Self { key: "otherkey", secret: "othersecret-of-production", kind: "production" };

    pub fn flag(&self) -> String {
        format!("{}:{}:{}", self.key, self.secret, self.kind)
    }

    /// The four headers of a signed request.
    pub fn headers(&self) -> Vec<(String, String)> {
        let (nonce, timestamp) = ("1234567", "1795420824");
        vec![
            ("App-Key".into(), self.key.into()),
            ("Nonce".into(), nonce.into()),
            ("Timestamp".into(), timestamp.into()),
            ("Signature".into(), signature(self.secret, nonce, timestamp)),
        ]
    }
}

/// Lower-case hex SHA-1 of secret, nonce and timestamp.
pub fn signature(secret: &str, nonce: &str, timestamp: &str) -> String {
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, [secret, nonce, timestamp].concat().as_bytes()))
}

/// An answer as it came over the wire.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("not JSON ({e}): {} {}", self.status, self.text))
    }

    pub fn code(&self) -> i64 {
        self.json()["code"].as_i64().unwrap_or_else(|| panic!("no numeric code: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Fails unless it is a success of the Server API v1.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!((self.status, self.code()), (200, 200), "{}", self.text);
        self
    }

    /// Fails unless it is this error, in the form every error has.
    #[track_caller]
    pub fn refused(self, status: u16, code: i64) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert!(self.json()["errorMessage"].is_string(), "{}", self.text);
        self
    }

    /// Fails unless it is a success of this shape; see [`super::shape`].
    #[track_caller]
    pub fn shaped(self, shape: &str) -> Self {
        let reply = self.ok();
        assert_eq!(super::shape::shape(&reply.text), shape, "{}", reply.text);
        reply
    }

    /// Fails unless it is a success with exactly this body.
    #[track_caller]
    pub fn reads(self, text: &str) -> Self {
        assert_eq!(self.text, text);
        self.ok()
    }

    /// The names of the members at the top, in the order they were sent.
    pub fn members(&self) -> Vec<String> {
        let (mut names, mut depth, mut rest) = (vec![], 0_i32, self.text.as_str());
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '{' | '[' => depth += 1,
                '}' | ']' => depth -= 1,
                '"' => {
                    let mut end = 0;
                    let bytes = rest.as_bytes();
                    while bytes[end] != b'"' {
                        end += if bytes[end] == b'\\' { 2 } else { 1 };
                    }
                    let word = &rest[..end];
                    rest = &rest[end + 1..];
                    if depth == 1 && rest.starts_with(':') {
                        names.push(word.to_owned());
                    }
                }
                _ => {}
            }
        }
        names
    }
}

/// A running service. Killed when dropped.
pub struct Service {
    child: Option<Child>,
    pub address: SocketAddr,
    data: PathBuf,
    apps: Vec<App>,
    errors: Arc<Mutex<String>>,
    log_reader: Option<std::thread::JoinHandle<()>>,
    /// The other node behind the same address, where tests run with two.
    second: Option<Box<Service>>,
    _dir: Option<tempfile::TempDir>,
}

/// Runs a command of the binary over a data directory.
pub fn rollcall(args: &[&str], data: &Path) -> std::process::Output {
    let binary = env!("CARGO_BIN_EXE_rollcall");
    Command::new(binary)
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .env("ROLLCALL_LOG", "warn")
        .envs(in_database(data))
        .output()
        .unwrap()
}

/// A data directory, its log and read models where this run of the tests has them.
pub fn place(dir: &Path) -> Place {
    let settings = in_database(dir);
    let database = |named: &str| {
        settings.iter().find(|(name, _)| *name == named).map(|(_, address)| address.parse::<Database>().unwrap())
    };
    let cell = settings.iter().find(|(name, _)| *name == ROOT_CELL).map(|(_, cell)| places::root_cell(cell).unwrap());
    let keys = KeyOptions { database: database(VAULT), cell: cell.unwrap_or_default(), ..KeyOptions::default() };
    Place { dir: dir.to_owned(), keys, log: LogPlace::of(None, database(DATABASE)).unwrap() }
}

/// Names the server that holds log and read models of every service a test starts, if they are not in files.
pub const SERVER: &str = "ROLLCALL_TEST_SERVER";
/// Whether every service a test starts is two nodes behind a proxy; their roots are in the Vault that the environment
/// names.
pub const TWO_NODES: &str = "ROLLCALL_TEST_TWO_NODES";

const DATABASE: &str = "ROLLCALL_DATABASE";
const VAULT: &str = "ROLLCALL_VAULT_DATABASE";
const ROOT_CELL: &str = "ROLLCALL_ROOT_CELL";

fn two_nodes() -> bool {
    std::env::var_os(TWO_NODES).is_some()
}

/// The databases that this process has made.
static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The settings that name databases of this data directory's own, where tests run on a server.
fn in_database(data: &Path) -> Vec<(&'static str, String)> {
    let Ok(server) = std::env::var(SERVER) else { return vec![] };
    let name = data.to_str().unwrap().trim_end_matches(SECOND);
    let name = hex::encode(&digest(&aws_lc_rs::digest::SHA256, name.as_bytes()).as_ref()[..12]);
    let database = |kind: &str| {
        let name = format!("{kind}{name}");
        if MADE.lock().unwrap().insert(name.clone()) {
            // There already, where another process of the tests has made it.
            let _ = Command::new("createdb").args(["-h", &server, "-U", "rollcall", &name]).output().unwrap();
        }
        format!("host={server} user=rollcall dbname={name}")
    };
    let mut settings = vec![(DATABASE, database("d"))];
    if two_nodes() {
        settings.extend([(VAULT, database("v")), (ROOT_CELL, format!("transit:{name}"))]);
    }
    settings
}

/// Suffix of the second node's data directory.
const SECOND: &str = "-second";

/// Forwards each connection to the next of these nodes in turn, or to the other one where that is gone.
fn proxy(nodes: [SocketAddr; 2]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, caller) in listener.incoming().map_while(Result::ok).enumerate() {
            let order = [nodes[number % 2], nodes[(number + 1) % 2]];
            let Some(node) = order.iter().find_map(|node| TcpStream::connect(node).ok()) else { continue };
            for (mut from, mut to) in
                [(caller.try_clone().unwrap(), node.try_clone().unwrap()), (node.try_clone().unwrap(), caller)]
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    address
}

impl Service {
    pub fn start(apps: &[App]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut service = Self::start_in(&dir.path().join("data"), apps);
        service._dir = Some(dir);
        service
    }

    pub fn start_in(data: &Path, apps: &[App]) -> Self {
        Self::try_start(data, apps, &[]).unwrap_or_else(|errors| panic!("the service did not start: {errors}"))
    }

    /// Starts it, or returns what it said instead. `wrapper` is a command line it is started through.
    pub fn try_start(data: &Path, apps: &[App], wrapper: &[&str]) -> Result<Self, String> {
        Self::launch(data, apps, wrapper, &[])
    }

    /// Starts it with more arguments, or returns what it said instead.
    pub fn try_start_with(data: &Path, apps: &[App], args: &[&str]) -> Result<Self, String> {
        Self::launch(data, apps, &[], args)
    }

    /// Starts it as this run of the tests wants it: as one process, or as two nodes.
    fn launch(data: &Path, apps: &[App], wrapper: &[&str], args: &[&str]) -> Result<Self, String> {
        let mut first = Self::launch_node(data, apps, wrapper, args)?;
        if two_nodes() {
            let beside = PathBuf::from(format!("{}{SECOND}", data.to_str().unwrap()));
            let second = Self::launch_node(&beside, apps, wrapper, args)?;
            first.address = proxy([first.address, second.address]);
            first.second = Some(Box::new(second));
        }
        Ok(first)
    }

    /// Starts one node.
    pub fn launch_node(data: &Path, apps: &[App], wrapper: &[&str], args: &[&str]) -> Result<Self, String> {
        let binary = env!("CARGO_BIN_EXE_rollcall");
        let mut command = match wrapper.split_first() {
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.arg("serve").arg("--data-dir").arg(data).args(args).envs(in_database(data));
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        apps.iter().for_each(|app| {
            command.args(["--app", &app.flag()]);
        });
        let mut child = command
            .env("ROLLCALL_LOG", "warn")
            // No proxy has to notice that it stops. A test with one sets the flag, which is stronger.
            .env("ROLLCALL_DRAIN_SECONDS", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().unwrap();
        let reader = std::thread::spawn({
            let errors = errors.clone();
            move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                    errors.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on ")?.split_once("://")?.1.parse().unwrap()));
        let Some(address) = ready else {
            let status = child.wait().unwrap();
            reader.join().unwrap();
            assert!(!status.success(), "it ended well without having served");
            return Err(errors.lock().unwrap().clone());
        };
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let (data, apps) = (data.to_owned(), apps.to_vec());
        let log_reader = Some(reader);
        Ok(Self { child: Some(child), address, data, apps, errors, log_reader, second: None, _dir: None })
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it wrote to its log so far.
    pub fn errors(&self) -> String {
        let of_second = self.second.as_ref().map(|second| second.errors()).unwrap_or_default();
        self.errors.lock().unwrap().clone() + &of_second
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.second.iter_mut().for_each(|second| second.kill());
    }

    /// Waits until it has ended by itself; answers how, and all it wrote to its log.
    pub fn ended(&mut self) -> (std::process::ExitStatus, String) {
        let mut child = self.child.take().unwrap();
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                child.kill().unwrap();
                panic!("it does not end: {}", self.errors());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        self.log_reader.take().unwrap().join().unwrap();
        (status, self.errors())
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success(), "{name}");
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) {
        if self.child.is_some() {
            self.signal("TERM");
            self.ended();
        }
        self.second.iter_mut().for_each(|second| second.stop());
    }

    /// Starts it again over the same data.
    pub fn restart(&mut self) {
        self.restart_through(&[]);
    }

    /// Starts it again over the same data, through this command line.
    pub fn restart_through(&mut self, wrapper: &[&str]) {
        self.kill();
        let again = Self::try_start(&self.data, &self.apps.clone(), wrapper);
        let again = again.unwrap_or_else(|errors| panic!("the service did not start: {errors}"));
        let dir = self._dir.take();
        *self = again;
        self._dir = dir;
    }

    /// Runs another command of the binary over the same data; it must be stopped.
    pub fn command(&self, args: &[&str]) -> std::process::Output {
        assert!(self.child.is_none(), "stop the service first");
        rollcall(args, &self.data)
    }

    /// A signed form.
    #[track_caller]
    pub fn post(&self, app: App, path: &str, form: &[(&str, &str)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(app, path, "application/x-www-form-urlencoded", body.as_bytes())
    }

    /// A signed JSON body.
    #[track_caller]
    pub fn post_json(&self, app: App, path: &str, body: &Value) -> Reply {
        self.send(app, path, "application/json", body.to_string().as_bytes())
    }

    /// A signed body of any kind.
    #[track_caller]
    pub fn send(&self, app: App, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let mut headers = app.headers();
        headers.push(("Content-Type".into(), content_type.into()));
        self.request("POST", path, &headers, body)
    }

    /// Registers a user with whoever is at this address, if anybody is; answers whether it was acknowledged.
    pub fn registers(address: SocketAddr, app: App, user: &str) -> bool {
        Self::registers_within(DEADLINE, address, app, user)
    }

    /// The same by a caller that gives up after a time without an answer.
    pub fn registers_within(limit: Duration, address: SocketAddr, app: App, user: &str) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, limit) else { return false };
        stream.set_read_timeout(Some(limit)).unwrap();
        let mut headers = app.headers();
        headers.push(("Content-Type".into(), "application/x-www-form-urlencoded".into()));
        let body =
            form_urlencoded::Serializer::new(String::new()).extend_pairs([("userId", user), ("name", user)]).finish();
        let head = head("POST", "/user/getToken.json", address, &headers, body.len());
        let mut answer = Vec::new();
        let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
        let _ = stream.read_to_end(&mut answer);
        parse(&answer).is_some_and(|reply| reply.status == 200)
    }

    /// Any request.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> Reply {
        let head = head(method, path, self.address, headers, body.len());
        let raw = self.raw(&[head.as_bytes(), body].concat());
        parse(&raw).unwrap_or_else(|| panic!("no answer to {method} {path}: {:?}", String::from_utf8_lossy(&raw)))
    }

    /// Sends bytes as they are and reads until the service closes the connection.
    #[track_caller]
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // A service that refuses early may close before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// Registers users.
    #[track_caller]
    pub fn register(&self, app: App, user_ids: &[&str]) {
        for user_id in user_ids {
            let name = format!("Name of {user_id}");
            self.post(app, "/user/getToken.json", &[("userId", user_id), ("name", &name)]).ok();
        }
    }

    /// Waits until a question is answered as expected.
    #[track_caller]
    pub fn eventually(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(Instant::now() < until, "never: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Asked before it is killed: whether it had ended by itself is the first thing to know about a failure.
        let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        self.kill();
        if std::thread::panicking() {
            let ended = ended.map_or("it ran until the test failed".to_owned(), |how| format!("it had ended: {how}"));
            eprintln!("--- {ended}; what the service said:\n{}", self.errors());
        }
    }
}

/// The head of a request that ends its connection.
fn head(method: &str, path: &str, address: SocketAddr, headers: &[(String, String)], length: usize) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head + &format!("Content-Length: {length}\r\n\r\n")
}

/// An answer that ends with its connection.
pub fn parse(raw: &[u8]) -> Option<Reply> {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.into(), v.trim().into())).collect();
    let mut body = raw[end + 4..].to_vec();
    let reply = Reply { status, headers, text: String::new() };
    if reply.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        body = unchunk(&body)?;
    }
    // A ZIP is no text, and nobody reads it as one.
    Some(Reply { text: String::from_utf8_lossy(&body).into_owned(), ..reply })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        rest = &rest[line + 2..];
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}
