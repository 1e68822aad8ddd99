//! cqrs-es on postgres-es: an aggregate is loaded, handles the command, and its event is inserted in a transaction.

use anyhow::Result;
use postgres_es::{PostgresCqrs, postgres_cqrs};
use uuid::Uuid;

use crate::measure::Peer;
use crate::peers::cqrs_es_user::{Register, User};
use crate::peers::pool;
use crate::place::Place;
use crate::user::Profile;

/// Where the events are.
pub(crate) const TABLE: &str = "events";

/// The table that postgres-es documents.
const SCHEMA: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
)";

struct CqrsEs(PostgresCqrs<User>);

/// Begins in an empty database.
pub(crate) async fn open(place: &Place) -> Result<impl Peer> {
    let pool = pool(place).await?;
    sqlx::query(SCHEMA).execute(&pool).await?;
    Ok(CqrsEs(postgres_cqrs(pool, vec![], ())))
}

impl Peer for CqrsEs {
    async fn register(&self, user: Uuid, profile: Profile) -> Result<u64> {
        self.0.execute(&user.to_string(), Register(profile)).await?;
        Ok(0)
    }
}
