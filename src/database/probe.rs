//! Probing the servers of an address, so that nobody waits for one that hangs and a new primary is found at once.
//!
//! A server whose processes are stopped, or a network that lost the open connections, ends none of them: each statement
//! would wait for its own deadline, which has to be long enough for a busy disk. A probe is answered within milliseconds
//! by every server that lives. Where one gets no answer, all connections to its server are closed, and whoever waits on
//! one of them goes on at once: with another server, or with an error.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::role::Role;
use super::servers::{self, Servers};

/// How often a server is asked.
const EVERY: Duration = Duration::from_millis(500);
/// In how many parts the silence is counted: a process that was itself stopped counts one of them as passed, not all.
const PARTS: u32 = 6;

/// Probes every server until dropped.
pub(super) async fn run(servers: Arc<Servers>, tls: MakeRustlsConnect, silence_max: Duration) {
    let probes = (0..servers.all().len()).map(|index| {
        let probe = Probe { servers: &servers, index, tls: &tls, silence_max, said: None };
        probe.run()
    });
    join_all(probes).await;
}

/// The probe of one server.
struct Probe<'s> {
    servers: &'s Servers,
    index: usize,
    tls: &'s MakeRustlsConnect,
    silence_max: Duration,
    /// Why the server is not used, as it was last said in the log.
    said: Option<String>,
}

impl Probe<'_> {
    async fn run(mut self) {
        loop {
            self.connection().await;
            sleep(EVERY).await;
        }
    }

    /// Opens a connection and asks on it until it ends or falls silent.
    async fn connection(&mut self) {
        let Some(server) = self.servers.all().get(self.index) else { return std::future::pending().await };
        let config = server.probed();
        let (client, connection, role) = match timeout(server.connect_max, servers::open(&config, self.tls)).await {
            Ok(Ok(opened)) => opened,
            // It is stopped or starts: the connections to it have ended with it.
            Ok(Err(error)) => return tracing::debug!(error = super::describe(&error), "a server refuses its probe"),
            Err(_) => return self.leave(server.silent()),
        };
        self.learn(role);
        let mut connection = pin!(connection);
        loop {
            tokio::select! {
                () = sleep(EVERY) => {}
                _ = &mut connection => return,
            }
            let role = tokio::select! {
                role = patiently(self.silence_max, Role::of(&client)) => role,
                _ = &mut connection => return,
            };
            match role {
                Some(Ok(role)) => self.learn(role),
                Some(Err(_)) => return,
                None => return self.leave(server.silent()),
            }
        }
    }

    fn learn(&mut self, role: Role) {
        match self.servers.learn(self.index, role) {
            Ok(()) => self.said = None,
            Err(reason) => self.say(reason),
        }
    }

    fn leave(&mut self, reason: String) {
        self.servers.leave(self.index);
        self.say(reason);
    }

    /// Once for each reason.
    fn say(&mut self, reason: String) {
        if self.said.as_ref() != Some(&reason) {
            tracing::warn!("{reason}; its connections are closed");
            self.said = Some(reason);
        }
    }
}

/// What is asked, if it is answered in time.
async fn patiently<T>(max: Duration, asked: impl Future<Output = T>) -> Option<T> {
    let mut asked = pin!(asked);
    for _ in 0..PARTS {
        if let Ok(answer) = timeout(max / PARTS, &mut asked).await {
            return Some(answer);
        }
    }
    None
}
