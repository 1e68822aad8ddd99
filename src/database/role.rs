//! What a server is at a moment: whether it takes writes, and on which timeline.

use tokio_postgres::Client;

const ROLE: &str = "select not pg_is_in_recovery() and not current_setting('transaction_read_only')::boolean,
    case when pg_is_in_recovery() then null else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end";

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    /// Whether it takes writes; a standby does not.
    pub(super) takes_writes: bool,
    /// Grows with each promotion within a cluster; a standby has none of its own.
    pub(super) timeline: Option<u32>,
}

impl Role {
    /// # Errors
    /// The connection has ended.
    pub(super) async fn of(client: &Client) -> Result<Self, tokio_postgres::Error> {
        match client.query_typed_one(ROLE, &[]).await {
            Ok(row) => {
                let timeline = row.try_get::<_, Option<&str>>(1)?.and_then(|text| u32::from_str_radix(text, 16).ok());
                Ok(Self { takes_writes: row.try_get(0)?, timeline })
            }
            // It is being promoted at this moment, or its role may not ask: then its answers alone count.
            Err(error) if error.as_db_error().is_some() => Ok(Self { takes_writes: true, timeline: None }),
            Err(error) => Err(error),
        }
    }
}
