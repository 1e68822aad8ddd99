//! Settings: from a TOML file, the environment and flags, each stronger than the one before.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::{Environment, Plan};
use serde::Deserialize;

use super::wiring::{CellSpec, LogPlace};
use crate::database::{self, Database};

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

/// An app to serve, created if it does not exist: `KEY:SECRET[:development|production[:starter|pro]]`.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSpec {
    /// Its key.
    pub key: AppId,
    /// Its first secret.
    pub secret: String,
    /// Development unless said otherwise.
    pub environment: Environment,
    /// Starter unless said otherwise.
    pub plan: Plan,
}

// The secret must not be printed, not even by accident.
impl std::fmt::Debug for AppSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppSpec").field("key", &self.key).finish_non_exhaustive()
    }
}

impl FromStr for AppSpec {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected KEY:SECRET[:development|production[:starter|pro]]";
        let mut parts = text.split(':');
        let key = parts
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|_| format!("an app key is 1 to 64 of A-Z a-z 0-9 _ -; {FORM}"))?;
        let secret = parts.next().unwrap_or_default();
        if secret.is_empty() || secret.len() > 128 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("an app secret is 1 to 128 printable ASCII characters without a colon; {FORM}"));
        }
        let environment = parts.next().map_or(Ok(Environment::Development), str::parse);
        let environment = environment.map_err(|words| format!("the environment is {words}; {FORM}"))?;
        let plan = parts.next().map_or(Ok(Plan::Starter), str::parse);
        let plan = plan.map_err(|words| format!("the plan is {words}; {FORM}"))?;
        if parts.next().is_some() {
            return Err(format!("there is too much after the plan; {FORM}"));
        }
        Ok(Self { key, secret: secret.into(), environment, plan })
    }
}

/// Reads which root cell is meant: `local`, `local:FILE`, `split:CELL,CELL` or `transit:KEY`.
///
/// # Errors
/// It is none of these.
pub fn root_cell(text: &str) -> Result<CellSpec, String> {
    const FORM: &str = "expected local, local:FILE, split:CELL,CELL or transit:KEY";
    match text.split_once(':') {
        None if text == "local" => Ok(CellSpec::Local),
        Some(("local", file)) if !file.is_empty() => Ok(CellSpec::File(file.into())),
        #[cfg(feature = "vault-transit")]
        Some(("transit", key))
            if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) =>
        {
            Ok(CellSpec::Transit(key.into()))
        }
        #[cfg(not(feature = "vault-transit"))]
        Some(("transit", _)) => Err("this build has no transit cell; build it with `--features vault-transit`".into()),
        Some(("split", cells)) => match cells.split(',').collect::<Vec<_>>().as_slice() {
            [first, second] if ![first, second].iter().any(|cell| cell.starts_with("split")) => {
                Ok(CellSpec::Split(Box::new(root_cell(first)?), Box::new(root_cell(second)?)))
            }
            _ => Err(format!("a root is split over two cells that are not split themselves; {FORM}")),
        },
        _ => Err(format!("there is no such root cell; {FORM}")),
    }
}

/// Reads the address of a `KurrentDB`.
///
/// # Errors
/// It is none, or this build has no `KurrentDB`.
pub fn kurrentdb(text: &str) -> Result<String, String> {
    if !["esdb://", "esdb+discover://", "kurrentdb://", "kurrentdb+discover://"]
        .iter()
        .any(|form| text.starts_with(form))
    {
        return Err("expected esdb://HOST:PORT?tls=true&discoveryInterval=10".into());
    }
    LogPlace::of(Some(text.into()), None).map(|_| text.into())
}

/// Reads where a log may be moved to.
///
/// # Errors
/// It is none of the backends.
pub fn target(text: &str) -> Result<LogPlace, String> {
    if text == "embedded" {
        return Ok(LogPlace::Embedded);
    }
    if text.starts_with("esdb") || text.starts_with("kurrentdb") {
        return LogPlace::of(Some(kurrentdb(text)?), None);
    }
    LogPlace::of(None, Some(text.parse().map_err(|error: database::Error| error.to_string())?))
}

/// Where keys may be moved to: a database, or the data directory.
#[derive(Debug, Clone)]
pub struct VaultTarget(pub Option<Database>);

/// Reads where keys may be moved to.
///
/// # Errors
/// It is neither.
pub fn vault_target(text: &str) -> Result<VaultTarget, String> {
    if text == "embedded" {
        return Ok(VaultTarget(None));
    }
    text.parse().map(|database| VaultTarget(Some(database))).map_err(|error: database::Error| error.to_string())
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
    /// HTTP worker threads.
    pub workers: Option<usize>,
    /// Where a copy of the signed checkpoint is kept.
    pub checkpoint_copy: Option<PathBuf>,
    /// Where the root of the keys lives.
    pub root_cell: Option<FileCell>,
    /// The database for log and read models.
    pub database: Option<FileDatabase>,
    /// The database for the keys.
    pub vault_database: Option<FileDatabase>,
    /// The KurrentDB for the log.
    pub kurrentdb: Option<String>,
    /// Whether it may be on a file system where an overwritten root survives.
    pub allow_unsuitable_mount: Option<bool>,
    /// How often the keys are rotated; 0: never.
    pub rotate_keys_every_hours: Option<u32>,
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

/// Reads a configuration file.
///
/// # Errors
/// It cannot be read, or says something unknown.
pub fn read(path: &Path) -> Result<File, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
    toml::from_str(&text).map_err(|error| Error::Invalid {
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
    fn an_app_is_for_development_on_the_starter_plan_unless_it_says_otherwise() {
        let spec: AppSpec = "key:secret".parse().unwrap();
        assert_eq!((spec.environment, spec.plan), (Environment::Development, Plan::Starter));
        let spec: AppSpec = "key:secret:production:pro".parse().unwrap();
        assert_eq!((spec.environment, spec.plan), (Environment::Production, Plan::Pro));
    }

    #[test]
    fn a_bad_app_is_refused_with_the_form_it_should_have() {
        for bad in [
            "",
            "key",
            "key:",
            ":secret",
            "k y:secret",
            "key:secret:test",
            "key:secret:production:gold",
            "k:s:production:pro:x",
        ] {
            let error = bad.parse::<AppSpec>().unwrap_err();
            assert!(error.contains("KEY:SECRET"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_debug_print_of_an_app_does_not_show_its_secret() {
        let spec: AppSpec = "key:hunter2".parse().unwrap();
        assert!(!format!("{spec:?}").contains("hunter2"));
    }

    #[test]
    fn a_root_cell_is_local_elsewhere_or_split_over_two() {
        let file = |path: &str| CellSpec::File(path.into());
        let split = |first, second| CellSpec::Split(Box::new(first), Box::new(second));
        for (text, cell) in [
            ("local", CellSpec::Local),
            ("local:/mnt/key/root.cell", file("/mnt/key/root.cell")),
            ("local:C:odd", file("C:odd")),
            ("split:local,local:/mnt/a", split(CellSpec::Local, file("/mnt/a"))),
            ("split:local:/a,local:/b", split(file("/a"), file("/b"))),
        ] {
            assert_eq!(root_cell(text), Ok(cell), "{text}");
        }
        for bad in [
            "",
            "Local",
            "local:",
            "tpm",
            "split",
            "split:",
            "split:local",
            "split:local,",
            "split:local,local:/a,local:/b",
            "split:split:local,local:/a",
        ] {
            let refused = root_cell(bad).unwrap_err();
            assert!(refused.contains("split:CELL,CELL"), "{bad}: {refused}");
        }
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
