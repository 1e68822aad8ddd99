//! Connections: borrowed from the pool for a moment, or kept by whoever has settings and prepared statements on them.

use std::collections::HashMap;

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio_postgres::{Client, Statement};

use super::deadline::{APPLY_MAX, IDLE_MAX, QUERY_MAX, within};
use super::failure::Failure;
use super::schema::{BEFORE, LIVE};
use crate::store::Error;

/// For a connection that keeps its statements: a plan that was made while a table was small would go on reading all of it, and
/// all that cannot be cleaned up of it.
pub(super) const by_index: &str = "set enable_seqscan = off";

/// Makes a new connection find the read models: the live ones first. Nothing is compiled: every statement finds few rows by an
/// index, but one whose plan the settings discourage (`by_index`) counts as costly, and compiling it takes 100 ms.
///
/// # Errors
/// The connection is gone.
pub async fn prepare_connection(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!("set search_path = {LIVE}, {BEFORE}; set client_min_messages = warning; set jit = off"))
        .await
}

/// A connection of one's own, taken out of the pool for good: it is closed when it is dropped, also in the middle of a
/// statement. Who keeps it between uses takes it out of its place meanwhile, and puts it back once that use succeeded.
pub(super) async fn open(pool: &Pool) -> Result<ClientWrapper, Error> {
    // On the heap: it is seldom done, and what it holds is large.
    Ok(Object::take(within(QUERY_MAX, Box::pin(pool.get())).await??))
}

/// The same, with settings.
pub(super) async fn open_with(pool: &Pool, settings: &str) -> Result<ClientWrapper, Error> {
    let client = open(pool).await?;
    within(QUERY_MAX, client.batch_execute(settings)).await??;
    Ok(client)
}

/// A connection that applies, with the statements it has prepared, by the address of their text and whether they are for
/// many rows.
pub(super) struct Writer {
    pub(super) client: ClientWrapper,
    pub(super) statements: HashMap<(usize, usize, bool), Statement>,
    /// Where in its table the checkpoint of each read model is, as the last transaction left it.
    pub(super) places: HashMap<&'static str, String>,
}

impl Writer {
    /// Opens one that applies to the read models of a schema.
    pub(super) async fn open(pool: &Pool, schema: &str) -> Result<Self, Error> {
        // Not flushed at each commit: what a crash takes back, rows and checkpoint alike, is projected again.
        let settings = format!(
            "set search_path = {schema}; {by_index}; set plan_cache_mode = force_generic_plan;
             set synchronous_commit = off; set idle_in_transaction_session_timeout = {}",
            IDLE_MAX.as_millis()
        );
        Ok(Self { client: open_with(pool, &settings).await?, statements: HashMap::new(), places: HashMap::new() })
    }

    pub(super) async fn statement(&mut self, sql: &'static str) -> Result<Statement, Failure> {
        let key = (sql.as_ptr() as usize, sql.len(), false);
        if let Some(statement) = self.statements.get(&key) {
            return Ok(statement.clone());
        }
        let statement = within(APPLY_MAX, self.client.prepare(sql)).await??;
        self.statements.insert(key, statement.clone());
        Ok(statement)
    }

    /// Ends a transaction of which nothing is kept.
    pub(super) async fn roll_back(&mut self) -> Result<(), Failure> {
        self.places.clear();
        self.run("rollback").await
    }

    /// Runs statements that answer nothing.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Failure> {
        Ok(within(APPLY_MAX, self.client.batch_execute(sql)).await??)
    }
}
