//! A few connections that many queries share: the server answers them in their order, and nobody waits for a free one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio_postgres::{Row, Statement};

use super::by_index;
use crate::Value;
use crate::store::Error;

/// Measured: as many queries from 64 tasks go through four connections as one connection each would never answer.
const CONNECTIONS: usize = 4;

/// One connection, with the statements it has prepared, by the address of their text.
struct Reader {
    client: ClientWrapper,
    statements: Mutex<HashMap<(usize, usize), Statement>>,
}

/// The connections.
#[derive(Default)]
pub(super) struct Readers {
    slots: [tokio::sync::Mutex<Option<Arc<Reader>>>; CONNECTIONS],
    next: AtomicUsize,
}

impl Readers {
    /// The rows a statement finds, in a state of its own.
    pub(super) async fn query(&self, pool: &Pool, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let reader = self.reader(pool).await?;
        let statement = reader.statement(sql).await?;
        let mut rows = Vec::new();
        let found = reader.client.query_raw(&statement, params).await?;
        let mut found = std::pin::pin!(found);
        while let Some(row) = futures_util::TryStreamExt::try_next(&mut found).await? {
            rows.push(row);
        }
        Ok(rows)
    }

    async fn reader(&self, pool: &Pool) -> Result<Arc<Reader>, Error> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut slot = self.slots[at].lock().await;
        if let Some(reader) = slot.as_ref().filter(|reader| !reader.client.is_closed()) {
            return Ok(reader.clone());
        }
        let client = Object::take(pool.get().await?);
        client.batch_execute(by_index).await?;
        Ok(slot.insert(Arc::new(Reader { client, statements: Mutex::default() })).clone())
    }
}

impl Reader {
    async fn statement(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let key = (sql.as_ptr() as usize, sql.len());
        let known = || self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = known().get(&key) {
            return Ok(statement.clone());
        }
        // Two that prepare the same at once do no harm.
        let statement = self.client.prepare(sql).await?;
        known().insert(key, statement.clone());
        Ok(statement)
    }
}
