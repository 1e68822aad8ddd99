//! Settings: from a TOML file, the environment and flags, each stronger than the one before.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rollcall_schemas::UnknownWord;
use serde::Deserialize;

pub use super::app_spec::AppSpec;
use super::secret_file;
use super::sockets::SocketArgs;
use crate::database::{self, Database};
use crate::http::Origin;
use crate::telemetry::Format;
use crate::wiring::CellSpec;
use crate::wiring::places::root_cell;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {path} is not valid: {reason}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What a configuration file may say; unknown words are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Address to listen on.
    pub listen: Option<SocketAddr>,
    /// Where the data is.
    pub data_dir: Option<PathBuf>,
    /// Apps to serve.
    #[serde(default)]
    pub apps: Vec<FileSpec>,
    /// A file that names more of them, one a line.
    pub apps_file: Option<PathBuf>,
    /// HTTP worker threads.
    pub workers: Option<usize>,
    /// How long a request may take to be answered.
    pub request_timeout_seconds: Option<u64>,
    /// How lines of the log are written.
    pub log_format: Option<FileFormat>,
    /// From when on a request is logged as slow.
    pub slow_request_seconds: Option<f64>,
    /// Where a copy of the signed checkpoint is kept.
    pub checkpoint_copy: Option<PathBuf>,
    /// Where the root of the keys lives.
    pub root_cell: Option<FileCell>,
    /// The database for log and read models.
    pub database: Option<FileDatabase>,
    /// A file that holds its address.
    pub database_file: Option<PathBuf>,
    /// The database for the keys.
    pub vault_database: Option<FileDatabase>,
    /// A file that holds its address.
    pub vault_database_file: Option<PathBuf>,
    /// The KurrentDB for the log.
    pub kurrentdb: Option<String>,
    /// A file that holds its address.
    pub kurrentdb_file: Option<PathBuf>,
    /// Whether it is ready while streams are parked.
    pub ready_with_parked: Option<bool>,
    /// Whether it may be on a file system where an overwritten root survives.
    pub allow_unsuitable_mount: Option<bool>,
    /// Whether the root may be in a HashiCorp Vault to which the connection is not protected.
    pub vault_insecure: Option<bool>,
    /// How often the keys are rotated; 0: never.
    pub rotate_keys_every_hours: Option<u32>,
    /// How many seconds it still answers, not ready, once it is asked to stop.
    pub drain_seconds: Option<f64>,
    /// WebSockets of clients on this node.
    pub client_connections: Option<usize>,
    /// Of one app.
    pub client_connections_per_app: Option<usize>,
    /// Of one user.
    pub client_connections_per_user: Option<usize>,
    /// From one address.
    pub client_connections_per_address: Option<usize>,
    /// How often a client is asked for a sign of life.
    pub client_heartbeat_seconds: Option<f64>,
    /// How long a client may take to say who it is.
    pub client_connect_seconds: Option<f64>,
    /// Requests of a client in a second.
    pub client_requests_per_second: Option<u32>,
    /// How long a node is believed to live that says nothing.
    pub presence_lease_seconds: Option<f64>,
    /// Proxies whose X-Forwarded-For is believed.
    #[serde(default)]
    pub trusted_proxy: Vec<FileNet>,
    /// The certificate to serve TLS with.
    pub tls_cert: Option<PathBuf>,
    /// Its private key.
    pub tls_key: Option<PathBuf>,
    /// Origins whose web pages may call the client face.
    #[serde(default)]
    pub cors_origin: Vec<FileOrigin>,
    /// Ranges of addresses that webhooks may be sent to although they are not on the public internet.
    #[serde(default)]
    pub webhook_allow: Vec<FileNet>,
    /// How long to wait after each attempt at a delivery that failed.
    #[serde(default)]
    pub webhook_waits: Vec<f64>,
    /// How long a receiver has for its whole answer.
    pub webhook_timeout_seconds: Option<f64>,
    /// How long nothing must be acknowledged until a webhook is recorded as failing.
    pub webhook_failing_after_seconds: Option<u32>,
    /// Users that are kept in memory to be searched.
    pub search_users_max: Option<usize>,
    /// How long nothing must be acknowledged until a webhook is disabled.
    pub webhook_disabled_after_hours: Option<u32>,
}

/// A database in a configuration file.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct FileDatabase(pub Database);

impl TryFrom<String> for FileDatabase {
    type Error = database::Error;
    fn try_from(address: String) -> Result<Self, database::Error> {
        address.parse().map(Self)
    }
}

