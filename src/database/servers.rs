//! Connecting to one of the servers of an address.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use super::address::{SERVER_MAX, Server};

/// The servers of an address, and which of them is tried first.
pub(super) struct Servers {
    all: Vec<Server>,
    first: AtomicUsize,
}

/// What has to be polled for a client to be answered.
pub(super) type Opened = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Why none of them can be used.
pub(super) struct Refused {
    pub(super) reason: String,
    /// What the last one that answered at all said.
    pub(super) said: Option<tokio_postgres::Error>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.reason)
    }
}

impl Servers {
    pub(super) fn new(all: Vec<Server>) -> Self {
        Self { all, first: AtomicUsize::new(0) }
    }

    pub(super) fn all(&self) -> &[Server] {
        &self.all
    }

    /// How long it takes at most to try all of them.
    pub(super) fn connect_max(&self) -> std::time::Duration {
        SERVER_MAX * u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// Connects to the first that takes the connection, beginning with the one that did last time. One that does not
    /// answer is not the first to be tried next time, also where nobody waited for the end of this call.
    pub(super) async fn connect(&self, tls: &MakeRustlsConnect) -> Result<(&Server, Client, Opened), Refused> {
        let (count, first) = (self.all.len().max(1), self.first.load(Ordering::Relaxed));
        let mut refused = Refused { reason: "the address names no server".into(), said: None };
        for index in (0..count).map(|more| (first + more) % count) {
            let Some(server) = self.all.get(index) else { continue };
            let mut trying = Trying { servers: self, index, is_answered: false };
            match timeout(SERVER_MAX, server.config.connect(tls.clone())).await {
                Ok(Ok((client, connection))) => {
                    trying.is_answered = true;
                    self.first.store(index, Ordering::Relaxed);
                    return Ok((server, client, connection));
                }
                Ok(Err(error)) => {
                    trying.is_answered = true;
                    refused = Refused { reason: server.explain(&error), said: Some(error) };
                }
                Err(_) => refused.reason = server.silent(),
            }
        }
        Err(refused)
    }
}

/// A server that is being connected to. One that has not answered when this is dropped is not the first to be tried any more.
struct Trying<'s> {
    servers: &'s Servers,
    index: usize,
    is_answered: bool,
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            let (first, next) = (&self.servers.first, (self.index + 1) % self.servers.all.len().max(1));
            // Another one may have found a better one meanwhile.
            let _ = first.compare_exchange(self.index, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
