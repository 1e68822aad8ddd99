//! Read models in `PostgreSQL`, shared by every node.
//!
//! Three schemas hold them: the live one, the one beside it in which a read model is built anew, and what was live
//! before, for queries of nodes of the version before and for a way back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use deadpool_postgres::{ClientWrapper, Object, Pool, PoolError};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::parking::Skipped;
use super::{Checkpoint, Error};
use crate::{Projection, Value};

mod apply;
mod before;
mod bulk;
mod claims;
mod lanes;
mod lease;
mod lifecycle;
mod parking;
mod pipeline;
mod query_coalescer;
mod readers;
mod reading;
mod retrying;
mod rows;
mod shadow;

pub use before::{drop_before, go_back};
pub use claims::{Claimed, Claims};
pub(super) use lanes::Lanes;
pub use lease::{Lease, LeaseHolder};
pub use shadow::{BuildLock, Shadow};

pub(super) const LIVE: &str = "rollcall_read";
const NEXT: &str = "rollcall_read_next";
const BEFORE: &str = "rollcall_read_before";

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => Self::InUse,
            _ => Self::Unavailable(describe(&error)),
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            error => Self::Unavailable(format!("no connection to the database is free: {error}")),
        }
    }
}

/// What the server says, without the detail that would name a value.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}

/// For a connection that keeps its statements: a plan that was made while a table was small would go on reading all of it, and
/// all that cannot be cleaned up of it.
const by_index: &str = "set enable_seqscan = off";

/// Makes a new connection find the read models: the live ones first.
///
/// # Errors
/// The connection is gone.
pub async fn prepare_connection(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&format!("set search_path = {LIVE}, {BEFORE}; set client_min_messages = warning")).await
}

/// The store.
pub(super) struct Postgres {
    pool: Pool,
    schema: &'static str,
    models: Vec<&'static dyn Projection>,
    pub(super) lanes: lanes::Lanes,
    skipped: Mutex<Arc<Skipped>>,
    readers: readers::Readers,
    together: query_coalescer::QueryCoalescer,
    pub(super) claiming: claims::Claiming,
    /// What shows others that this node, which holds the lease, is there.
    life: tokio::sync::Mutex<Option<ClientWrapper>>,
}

/// A connection that applies, with the statements it has prepared, by the address of their text and whether they are for
/// many rows.
struct Writer {
    client: ClientWrapper,
    statements: HashMap<(usize, usize, bool), Statement>,
}

impl Writer {
    async fn statement(&mut self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let key = (sql.as_ptr() as usize, sql.len(), false);
        if let Some(statement) = self.statements.get(&key) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(key, statement.clone());
        Ok(statement)
    }
}

impl Postgres {
    /// The lane in which a read model is applied.
    fn lane_of(&self, model: &str) -> usize {
        self.lanes.of(self.models.iter().position(|known| known.name() == model).unwrap_or_default())
    }

    /// The connection that applies, taken: it is put back only after it was used without an error.
    async fn take(&self, slot: &mut Option<Writer>) -> Result<Writer, Error> {
        match slot.take().filter(|writer| !writer.client.is_closed()) {
            Some(writer) => Ok(writer),
            None => {
                // Never back into the pool: it looks in one schema only, and may be left in the middle of a transaction.
                let client = Object::take(self.pool.get().await?);
                // Not flushed at each commit: what a crash takes back, rows and checkpoint alike, is projected again.
                let set = format!(
                    "set search_path = {}; {by_index}; set plan_cache_mode = force_generic_plan;
                     set synchronous_commit = off",
                    self.schema
                );
                client.batch_execute(&set).await?;
                Ok(Writer { client, statements: HashMap::new() })
            }
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The server says what it expects where a statement is prepared; what does not fit there is refused then.
        true
    }

    to_sql_checked!();
}

fn stored(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn read_checkpoint(model: &'static str, row: &tokio_postgres::Row) -> Result<Checkpoint, Error> {
    Ok(Checkpoint {
        model,
        version: u32::try_from(row.try_get::<_, i64>(1)?).map_err(|_| Error::Column(1))?,
        position: row.try_get::<_, i64>(2)?.unsigned_abs(),
        event: row
            .try_get::<_, Option<Vec<u8>>>(3)?
            .map(|id| uuid::Uuid::from_slice(&id).map(rollcall_schemas::ids::EventId).map_err(|_| Error::Column(3)))
            .transpose()?,
    })
}
