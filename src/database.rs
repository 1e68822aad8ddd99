//! A `PostgreSQL` server, as its address names it: connections, pools and TLS.
//!
//! No statement is ever prepared by name and no setting outlives a transaction, so a `PgBouncer` in transaction mode may
//! stand between; through one, notifications do not arrive, and whoever listens polls as well.

use std::fmt;
use std::future::poll_fn;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Connect, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rollcall_projections::store::prepare_connection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

pub use rollcall_projections::store::describe;

mod address;
mod probe;
mod role;
mod servers;
mod tables;

use crate::tasks;
use address::Address;
use servers::{Connected, Servers};
pub use tables::Tables;

/// How long a pooled connection may take to be made ready once it is open.
const PREPARE_MAX: Duration = Duration::from_secs(3);
/// How long whoever needs a pooled connection waits for a free one.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What a server says without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked<'m> {
    /// The text of a notification.
    Notification(&'m str),
    /// What it was told to do is done, but not as it should be.
    Warning,
}

/// Who is told what a server says without being asked.
pub type Heard = Box<dyn Fn(Unasked<'_>) + Send + Sync>;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("the database address is not understood: {0}; it looks like postgres://user:password@host:5432/name")]
    Address(String),
    /// The certificates cannot be read.
    #[error("sslrootcert {path} cannot be used: {reason}")]
    Certificates {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The server does not answer, or refuses.
    #[error("{0}")]
    Refused(String),
    /// The tables are of a version that this program does not know.
    #[error("the tables of the {what} are of version {found}, and this program knows {known}: use a newer one")]
    Newer {
        /// Of what.
        what: &'static str,
        /// Their version.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// The tables cannot be made.
    #[error(
        "the tables of the {what} cannot be made: {reason}; let a role that may make them run `rollcall database {command}`"
    )]
    Unmade {
        /// Of what.
        what: &'static str,
        /// Why.
        reason: String,
        /// Who owns the database runs this.
        command: &'static str,
    },
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Refused(describe(&error))
    }
}

/// The address of a database: `postgres://user:password@host:port/name`, or `key=value` pairs.
///
/// `sslmode` is `disable`, `prefer` or `verify-full` (`require` and `verify-ca` mean the same): then the server's
/// certificate must be valid, under `sslrootcert` (a PEM file) or under the machine's own roots. Without one it is
/// `verify-full` for every server that is not on this host, and `prefer` for one that is.
///
/// It may name several servers, of which the one that takes writes is used. `connect_timeout` (seconds, 3) is how long one
/// may take to open a connection, log-in included, `silence_timeout` (seconds, 3) how long one may leave a probe without
/// an answer before its connections are closed.
#[derive(Clone)]
pub struct Database {
    config: Config,
    servers: Arc<Servers>,
    silence_max: Duration,
    tls: MakeRustlsConnect,
}

/// Opens connections that live on one runtime, whoever asks for them: a worker's own runtime ends with the worker, and a
/// connection on it with it.
struct OnOneRuntime {
    runtime: Handle,
    database: Database,
}

impl Connect for OnOneRuntime {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (database, runtime) = (self.database.clone(), self.runtime.clone());
        Box::pin(async move {
            let mut primary = database.servers.watch_primary();
            let opened = loop {
                let opening = tasks::spawn_on(&runtime, {
                    let database = database.clone();
                    async move { database.open().await }
                });
                let opened = match opening.await {
                    Ok(opened) => opened,
                    // That runtime has ended: this one will do for as long as it lasts.
                    Err(_) => database.open().await,
                };
                match opened {
                    Ok(opened) => break opened,
                    Err(servers::Refused { said: Some(error), .. }) => return Err(error),
                    // No server has answered, and the driver has no error that says so: the pool ends this wait, unless a
                    // primary is found before.
                    Err(_) => drop(servers::found(&mut primary).await),
                }
            };
            let Connected { client, connection, left, .. } = opened;
            Ok((client, runtime.spawn(drive(connection, left, None).boxed())))
        })
    }
}

/// Carries what is said on a connection, until it ends or its server is left.
async fn drive(mut connection: servers::Opened, left: CancellationToken, heard: Option<Heard>) {
    let say = |unasked: Unasked<'_>| heard.iter().for_each(|heard| heard(unasked));
    let carried = async {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message? {
                AsyncMessage::Notification(said) => say(Unasked::Notification(said.payload())),
                AsyncMessage::Notice(said) if said.parsed_severity() == Some(Severity::Warning) => {
                    say(Unasked::Warning);
                }
                _ => {}
            }
        }
        Ok::<_, tokio_postgres::Error>(())
    };
    tokio::select! {
        ended = carried => {
            if let Err(error) = ended {
                tracing::debug!(error = describe(&error), "a connection to the database ended");
            }
        }
        () = left.cancelled() => tracing::debug!("a connection to a server that is left was closed"),
    }
}

