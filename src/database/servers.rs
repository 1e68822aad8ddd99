//! Connecting to the server of an address that takes writes, and leaving one that fell silent or was replaced.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::address::Server;
use super::role::Role;

/// What has to be polled for a client to be answered.
pub(super) type Opened = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// The servers of an address, and what is known of them.
pub(super) struct Servers {
    all: Vec<Server>,
    /// Which of them is tried first.
    first: AtomicUsize,
    open: Mutex<Open>,
    /// Which server takes writes, where the probes have found one.
    primary: watch::Sender<Option<usize>>,
    surveyed: OnceCell<()>,
}

/// The connections that are open. A newer timeline and the end of what was open before it come together: whoever sees the
/// one finds the other done.
struct Open {
    /// The newest timeline of a server that took writes; 0: none was seen. A promotion begins a new one, so that a server
    /// on an older one was the primary before.
    newest: u32,
    /// For each server: ends the connections that are open to it.
    connections: Vec<CancellationToken>,
}

impl Open {
    fn close(&mut self, index: usize) {
        if let Some(token) = self.connections.get_mut(index) {
            std::mem::take(token).cancel();
        }
    }

    /// What ends the connections that are opened to a server from now on.
    fn left(&self, index: usize) -> CancellationToken {
        self.connections.get(index).cloned().unwrap_or_default()
    }
}

/// A connection that was opened.
pub(super) struct Connected {
    /// Which server of the address it leads to.
    pub(super) index: usize,
    pub(super) client: Client,
    pub(super) connection: Opened,
    /// Told when the server is left: the connection must be dropped then.
    pub(super) left: CancellationToken,
}

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

/// Opens a connection and asks what its server is.
pub(super) async fn open(
    config: &Config,
    tls: &MakeRustlsConnect,
) -> Result<(Client, Opened, Role), tokio_postgres::Error> {
    // On the heap: what it holds is large.
    let (client, mut connection) = Box::pin(config.connect(tls.clone())).await?;
    let role = tokio::select! {
        biased;
        role = Role::of(&client) => role,
        // It has ended: the question is answered by that.
        ended = &mut connection => {
            ended?;
            Role::of(&client).await
        }
    }?;
    Ok((client, connection, role))
}

