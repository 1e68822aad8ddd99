//! `rollcall database`: what somebody who owns the database does once, so that the service need not own it.

use std::process::ExitCode;

use clap::Subcommand;
use rollcall_projections::ALL;
use rollcall_projections::store::ReadStore;

use super::{Failure, runtime};
use crate::database::Database;
use crate::eventlog::postgres::{Mode, Postgres};

#[derive(Subcommand)]
pub(super) enum Task {
    /// Make the tables of log and read models, and let a role use them that cannot rewrite history; to be repeated with
    /// every new version
    Prepare {
        /// The database, as somebody who may make tables
        #[arg(long, value_name = "URL", env = "ROLLCALL_OWNER_DATABASE", hide_env_values = true)]
        database: Database,
        /// The role of the service; it must exist
        #[arg(long)]
        role: String,
    },
}

/// What the service needs, and nothing more: it adds events and detaches ciphertexts.
const GRANTS: &str = "
    grant usage on schema rollcall_log to $role;
    grant select, insert on rollcall_log.event to $role;
    grant update (blobs) on rollcall_log.event to $role;
    grant select, insert, delete on rollcall_log.outcome to $role;
    grant select, insert, update on rollcall_log.epoch to $role;
    grant select on rollcall_log_history to $role;
    grant usage, create on schema rollcall_read, rollcall_read_next, rollcall_read_before to $role;
    grant select, insert, update, delete, truncate on all tables in schema rollcall_read to $role;";

pub(super) fn run(task: Task) -> Result<ExitCode, Failure> {
    let Task::Prepare { database, role } = task;
    if role.is_empty() || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("the name of a role is letters, digits and _".into());
    }
    runtime()?.block_on(async {
        drop(Postgres::open(&database, Mode::Append).await?);
        drop(ReadStore::connect(database.pool(2)?, ALL).await?);
        let client = database.connect(None).await?;
        let grants = GRANTS.replace("$role", &format!("\"{role}\""));
        let schemas =
            "create schema if not exists rollcall_read_next; create schema if not exists rollcall_read_before;";
        client
            .batch_execute(&format!("begin; {schemas} {grants} commit"))
            .await
            .map_err(crate::database::Error::from)?;
        println!("the tables are there, and {role} may use them");
        Ok(ExitCode::SUCCESS)
    })
}
