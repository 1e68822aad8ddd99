//! The command line: the composition root.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use rollcall_schemas::ids::SecretId;
use rollcall_schemas::plain::{ApiScope, Environment, Plan};

mod app_spec;
mod apps;
mod audit;
mod backup;
pub mod config;
mod copy;
mod database;
mod database_client;
mod doctor;
mod erasure;
mod hardening;
mod keys;
mod models;
mod parked;
mod recover;
mod replay;
mod secret_file;
mod serve;
mod several_subjects;
mod signals;
mod small_pages;
mod sockets;
mod transfer;

use crate::database::Database;
use crate::out::{self, tell};
use crate::tasks::Runtime;
use crate::telemetry;
use crate::wiring::{self, CellSpec, DataDir, KeyOptions, LogPlace, Place, places};
use config::AppSpec;

/// Event-sourced user management for chat and community apps.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// How lines of the log are written to standard error: text, or json for one object a line [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "ROLLCALL_LOG_FORMAT")]
    log_format: Option<telemetry::Format>,
    #[command(subcommand)]
    command: Task,
}

/// Where the data is; `rollcall serve` may also read it from its configuration file.
#[derive(Args)]
struct Data {
    /// Data directory
    #[arg(long, env = "ROLLCALL_DATA_DIR", default_value = "./data")]
    data_dir: PathBuf,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    keys: Keys,
}

impl Data {
    fn place(&self) -> Place {
        let keys = self.keys.clone().over(KeyOptions::default());
        Place { dir: self.data_dir.clone(), keys, log: self.servers.clone().over(None, None) }
    }

    fn open(&self) -> Result<DataDir, wiring::Error> {
        DataDir::open(&self.place())
    }
}

/// Where log and read models are, if not in the data directory.
#[derive(Args, Clone)]
#[group(id = "which-servers")]
struct Servers {
    /// PostgreSQL database for log and read models, as postgres://user:password@host:5432/name; without it, both are in
    /// the data directory
    #[arg(long, value_name = "URL", env = "ROLLCALL_DATABASE", hide_env_values = true)]
    database: Option<Database>,
    /// File that holds the value of --database and nothing else, such as a mounted secret
    #[arg(long, value_name = "FILE", env = "ROLLCALL_DATABASE_FILE", value_parser = secret_file::database, conflicts_with = "database")]
    database_file: Option<Database>,
    /// KurrentDB for the log, as esdb://USER:PASSWORD@HOST:2113?tls=true, several hosts with commas
    #[arg(long, value_name = "URL", env = "ROLLCALL_KURRENTDB", hide_env_values = true, value_parser = places::kurrentdb)]
    kurrentdb: Option<String>,
    /// File that holds the value of --kurrentdb and nothing else
    #[arg(long, value_name = "FILE", env = "ROLLCALL_KURRENTDB_FILE", value_parser = secret_file::kurrentdb, conflicts_with = "kurrentdb")]
    kurrentdb_file: Option<String>,
}

impl Servers {
    /// With what the configuration file says where nothing stronger does.
    fn over(self, database: Option<Database>, kurrentdb: Option<String>) -> LogPlace {
        // Whether this build knows KurrentDB was checked where the address was read.
        let kurrentdb = self.kurrentdb.or(self.kurrentdb_file).or(kurrentdb);
        LogPlace::of(kurrentdb, self.database.or(self.database_file).or(database)).unwrap_or_default()
    }
}

/// Where the keys are.
#[derive(Args, Clone)]
#[group(id = "where-the-keys-are")]
struct Keys {
    /// PostgreSQL database for the keys, best one of its own with a role of its own, so that many nodes share them;
    /// without it, they are in the data directory of one node
    #[arg(long, value_name = "URL", env = "ROLLCALL_VAULT_DATABASE", hide_env_values = true)]
    vault_database: Option<Database>,
    /// File that holds the value of --vault-database and nothing else
    #[arg(long, value_name = "FILE", env = "ROLLCALL_VAULT_DATABASE_FILE", value_parser = secret_file::database, conflicts_with = "vault_database")]
    vault_database_file: Option<Database>,
    /// Where the root key lives: local, local:FILE, split:CELL,CELL or transit:KEY [default: local]
    #[arg(long, value_name = "CELL", env = "ROLLCALL_ROOT_CELL", value_parser = places::root_cell)]
    root_cell: Option<CellSpec>,
    /// Accept a file system on which an overwritten root key survives
    #[arg(long, env = "ROLLCALL_ALLOW_UNSUITABLE_MOUNT", value_parser = BoolishValueParser::new())]
    allow_unsuitable_mount: bool,
    /// Accept a HashiCorp Vault elsewhere without TLS, or with TLS that is not verified (VAULT_SKIP_VERIFY)
    #[arg(long, env = "ROLLCALL_VAULT_INSECURE", value_parser = BoolishValueParser::new())]
    vault_insecure: bool,
}