impl Servers {
    pub(super) fn new(all: Vec<Server>) -> Self {
        let connections = all.iter().map(|_| CancellationToken::new()).collect();
        let open = Mutex::new(Open { newest: 0, connections });
        Self { all, first: AtomicUsize::new(0), open, primary: watch::Sender::new(None), surveyed: OnceCell::new() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self, index: usize) -> CancellationToken {
        self.open().left(index)
    }

    pub(super) fn all(&self) -> &[Server] {
        &self.all
    }

    /// How long it takes at most to try all of them.
    pub(super) fn connect_max(&self) -> Duration {
        self.all.iter().map(|server| server.connect_max).sum()
    }

    /// Connects to the first that takes the connection, beginning with the primary. One that does not answer is not the
    /// first to be tried next time, also where nobody waited for the end of this call. Where the probes find the primary
    /// meanwhile, it is tried at once.
    pub(super) async fn connect(&self, tls: &MakeRustlsConnect) -> Result<Connected, Refused> {
        if self.all.len() > 1 {
            self.surveyed.get_or_init(|| self.survey(tls)).await;
        }
        let mut primary = self.watch_primary();
        loop {
            tokio::select! {
                biased;
                connected = self.connect_in_turn(tls) => match connected {
                    // A promotion was seen while it was opened, and it cannot tell whether it leads to the new primary.
                    Ok(connected) if connected.left.is_cancelled() => {}
                    connected => return connected,
                },
                // Whichever was being tried at that moment.
                index = found(&mut primary) => self.first.store(index, Ordering::Release),
            }
        }
    }

    /// What the probes find from now on: see [`found`].
    pub(super) fn watch_primary(&self) -> watch::Receiver<Option<usize>> {
        self.primary.subscribe()
    }

    /// Asks all servers at once, before the first connection: one that was the primary before may still take writes.
    async fn survey(&self, tls: &MakeRustlsConnect) {
        let roles = join_all(self.all.iter().map(async |server| {
            let opened = timeout(server.connect_max, open(&server.probed(), tls)).await;
            opened.ok()?.ok().map(|(.., role)| role)
        }));
        for (index, role) in roles.await.into_iter().enumerate() {
            let timeline = role.filter(|role| role.takes_writes).and_then(|role| role.timeline).unwrap_or_default();
            let mut open = self.open();
            if open.newest < timeline {
                open.newest = timeline;
                self.first.store(index, Ordering::Release);
            }
        }
    }

    async fn connect_in_turn(&self, tls: &MakeRustlsConnect) -> Result<Connected, Refused> {
        let (count, first) = (self.all.len().max(1), self.first.load(Ordering::Acquire));
        let mut refused = Refused { reason: "the address names no server".into(), said: None };
        for index in (0..count).map(|more| (first + more) % count) {
            let Some(server) = self.all.get(index) else { continue };
            let mut trying = Trying { servers: self, index, is_answered: false };
            let left = self.left(index);
            match timeout(server.connect_max, open(&server.config, tls)).await {
                Ok(Ok((client, connection, role))) => {
                    trying.is_answered = true;
                    match self.admit(index, role) {
                        Ok(of_timeline) => {
                            let left = of_timeline.unwrap_or(left);
                            return Ok(Connected { index, client, connection, left });
                        }
                        Err(reason) => refused.reason = reason,
                    }
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

    /// Whether a server may be used; the reason where it was the primary before. Where it was promoted since the last
    /// call, every connection that was opened before is ended: it may lead to the primary before, also through the same
    /// name. One that answered with the newest timeline does not, whoever saw that timeline first: for it, what is
    /// returned is what ends it.
    fn admit(&self, index: usize, role: Role) -> Result<Option<CancellationToken>, String> {
        let Some(timeline) = role.timeline.filter(|_| role.takes_writes) else { return Ok(None) };
        let mut open = self.open();
        let newest = open.newest;
        if timeline < newest {
            let said = self.all.get(index).map(|server| server.former(timeline, newest));
            return Err(said.unwrap_or_default());
        }
        self.first.store(index, Ordering::Release);
        open.newest = timeline;
        if newest != 0 && timeline > newest {
            (0..self.all.len()).for_each(|index| open.close(index));
        }
        Ok(Some(open.left(index)))
    }

    /// Takes note of what a probe was told.
    pub(super) fn learn(&self, index: usize, role: Role) -> Result<(), String> {
        let admitted = self.admit_probed(index, role);
        if admitted.is_err() || !role.takes_writes && *self.primary.borrow() == Some(index) {
            self.leave(index);
        }
        admitted
    }

    fn admit_probed(&self, index: usize, role: Role) -> Result<(), String> {
        if !role.takes_writes {
            return Ok(());
        }
        // Two on the same timeline may be one server under two names: the one that is used stays.
        let before = *self.primary.borrow();
        if before.is_some_and(|primary| primary != index)
            && role.timeline.is_none_or(|timeline| timeline == self.open().newest)
        {
            return Ok(());
        }
        self.admit(index, role)?;
        self.primary.send_if_modified(|primary| primary.replace(index) != Some(index));
        Ok(())
    }

    /// Ends the connections to a server that cannot be used, so that nobody waits for an answer on one of them, and tries it
    /// last from now on. Answers whether it was the primary.
    pub(super) fn leave(&self, index: usize) -> bool {
        self.try_later(index);
        let was_primary = self.primary.send_if_modified(|primary| {
            let was_primary = *primary == Some(index);
            if was_primary {
                *primary = None;
            }
            was_primary
        });
        self.open().close(index);
        was_primary
    }

    fn try_later(&self, index: usize) {
        let next = (index + 1) % self.all.len().max(1);
        // Another one may have found a better one meanwhile.
        let _ = self.first.compare_exchange(index, next, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Waits until the probes find a primary that was not there when this was last asked.
pub(super) async fn found(primary: &mut watch::Receiver<Option<usize>>) -> usize {
    while primary.changed().await.is_ok() {
        if let Some(index) = *primary.borrow_and_update() {
            return index;
        }
    }
    std::future::pending().await
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
            self.servers.try_later(self.index);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::database::address::Address;

    fn servers() -> Servers {
        Servers::new(Address::parse("host=/a,/b user=u").unwrap().servers())
    }

    fn primary(timeline: u32) -> Role {
        Role { takes_writes: true, timeline: Some(timeline) }
    }

    const STANDBY: Role = Role { takes_writes: false, timeline: None };

    #[test]
    fn a_promotion_ends_the_connections_to_the_primary_before_which_is_refused_from_then_on() {
        let servers = servers();
        servers.learn(0, primary(1)).unwrap();
        servers.learn(1, STANDBY).unwrap();
        let (to_old, to_new) = (servers.left(0), servers.left(1));
        assert_eq!(*servers.primary.borrow(), Some(0));
        servers.learn(1, primary(2)).unwrap();
        assert!(to_old.is_cancelled() && to_new.is_cancelled());
        assert_eq!((*servers.primary.borrow(), servers.first.load(Ordering::SeqCst)), (Some(1), 1));
        let refused = servers.learn(0, primary(1)).unwrap_err();
        assert!(refused.contains("timeline 1") && refused.contains("timeline 2"), "{refused}");
        assert!(servers.admit(0, primary(1)).is_err());
        let to_new = servers.left(1);
        servers.learn(0, STANDBY).unwrap();
        servers.learn(1, primary(2)).unwrap();
        assert!(!to_new.is_cancelled());
    }

    #[test]
    fn a_connection_to_the_new_primary_stays_where_a_probe_saw_its_promotion_first() {
        let servers = servers();
        servers.learn(0, primary(1)).unwrap();
        servers.learn(1, primary(2)).unwrap();
        let left = servers.admit(1, primary(2)).unwrap().unwrap();
        assert!(!left.is_cancelled());
        servers.leave(1);
        assert!(left.is_cancelled());
    }

    #[test]
    fn a_server_under_two_names_is_used_under_one() {
        let servers = servers();
        servers.learn(1, primary(1)).unwrap();
        let open = servers.left(1);
        servers.learn(0, primary(1)).unwrap();
        assert_eq!(*servers.primary.borrow(), Some(1));
        assert!(!open.is_cancelled());
        assert!(servers.leave(1));
        servers.learn(0, primary(1)).unwrap();
        assert!(open.is_cancelled());
        assert_eq!(*servers.primary.borrow(), Some(0));
    }

    #[test]
    fn a_primary_that_takes_no_writes_any_more_is_left() {
        let servers = servers();
        servers.learn(0, primary(1)).unwrap();
        let open = servers.left(0);
        servers.learn(0, STANDBY).unwrap();
        assert!(open.is_cancelled());
        assert_eq!((*servers.primary.borrow(), servers.first.load(Ordering::SeqCst)), (None, 1));
    }
}