/// A format of the log in a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct FileFormat(pub Format);

impl TryFrom<String> for FileFormat {
    type Error = UnknownWord;
    fn try_from(text: String) -> Result<Self, UnknownWord> {
        text.parse().map(Self)
    }
}

/// A root cell in a configuration file.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct FileCell(pub CellSpec);

impl TryFrom<String> for FileCell {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        root_cell(&text).map(Self)
    }
}

/// An origin in a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct FileOrigin(pub Origin);

impl TryFrom<String> for FileOrigin {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// A range of addresses in a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct FileNet(pub IpNet);

impl TryFrom<String> for FileNet {
    type Error = ipnet::AddrParseError;
    fn try_from(text: String) -> Result<Self, ipnet::AddrParseError> {
        text.parse().map(Self)
    }
}

/// An app in a configuration file.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct FileSpec(pub AppSpec);

impl TryFrom<String> for FileSpec {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl File {
    /// What it says of the clients' connections.
    pub(super) fn sockets(&self) -> SocketArgs {
        SocketArgs {
            client_connections: self.client_connections,
            client_connections_per_app: self.client_connections_per_app,
            client_connections_per_user: self.client_connections_per_user,
            client_connections_per_address: self.client_connections_per_address,
            client_heartbeat_seconds: self.client_heartbeat_seconds,
            client_connect_seconds: self.client_connect_seconds,
            client_requests_per_second: self.client_requests_per_second,
            presence_lease_seconds: self.presence_lease_seconds,
            trusted_proxies: self.trusted_proxy.iter().map(|FileNet(net)| *net).collect(),
        }
    }

    /// Takes the settings over that it says stand in other files.
    fn with_secret_files(mut self) -> Result<Self, String> {
        let database = |path: &str| secret_file::database(path).map(FileDatabase);
        from_file(&mut self.database, self.database_file.take(), "database", database)?;
        from_file(&mut self.vault_database, self.vault_database_file.take(), "vault_database", database)?;
        from_file(&mut self.kurrentdb, self.kurrentdb_file.take(), "kurrentdb", secret_file::kurrentdb)?;
        if let Some(path) = self.apps_file.take() {
            let secret_file::Apps(named) = secret_file::apps(&path.to_string_lossy())?;
            self.apps.extend(named.into_iter().map(FileSpec));
        }
        Ok(self)
    }
}

fn from_file<T>(
    setting: &mut Option<T>,
    file: Option<PathBuf>,
    name: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<(), String> {
    match (&setting, file) {
        (_, None) => {}
        (Some(_), Some(_)) => return Err(format!("{name} and {name}_file are both set; keep one of them")),
        (None, Some(file)) => *setting = Some(read(&file.to_string_lossy())?),
    }
    Ok(())
}

/// Reads a configuration file, and the files it names for secrets.
///
/// # Errors
/// One of them cannot be read, or says something unknown.
pub fn read(path: &Path) -> Result<File, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
    parse(path, &text)?.with_secret_files().map_err(|reason| Error::Invalid { path: path.into(), reason })
}

fn parse(path: &Path, text: &str) -> Result<File, Error> {
    toml::from_str(text).map_err(|error| Error::Invalid {
        path: path.into(),
        // Only the message: the excerpt toml would add may show a secret.
        reason: match error.span() {
            Some(span) => {
                let line = text.get(..span.start).map_or(0, |before| before.matches('\n').count()) + 1;
                format!("line {line}: {}", error.message())
            }
            None => error.message().to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_may_name_the_files_that_hold_secrets_and_no_setting_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (path, address) = (dir.path().join("rollcall.toml"), dir.path().join("database"));
        std::fs::write(&address, "postgres://ada:geheim@example.org/rollcall\n").unwrap();
        std::fs::write(dir.path().join("apps"), "shop:short\n").unwrap();
        let named = format!(
            "database_file = {address:?}\napps_file = {:?}\napps = [\"forum:short\"]\n",
            dir.path().join("apps")
        );
        std::fs::write(&path, &named).unwrap();
        let file = read(&path).unwrap();
        assert!(file.database.is_some() && file.apps.len() == 2);
        std::fs::write(&path, format!("database = \"postgres://a@b/c\"\n{named}")).unwrap();
        let twice = read(&path).unwrap_err().to_string();
        assert!(twice.contains("database_file"), "{twice}");
    }

    #[test]
    fn an_error_in_a_file_names_its_line_and_shows_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rollcall.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\napps = [\"key:hunter2:moon\"]\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
    }
}