impl Keys {
    /// With what the configuration file says where nothing stronger does.
    fn over(self, file: KeyOptions) -> KeyOptions {
        KeyOptions {
            database: self.vault_database.or(self.vault_database_file).or(file.database),
            cell: self.root_cell.unwrap_or(file.cell),
            allow_unsuitable_mount: self.allow_unsuitable_mount || file.allow_unsuitable_mount,
            allow_insecure_vault: self.vault_insecure || file.allow_insecure_vault,
        }
    }
}

#[derive(Subcommand)]
enum Task {
    /// Run the service
    Serve(Box<ServeArgs>),
    /// List, create and change apps, while the service is stopped
    #[command(subcommand)]
    Apps(AppsTask),
    /// Show and rotate keys, while the service is stopped
    #[command(subcommand)]
    Keys(KeysTask),
    /// Rebuild read models from the log, while the service is stopped
    Rebuild {
        /// Name of a read model, or `all`
        model: String,
        #[command(flatten)]
        data: Data,
    },
    /// Compare every read model with a rebuild of it, while the service is stopped
    Verify {
        #[command(flatten)]
        data: Data,
    },
    /// List streams with an event that a read model could not apply, apply them again, or skip them
    #[command(subcommand)]
    Parked(parked::Task),
    /// Verify an erasure report offline, or manage erasures while the service is stopped
    #[command(subcommand)]
    Erasure(erasure::Task),
    /// Prove that the log was not changed, while the service is stopped or offline
    #[command(subcommand)]
    Audit(audit::Task),
    /// Continue with a log that was restored to an earlier state: rebuild the read models and repeat the erasures that the
    /// restored log does not know of
    Recover {
        #[command(flatten)]
        data: Data,
    },
    /// Show users and lists as they were at a moment, or explain a refusal, while the service is stopped; prints JSON and
    /// changes nothing
    Replay(replay::Options),
    /// Copy the log, and the keys if asked, to another backend while the service is stopped; an interrupted copy continues
    Copy(Box<copy::Options>),
    /// Copy the log and what is beside it to a new directory, and verify the copy; the service may run. Keys are not in it
    Backup {
        /// The directory, which is made
        to: PathBuf,
        #[command(flatten)]
        data: Data,
    },
    /// Put a backup into a data directory that holds a replica of the keys, rebuild the read models and repeat the erasures
    /// that the backup does not know of
    Restore {
        /// The directory of the backup
        from: PathBuf,
        #[command(flatten)]
        data: Data,
    },
    /// Bring users, friendships, blocks or bans in from a file, while the service is stopped; run again after an interruption,
    /// it goes on; exit 3 if records were refused
    Import(transfer::ImportOptions),
    /// Write users, friendships, blocks or bans as JSON Lines, as `import` reads them, while the service is stopped
    Export(transfer::ExportOptions),
    /// Prepare a PostgreSQL database for a service whose role does not own it
    #[command(subcommand)]
    Database(database::Task),
    /// Check the data directory, databases, rights, settings and parked streams; exit 1 if something must be corrected
    Doctor {
        #[command(flatten)]
        data: Data,
    },
    /// Measure this machine and the service on it: limits, commands, queries, read models, and their ratios
    Bench(crate::bench::Options),
}

