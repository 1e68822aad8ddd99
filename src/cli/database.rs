//! `rollcall database`: what somebody who owns the database does once, so that the service need not own it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use rollcall_projections::store;

use super::{Failure, runtime, secret_file};
use crate::database::Database;
use crate::delivery::webhooks::store::postgres as deliveries;
use crate::eventlog::postgres::{Mode, Postgres};
use crate::live;
use crate::out::say;
use crate::privacy::key_tree;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Create the tables of the log and of connections and the schemas of the read models, and grant a role what the service needs, which
    /// does not include rewriting history; repeat it with every new version
    Prepare {
        #[command(flatten)]
        owned: Owned,
        /// The role of the service; it must exist
        #[arg(long, value_parser = role_name)]
        role: String,
    },
    /// Drop the tables that were live before read models were rebuilt
    DropBefore {
        #[command(flatten)]
        live: Live,
    },
    /// Switch a read model back to the tables that were live before its last rebuild, and keep the present ones; while no
    /// service runs
    Back {
        /// Name of a read model
        model: String,
        #[command(flatten)]
        live: Live,
    },
    /// Create the tables of the keys, best in a database of their own, and grant a role of their own what the service
    /// needs, which does not include deleting the ledger of destructions; repeat it with every new version
    PrepareVault {
        #[command(flatten)]
        owned: OwnedVault,
        /// The role of the service for its keys; it must exist
        #[arg(long, value_parser = role_name)]
        role: String,
    },
}

/// The database of log and read models, as somebody who may make tables.
#[derive(Args)]
#[group(id = "owned-database", required = true, multiple = false)]
pub(super) struct Owned {
    /// The database, as somebody who may make tables
    #[arg(long, value_name = "URL", env = "ROLLCALL_OWNER_DATABASE", hide_env_values = true)]
    database: Option<Database>,
    /// File that holds the value of --database and nothing else
    #[arg(long, value_name = "FILE", env = "ROLLCALL_OWNER_DATABASE_FILE", value_parser = secret_file::database)]
    database_file: Option<Database>,
}

/// The database of the keys, as somebody who may make tables.
#[derive(Args)]
#[group(id = "owned-vault-database", required = true, multiple = false)]
pub(super) struct OwnedVault {
    /// The database, as somebody who may make tables
    #[arg(long, value_name = "URL", env = "ROLLCALL_OWNER_VAULT_DATABASE", hide_env_values = true)]
    database: Option<Database>,
    /// File that holds the value of --database and nothing else
    #[arg(long, value_name = "FILE", env = "ROLLCALL_OWNER_VAULT_DATABASE_FILE", value_parser = secret_file::database)]
    database_file: Option<Database>,
}

/// The database of log and read models, as the service uses it.
#[derive(Args)]
#[group(id = "live-database", required = true, multiple = false)]
pub(super) struct Live {
    /// The database
    #[arg(long, value_name = "URL", env = "ROLLCALL_DATABASE", hide_env_values = true)]
    database: Option<Database>,
    /// File that holds the value of --database and nothing else
    #[arg(long, value_name = "FILE", env = "ROLLCALL_DATABASE_FILE", value_parser = secret_file::database)]
    database_file: Option<Database>,
}

fn one_of(database: Option<Database>, in_file: Option<Database>) -> Result<Database, Failure> {
    database.or(in_file).ok_or_else(|| "name the database with --database or --database-file".into())
}

/// What the service needs, and nothing more: it adds events and detaches ciphertexts.
const GRANTS: &str = "
    grant usage on schema rollcall_log to $role;
    grant select, insert on rollcall_log.event to $role;
    grant update (blobs) on rollcall_log.event to $role;
    grant select, insert, delete on rollcall_log.outcome to $role;
    grant select, insert, delete on rollcall_log.ended_session to $role;
    grant select, insert, update on rollcall_log.epoch to $role;
    grant select on rollcall_log_history to $role;
    grant usage on schema rollcall_live to $role;
    grant select, insert, update, delete on all tables in schema rollcall_live to $role;
    grant select on rollcall_live_history to $role;
    grant usage on schema rollcall_delivery to $role;
    grant select, insert, update, delete on rollcall_delivery.webhook_cursor, rollcall_delivery.webhook_delivery to $role;
    grant select on rollcall_delivery_history to $role;
    grant usage, create on schema rollcall_read, rollcall_read_next, rollcall_read_before to $role;";

/// Creates empty schemas. The role creates the tables of the read models itself: only the owner of a table can replace it
/// with one that was built anew. They hold nothing that is not in the log.
const READ_SCHEMAS: &str = "
    create schema if not exists rollcall_read;
    create schema if not exists rollcall_read_next;
    create schema if not exists rollcall_read_before;";

/// The role adds and replaces keys. It deletes nothing but secrets, and cannot remove rows of the ledger of destructions.
const VAULT_GRANTS: &str = "
    grant usage on schema rollcall_vault to $role;
    grant select, insert, update on rollcall_vault.vault, rollcall_vault.subject_key, rollcall_vault.app_key,
        rollcall_vault.app_secret, rollcall_vault.signer, rollcall_vault.witnessed to $role;
    grant delete on rollcall_vault.app_secret to $role;
    grant select, insert on rollcall_vault.destruction to $role;
    grant select on rollcall_vault_history to $role;";

fn role_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then(|| text.to_owned()).ok_or_else(|| "the name of a role is letters, digits and _".into())
}

pub(super) fn run(task: Task) -> Result<ExitCode, Failure> {
    runtime()?.block_on(async {
        let (database, role, grants) = match task {
            Task::Prepare { owned, role } => {
                let database = one_of(owned.database, owned.database_file)?;
                drop(Postgres::open(&database, Mode::Append).await?);
                live::prepare_database(&database).await?;
                deliveries::prepare(&database).await?;
                (database, role, format!("{READ_SCHEMAS} {GRANTS}"))
            }
            Task::PrepareVault { owned, role } => {
                let database = one_of(owned.database, owned.database_file)?;
                key_tree::prepare(&database).await?;
                (database, role, VAULT_GRANTS.into())
            }
            Task::DropBefore { live } => {
                let database = one_of(live.database, live.database_file)?;
                let dropped = store::drop_before(&database.pool(1)?).await?;
                say!("dropped {} tables: {}", dropped.len(), dropped.join(", "));
                return Ok(ExitCode::SUCCESS);
            }
            Task::Back { model, live } => {
                let database = one_of(live.database, live.database_file)?;
                let (version, position) = store::go_back(&database.pool(1)?, &model).await?;
                say!("version {version} of {model} is live again, with the events up to {position}");
                return Ok(ExitCode::SUCCESS);
            }
        };
        let grants = grants.replace("$role", &format!("\"{role}\""));
        let client = database.connect(None).await?;
        client.batch_execute(&format!("begin; {grants} commit")).await.map_err(crate::database::Error::from)?;
        say!("the tables are there, and {role} may use them");
        Ok(ExitCode::SUCCESS)
    })
}
