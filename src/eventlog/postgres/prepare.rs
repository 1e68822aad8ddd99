//! Making the log's tables, and noticing that the database is not the one it was.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{Error, Mode, in_time};
use crate::database::Tables;

refinery::embed_migrations!("src/eventlog/postgres/migrations");

const TABLES: Tables =
    Tables { what: "log", history: "rollcall_log_history", migrations: migrations::runner, command: "prepare" };
/// A restore makes another database, a promotion another timeline.
const ORIGIN: &str = "select format('%s/%s/%s', (select system_identifier from pg_control_system()),
    (select oid from pg_database where datname = current_database()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))";
const EPOCH: &str = "insert into rollcall_log.epoch (id, epoch, origin) values (1, 1, $1)
    on conflict (id) do update set epoch = epoch.epoch + 1, origin = excluded.origin
    where epoch.origin is distinct from excluded.origin returning epoch";

const CLAIM: &str = "update rollcall_log.epoch set vault = $1 where vault is null";
const OWNER: &str = "select vault from rollcall_log.epoch";

/// Brings the log's tables to this version. Where that is done already, it needs no right to make any.
pub(super) async fn prepare(client: &mut Client, mode: Mode) -> Result<(), Error> {
    match mode {
        Mode::Append => TABLES.prepare(client).await?,
        Mode::Read if TABLES.are_current(client).await? => {}
        Mode::Read => return Err(Error::Unavailable("the database holds no log of this version yet".into())),
    }
    if mode == Mode::Append {
        in_time(note_origin(client)).await?;
    }
    Ok(())
}

/// Counts on where the database is another one than before.
async fn note_origin(client: &Client) -> Result<(), Error> {
    let origin: String = client.query_typed_one(ORIGIN, &[]).await?.try_get(0)?;
    if let Some(row) = client.query_typed_opt(EPOCH, &[(&origin, Type::TEXT)]).await? {
        let epoch: i64 = row.try_get(0)?;
        if epoch > 1 {
            tracing::warn!(
                epoch,
                "the log is in another database than before: it was restored, or a standby took over"
            );
        }
    }
    Ok(())
}

/// Says so where the primary acknowledges what no standby has.
pub(super) async fn look_for_standby(client: &Client) -> Result<(), Error> {
    let names: String =
        client.query_typed_one("select current_setting('synchronous_standby_names')", &[]).await?.try_get(0)?;
    if names.trim().is_empty() {
        tracing::warn!(
            "the database has several servers, and its primary waits for no standby (synchronous_standby_names is empty): what \
             was acknowledged last may be lost when a standby takes over"
        );
    }
    Ok(())
}

pub(super) async fn claim(client: &Client, vault: [u8; 16]) -> Result<(), Error> {
    let vault = uuid::Uuid::from_bytes(vault);
    client.execute_typed(CLAIM, &[(&vault, Type::UUID)]).await?;
    let owner: Option<uuid::Uuid> = client.query_typed_one(OWNER, &[]).await?.try_get(0)?;
    match owner {
        Some(owner) if owner != vault => Err(Error::Unavailable(format!(
            "the log in this database belongs to the vault {owner}, and the data directory holds the vault {vault}: use \
             the data directory that the log was made with, or another database"
        ))),
        _ => Ok(()),
    }
}
