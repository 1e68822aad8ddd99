//! A few connections that many queries share: the server answers them in their order, and nobody waits for a free one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::{ClientWrapper, Pool};
use tokio_postgres::{Row, Statement};

use super::connection::{by_index, open, open_with};
use super::deadline::{QUERY_MAX, within};
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
        let at = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        match within(QUERY_MAX, self.query_on(at, pool, sql, params)).await {
            Ok(found) => found,
            Err(silent) => {
                // Nobody is to wait behind the statement that has no answer; it may be held for whoever opens another one.
                if let Ok(mut slot) = self.slots[at].try_lock() {
                    *slot = None;
                }
                Err(silent.into())
            }
        }
    }

    async fn query_on(&self, at: usize, pool: &Pool, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let reader = self.reader(at, pool).await?;
        let statement = reader.statement(sql).await?;
        let mut rows = Vec::new();
        let found = reader.client.query_raw(&statement, params).await?;
        let mut found = std::pin::pin!(found);
        while let Some(row) = futures_util::TryStreamExt::try_next(&mut found).await? {
            rows.push(row);
        }
        Ok(rows)
    }

    async fn reader(&self, at: usize, pool: &Pool) -> Result<Arc<Reader>, Error> {
        let mut slot = self.slots[at].lock().await;
        if let Some(reader) = slot.as_ref().filter(|reader| !reader.client.is_closed()) {
            return Ok(reader.clone());
        }
        let client = open_with(pool, by_index).await?;
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

/// Asks again and again how far the read models are.
#[derive(Default)]
pub(super) struct Follower(tokio::sync::Mutex<Option<(ClientWrapper, Statement)>>);

impl Follower {
    /// The rows of a statement, always the same one.
    pub(super) async fn ask(&self, pool: &Pool, sql: &str) -> Result<Vec<Row>, Error> {
        within(QUERY_MAX, async {
            let mut slot = self.0.lock().await;
            let (client, statement) = match slot.take().filter(|(client, _)| !client.is_closed()) {
                Some(kept) => kept,
                None => {
                    let client = open(pool).await?;
                    let statement = client.prepare(sql).await?;
                    (client, statement)
                }
            };
            let rows = client.query(&statement, &[]).await?;
            *slot = Some((client, statement));
            Ok(rows)
        })
        .await?
    }
}
