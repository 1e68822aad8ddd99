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
use futures_util::future::BoxFuture;
use rollcall_projections::store::prepare_connection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use rollcall_projections::store::describe;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long whoever needs a pooled connection waits for a free one.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// After how long without an acknowledgement the other side counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Who is told what notifications say.
pub type Heard = Box<dyn Fn(&str) + Send + Sync>;

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

/// Tables, and how they came to be what they are.
pub struct Tables {
    /// Whose tables, in a word.
    pub what: &'static str,
    /// The table that says which migrations were applied.
    pub history: &'static str,
    /// Brings them to their newest version.
    pub migrations: fn() -> refinery::Runner,
    /// The task of `rollcall database` that makes them.
    pub command: &'static str,
}

/// How often it is tried to make tables while other nodes do so.
const MIGRATIONS_MAX: usize = 20;

impl Tables {
    fn newest(&self) -> i32 {
        i32::try_from((self.migrations)().get_migrations().len()).unwrap_or(i32::MAX)
    }

    async fn version(&self, client: &Client) -> Result<i32, Error> {
        let there = "select to_regclass($1) is not null";
        if !client.query_typed_one(there, &[(&self.history, Type::TEXT)]).await?.try_get::<_, bool>(0)? {
            return Ok(0);
        }
        let version = format!("select coalesce(max(version), 0) from {}", self.history);
        Ok(client.query_typed_one(&version, &[]).await?.try_get(0)?)
    }

    /// Whether they are of the newest version.
    ///
    /// # Errors
    /// They are of a newer one, or the server is unavailable.
    pub async fn are_current(&self, client: &Client) -> Result<bool, Error> {
        let (found, known) = (self.version(client).await?, self.newest());
        if found > known {
            return Err(Error::Newer { what: self.what, found, known });
        }
        Ok(found == known)
    }

    /// Brings them to the newest version; where they are, that needs no right to make any.
    ///
    /// # Errors
    /// They are of a newer one, they may not be made, or the server is unavailable.
    pub async fn prepare(&self, client: &mut Client) -> Result<(), Error> {
        let mut reason = String::new();
        for _ in 0..MIGRATIONS_MAX {
            if self.are_current(client).await? {
                return Ok(());
            }
            let run = (self.migrations)().set_migration_table_name(self.history).run_async(client).await;
            let Err(error) = run else { return Ok(()) };
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            reason = format!("{error}{cause}");
            // Another node may be doing it at the same time.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Error::Unmade { what: self.what, reason, command: self.command })
    }
}

/// The address of a database: `postgres://user:password@host:port/name`, or `key=value` pairs. `sslmode` is `disable`,
/// `prefer` or `require`; with `require` the server's certificate must be valid under `sslrootcert` (a PEM file), or
/// under the machine's own roots.
#[derive(Clone)]
pub struct Database {
    config: Config,
    tls: MakeRustlsConnect,
}

/// Opens connections that live on one runtime, whoever asks for them: a worker's own runtime ends with the worker, and a
/// connection on it with it.
struct OnOneRuntime {
    runtime: Handle,
    tls: MakeRustlsConnect,
}

impl Connect for OnOneRuntime {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (config, tls, runtime) = (config.clone(), self.tls.clone(), self.runtime.clone());
        Box::pin(async move {
            let connecting = runtime.spawn({
                let (config, tls) = (config.clone(), tls.clone());
                async move { config.connect(tls).await }
            });
            let (client, connection) = match connecting.await {
                Ok(connected) => connected?,
                // That runtime has ended: this one will do for as long as it lasts.
                Err(_) => config.connect(tls).await?,
            };
            let driven = runtime.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = describe(&error), "a connection to the database ended");
                }
            });
            Ok((client, driven))
        })
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
        let (address, roots) = without_roots(address);
        let mut config: Config = address.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::Address(cause)
        })?;
        if config.get_application_name().is_none() {
            config.application_name("rollcall");
        }
        config.connect_timeout(CONNECT_MAX).keepalives_idle(SILENCE_MAX).tcp_user_timeout(SILENCE_MAX);
        Ok(Self { config, tls: tls(roots.as_deref())? })
    }
}

/// The address without `sslrootcert`, which the driver does not know, and that file.
fn without_roots(address: &str) -> (String, Option<String>) {
    let mut roots = None;
    let mut keep = |pair: &&str| match pair.strip_prefix("sslrootcert=") {
        Some(path) => {
            roots = Some(path.to_owned());
            false
        }
        None => true,
    };
    let kept = match address.split_once('?') {
        Some((base, query)) => {
            let kept: Vec<_> = query.split('&').filter(&mut keep).collect();
            if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
        }
        None => address.split(' ').filter(&mut keep).collect::<Vec<_>>().join(" "),
    };
    (kept, roots)
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
    /// Opens a connection of its own. `heard` is told what every notification says.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub async fn connect(&self, heard: Option<Heard>) -> Result<Client, Error> {
        let connecting = tokio::time::timeout(CONNECT_MAX, self.config.connect(self.tls.clone()));
        let (client, mut connection) =
            connecting.await.map_err(|_| Error::Refused("the database does not answer".into()))??;
        tokio::spawn(async move {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notification(said)) => heard.iter().for_each(|heard| heard(said.payload())),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(error = describe(&error), "a connection to the database ended");
                        return;
                    }
                }
            }
        });
        Ok(client)
    }

    /// Opens a connection for a task of the command line, which has nothing else to do while it waits.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub fn connect_blocking(&self) -> Result<postgres::Client, Error> {
        Ok(postgres::Config::from(self.config.clone()).connect(self.tls.clone())?)
    }

    /// A pool of at most `size` connections, opened when they are needed, on the runtime this is called on.
    ///
    /// # Errors
    /// The pool cannot be made.
    pub fn pool(&self, size: usize) -> Result<Pool, Error> {
        let prepare = Hook::async_fn(|client, _| {
            Box::pin(async move { prepare_connection(client).await.map_err(HookError::Backend) })
        });
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let connect = OnOneRuntime { runtime: Handle::current(), tls: self.tls.clone() };
        let manager = Manager::from_connect(self.config.clone(), connect, recycling);
        Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT_MAX))
            .create_timeout(Some(CONNECT_MAX))
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
    fn an_address_may_name_the_certificates_it_trusts() {
        let found = |address| without_roots(address).1;
        assert_eq!(found("postgres://a@b/c?sslmode=require&sslrootcert=/x.pem").unwrap(), "/x.pem");
        assert_eq!(found("host=b sslrootcert=/x.pem user=a").unwrap(), "/x.pem");
        assert_eq!(without_roots("postgres://a@b/c?sslrootcert=/x.pem").0, "postgres://a@b/c");
        assert_eq!(without_roots("postgres://a@b/c?sslmode=disable").0, "postgres://a@b/c?sslmode=disable");
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
