//! cqrs-es on sqlite-es: an aggregate is loaded, handles the command, and its event is inserted in a transaction.

use anyhow::Result;
use sqlite_es::{SqliteCqrs, sqlite_cqrs};
use uuid::Uuid;

use crate::measure::Peer;
use crate::peers::cqrs_es_user::{Register, User};
use crate::sqlite::Folder;
use crate::user::Profile;

/// Where the events are.
pub(crate) const TABLE: &str = "events";

/// The table that sqlite-es documents.
const SCHEMA: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence integer CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload text NOT NULL,
    metadata text NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
) STRICT";

struct CqrsEs(SqliteCqrs<User>);

/// Begins in an empty folder.
pub(crate) async fn open(folder: &Folder) -> Result<impl Peer> {
    let pool = folder.pool().await?;
    sqlx::query(SCHEMA).execute(&pool).await?;
    Ok(CqrsEs(sqlite_cqrs(pool, vec![], ())))
}

impl Peer for CqrsEs {
    async fn register(&self, user: Uuid, profile: Profile) -> Result<u64> {
        self.0.execute(&user.to_string(), Register(profile)).await?;
        Ok(0)
    }
}