#[derive(Args)]
struct ServeArgs {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "ROLLCALL_LISTEN")]
    listen: Option<SocketAddr>,
    /// Data directory [default: ./data]
    #[arg(long, env = "ROLLCALL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// TOML file with any of these settings; in it, `-` is `_`
    #[arg(long, env = "ROLLCALL_CONFIG")]
    config: Option<PathBuf>,
    /// App to serve, created if absent: KEY:SECRET[:development|production[:starter|pro]]; may be repeated
    #[arg(long = "app", env = "ROLLCALL_APP", value_delimiter = ',', hide_env_values = true)]
    apps: Vec<AppSpec>,
    /// File that names apps as --app does, one a line, such as a mounted secret
    #[arg(long, value_name = "FILE", env = "ROLLCALL_APP_FILE", value_parser = secret_file::apps)]
    app_file: Option<secret_file::Apps>,
    /// Keep a copy of the log's signed checkpoint in this file, best on another machine: it reveals when the whole data
    /// directory was restored to an earlier state
    #[arg(long, env = "ROLLCALL_CHECKPOINT_COPY")]
    checkpoint_copy: Option<PathBuf>,
    /// HTTP worker threads [default: one per core]
    #[arg(long, env = "ROLLCALL_WORKERS")]
    workers: Option<usize>,
    /// Answer 503 to a request that takes longer than N seconds, from 1 to 600 [default: 20]
    #[arg(long, value_name = "N", env = "ROLLCALL_REQUEST_TIMEOUT_SECONDS")]
    request_timeout_seconds: Option<u64>,
    /// Log a request that takes longer than N seconds (a fraction is allowed) as slow [default: 1]
    #[arg(long, value_name = "N", env = "ROLLCALL_SLOW_REQUEST_SECONDS")]
    slow_request_seconds: Option<f64>,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    keys: Keys,
    /// Report ready (/health/ready) even while streams are parked, that is, while read models lack some events
    #[arg(long, env = "ROLLCALL_READY_WITH_PARKED", value_parser = BoolishValueParser::new())]
    ready_with_parked: bool,
    /// Rotate all keys N hours after the last rotation, counted across restarts; 0: never [default: 0]
    #[arg(long, value_name = "N", env = "ROLLCALL_ROTATE_KEYS_EVERY_HOURS")]
    rotate_keys_every_hours: Option<u32>,
    /// After SIGTERM, keep answering for N seconds (a fraction is allowed) while /health/ready says 503, so that proxies
    /// stop sending requests before connections are refused. Must be longer than their health checks need to notice: 2 s
    /// with deploy/haproxy.cfg, 4 s with deploy/kubernetes. A second signal ends the process at once [default: 5]
    #[arg(long, value_name = "N", env = "ROLLCALL_DRAIN_SECONDS")]
    drain_seconds: Option<f64>,
    #[command(flatten)]
    sockets: sockets::SocketArgs,
    /// Serve TLS with the certificate in this PEM file, its chain behind it; read again when it changes
    #[arg(long, value_name = "FILE", env = "ROLLCALL_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of --tls-cert
    #[arg(long, value_name = "FILE", env = "ROLLCALL_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Let web pages of this origin, such as https://app.example.org, call /client/v1; may be repeated
    #[arg(long = "cors-origin", value_name = "ORIGIN", env = "ROLLCALL_CORS_ORIGIN", value_delimiter = ',')]
    cors_origins: Vec<crate::http::Origin>,
    /// Range of addresses, such as 10.0.0.0/8, that webhooks may be sent to although it is not on the public internet, and
    /// without TLS; may be repeated
    #[arg(long, value_name = "CIDR", env = "ROLLCALL_WEBHOOK_ALLOW", value_delimiter = ',')]
    webhook_allow: Vec<ipnet::IpNet>,
    /// How many seconds to wait after each attempt at a delivery that failed, separated by commas; after one more attempt it
    /// is given up [default: 5,300,1800,7200,18000,36000,50400,72000,86400]
    #[arg(long, value_name = "SECONDS", env = "ROLLCALL_WEBHOOK_WAITS", value_delimiter = ',')]
    webhook_waits: Vec<f64>,
    /// How many seconds a receiver has for its whole answer, from 0.1 to 60 [default: 15]
    #[arg(long, value_name = "N", env = "ROLLCALL_WEBHOOK_TIMEOUT_SECONDS")]
    webhook_timeout_seconds: Option<f64>,
    /// Record that a webhook is failing once its receiver has acknowledged nothing for N seconds [default: 60]
    #[arg(long, value_name = "N", env = "ROLLCALL_WEBHOOK_FAILING_AFTER_SECONDS")]
    webhook_failing_after_seconds: Option<u32>,
    /// Keep at most N users in memory to search them by name and by the beginning of their userId [default: 2000000]
    #[arg(long, value_name = "N", env = "ROLLCALL_SEARCH_USERS_MAX")]
    search_users_max: Option<usize>,
    /// Disable a webhook once its receiver has acknowledged nothing for N hours [default: 120]
    #[arg(long, value_name = "N", env = "ROLLCALL_WEBHOOK_DISABLED_AFTER_HOURS")]
    webhook_disabled_after_hours: Option<u32>,
}

#[derive(Subcommand)]
enum KeysTask {
    /// Show where the root key is stored, its generation, and how final the destruction of a key is there
    Show {
        #[command(flatten)]
        data: Data,
    },
    /// Replace the root key and every key directly under it, and destroy the old ones; no data changes
    Rotate {
        #[command(flatten)]
        data: Data,
    },
    /// Add another key that signs checkpoints and reports
    AddSigner {
        #[command(flatten)]
        data: Data,
    },
    /// Stop signing with a key, once everybody has the new one; what it signed can still be verified
    RetireSigner {
        /// Its number
        number: u32,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Subcommand)]
