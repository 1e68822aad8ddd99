//! Stands between a node and its database server, and can fall silent: connections stay open, and nothing passes any more.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A relay in front of a server's socket.
pub struct Relay {
    directory: tempfile::TempDir,
    silent: Arc<AtomicBool>,
}

/// One connection.
struct Passed {
    /// Whether the relay is silent now.
    silent: Arc<AtomicBool>,
    /// Whether it falls silent with the relay: once the node has sent a certain text on it.
    concerned: AtomicBool,
    /// Bytes of it were dropped, so that nothing more can be passed on.
    swallows: AtomicBool,
}

impl Relay {
    /// Starts a relay in front of the server with this socket. When it falls silent, that holds for the connections on which
    /// the node has sent `text` before; for all of them if `text` is empty.
    pub fn start(server: String, text: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let silent = Arc::new(AtomicBool::new(false));
        std::thread::spawn({
            let silent = silent.clone();
            move || {
                for node in listener.incoming().map_while(Result::ok) {
                    let Ok(server) = UnixStream::connect(&server) else { return };
                    let concerned = AtomicBool::new(text.is_empty());
                    let swallows = AtomicBool::new(false);
                    let passed = Arc::new(Passed { silent: silent.clone(), concerned, swallows });
                    for (from, to, text) in [(&node, &server, text), (&server, &node, "")] {
                        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                        let passed = passed.clone();
                        std::thread::spawn(move || pass_on(from, to, text, &passed));
                    }
                }
            }
        });
        Self { directory, silent }
    }

    /// The address of a database behind it.
    pub fn address(&self, database: &str) -> String {
        format!("host={} user=rollcall dbname={database}", self.directory.path().display())
    }

    /// Drops everything that is sent from now on. A connection on which something was dropped stays silent for good.
    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Passes on what is sent on new connections, and on those on which nothing was dropped.
    pub fn speak(&self) {
        self.silent.store(false, Ordering::SeqCst);
    }
}

fn pass_on(mut from: UnixStream, mut to: UnixStream, text: &str, passed: &Passed) {
    let mut buffer = [0; 16_384];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        let said = &buffer[..read];
        if !text.is_empty() && said.windows(text.len()).any(|part| part == text.as_bytes()) {
            passed.concerned.store(true, Ordering::SeqCst);
        }
        if passed.silent.load(Ordering::SeqCst) && passed.concerned.load(Ordering::SeqCst) {
            passed.swallows.store(true, Ordering::SeqCst);
        }
        if !passed.swallows.load(Ordering::SeqCst) && to.write_all(said).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