/// The same address; whom it trusts does not matter.
impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        write!(f, "{:?}/{}", self.config.get_hosts(), self.config.get_dbname().unwrap_or_default())
    }
}

impl FromStr for Database {
    type Err = Error;

    fn from_str(address: &str) -> Result<Self, Error> {
        let address = Address::parse(address)?;
        let (servers, silence_max) = (Arc::new(Servers::new(address.servers())), address.silence_max);
        Ok(Self { servers, silence_max, tls: tls(address.roots.as_deref())?, config: address.config })
    }
}

fn tls(roots: Option<&str>) -> Result<MakeRustlsConnect, Error> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let failed = |reason: String| Error::Certificates { path: path.into(), reason };
            let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| failed(error.to_string()))?;
            let (added, _) = store.add_parsable_certificates(certificates);
            if added == 0 {
                return Err(failed("it holds no certificate".into()));
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Address(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

impl Database {
    async fn open(&self) -> Result<Connected, servers::Refused> {
        // On the heap: it is seldom done, and what it holds is large.
        Box::pin(self.servers.connect(&self.tls)).await
    }

    /// Probes the servers until dropped: connections to one that hangs, or that is not the primary any more, are closed, and
    /// the next primary is found within a moment. To be run once for an address, by a process that stays; what was cloned
    /// of it shares what is found.
    pub async fn probe(self) {
        probe::run(self.servers, self.tls, self.silence_max).await;
    }

    /// Whether the address names several servers.
    #[must_use]
    pub fn has_several_servers(&self) -> bool {
        self.servers.all().len() > 1
    }

    /// What somebody on the way to a server could read or change, one sentence each; empty where nobody could.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<String> {
        self.servers.all().iter().filter_map(address::Server::weakness).collect()
    }

    /// Opens a connection of its own. `heard` is told what the server says without being asked, before whoever waits for
    /// an answer that comes behind it.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub async fn connect(&self, heard: Option<Heard>) -> Result<Client, Error> {
        let Connected { client, connection, left, .. } = self.open().await?;
        tasks::spawn(drive(connection, left, heard));
        Ok(client)
    }

    /// Opens a connection for a task of the command line, which has nothing else to do while it waits.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub fn connect_blocking(&self) -> Result<postgres::Client, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Refused(format!("it cannot be waited for: {error}")))?;
        // The blocking client waits for a handshake without end: so only a server is asked that has just answered.
        let index = runtime.block_on(self.open())?.index;
        let server =
            self.servers.all().get(index).ok_or_else(|| Error::Refused("the address names no server".into()))?;
        Ok(postgres::Config::from(server.config.clone()).connect(self.tls.clone())?)
    }

    /// A pool of at most `size` connections, opened when they are needed, on the runtime this is called on.
    ///
    /// # Errors
    /// The pool cannot be made.
    pub fn pool(&self, size: usize) -> Result<Pool, Error> {
        let prepare = Hook::async_fn(|client, _| {
            Box::pin(async move {
                let prepared = tokio::time::timeout(PREPARE_MAX, prepare_connection(client)).await;
                prepared.map_err(|_| HookError::message("the database does not answer"))?.map_err(HookError::Backend)
            })
        });
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let connect = OnOneRuntime { runtime: Handle::current(), database: self.clone() };
        let manager = Manager::from_connect(self.config.clone(), connect, recycling);
        Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT_MAX))
            .create_timeout(Some(self.servers.connect_max() + PREPARE_MAX))
            .runtime(Runtime::Tokio1)
            .post_create(prepare)
            .build()
            .map_err(|error| Error::Refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn certificates_that_cannot_be_read_are_told() {
        let missing = Database::from_str("postgres://a@b/c?sslrootcert=/nothing/there.pem").unwrap_err();
        assert!(missing.to_string().starts_with("sslrootcert /nothing/there.pem cannot be used"), "{missing}");
    }

    #[test]
    fn what_is_no_address_is_told_and_a_password_is_never_shown() {
        assert!(matches!(Database::from_str("postgres://a@b/c?frobnicate=1"), Err(Error::Address(_))));
        let shown = format!("{:?}", Database::from_str("postgres://ada:geheim@example.org/rollcall").unwrap());
        assert!(shown.contains("example.org") && !shown.contains("geheim"), "{shown}");
    }
}