enum AppsTask {
    /// List the apps
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Create an app and print its key and secret, once
    Create {
        /// Its key; a random one if not given
        #[arg(long)]
        key: Option<rollcall_schemas::ids::AppId>,
        /// What it is for
        #[arg(long, default_value = "development")]
        environment: Environment,
        /// Its plan
        #[arg(long, default_value = "starter")]
        plan: Plan,
        #[command(flatten)]
        data: Data,
    },
    /// Add a secret and print it, once; the old one stays valid until it is retired
    RotateSecret {
        /// The app
        key: rollcall_schemas::ids::AppId,
        /// Retire this secret (its number) instead of adding one; tokens issued under it end
        #[arg(long, value_parser = secret)]
        retire: Option<SecretId>,
        #[command(flatten)]
        data: Data,
    },
    /// Add an API key for the REST API and print it, once
    AddKey {
        /// The app
        key: rollcall_schemas::ids::AppId,
        /// What it may do; may be repeated
        #[arg(long = "scope", required = true)]
        scopes: Vec<ApiScope>,
        #[command(flatten)]
        data: Data,
    },
    /// Retire an API key: it is no longer accepted
    RetireKey {
        /// The app
        key: rollcall_schemas::ids::AppId,
        /// Its number, as `rollcall apps list` shows it
        number: u32,
        #[command(flatten)]
        data: Data,
    },
    /// Change settings and declare extension fields; settings that are not given stay as they are
    Set {
        /// The app
        key: rollcall_schemas::ids::AppId,
        #[command(flatten)]
        settings: apps::SettingsArgs,
        #[command(flatten)]
        data: Data,
    },
}

fn secret(text: &str) -> Result<SecretId, String> {
    text.parse().map(SecretId).map_err(|_| "the number of a secret, as `rollcall apps list` shows it".into())
}

/// `EX_IOERR` of `sysexits.h`. Lower codes tell what a command found, such as 1 for a report that was tampered with.
const UNPRINTED: u8 = 74;

/// Options whose values hold secrets and are left out of error messages.
const SECRETS: [&str; 6] = ["--app ", "--database ", "--vault-database ", "--kurrentdb ", "--to ", "--vault-to "];

/// Parses the command line. Error messages show no secret.
fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|mut error| {
        let of = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
        if SECRETS.iter().any(|secret| of.starts_with(secret)) {
            error.insert(ContextKind::InvalidValue, ContextValue::String("(not shown)".into()));
        }
        error.exit()
    })
}

/// Runs the command line; prints one sentence and answers failure when it cannot.
#[must_use]
pub fn main() -> ExitCode {
    small_pages::use_small_pages();
    if let Err(error) = hardening::no_core_dumps() {
        tell!("rollcall: {error}");
        return ExitCode::FAILURE;
    }
    let cli = parse();
    match run(cli) {
        Ok(code) => match out::unprinted() {
            None => code,
            Some(error) => {
                tell!("rollcall: not all of it could be printed: {error}");
                ExitCode::from(UNPRINTED)
            }
        },
        Err(error) => {
            tell!("rollcall: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { log_format, command }: Cli) -> Result<ExitCode, Failure> {
    let _telemetry = match &command {
        // Its configuration file may say how lines are written.
        Task::Serve(_) => None,
        _ => Some(telemetry::start(log_format.unwrap_or(telemetry::Format::Text), false)?),
    };
    match command {
        Task::Serve(args) => serve::run(*args, log_format),
        Task::Apps(task) => apps::run(task),
        Task::Erasure(task) => erasure::run(task),
        Task::Audit(task) => audit::run(task),
        Task::Recover { data } => recover::run(&data),
        Task::Database(task) => database::run(task),
        Task::Doctor { data } => doctor::run(&data),
        Task::Copy(options) => copy::run(&options),
        Task::Backup { to, data } => backup::back_up(&to, &data),
        Task::Restore { from, data } => backup::restore(&from, &data),
        Task::Import(options) => transfer::import(options),
        Task::Export(options) => transfer::export(options),
        Task::Replay(options) => replay::run(&options),
        Task::Parked(task) => parked::run(task),
        Task::Keys(task) => keys::run(&task),
        Task::Rebuild { model, data } => models::rebuild(&model, &data),
        Task::Verify { data } => models::verify(&data),
        Task::Bench(options) => crate::bench::run(&options).map_err(Into::into),
    }
}

/// Why a command ended badly: a sentence for a person.
type Failure = Box<dyn std::error::Error>;

fn runtime() -> std::io::Result<Runtime> {
    Runtime::start(2)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_and_argument_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
