//! The statements of a batch on their way: many in flight at once, and many rows in one where that changes nothing.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::Poll;

use futures_util::poll;
use tokio_postgres::{Client, Statement};

use super::Writer;
use super::apply::{Failure, check};
use super::rows::{Insert, ROWS_MAX, sizes};
use crate::changes::Change;
use crate::{Projection, Value};

/// Statements in flight before the answers to them are looked at.
const IN_FLIGHT_MAX: usize = 1_024;

/// A statement on its way, and whether it must change a row.
type Flying<'w> = (bool, Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'w>>);

/// What is known of a statement's text.
struct Known {
    insert: Option<Insert>,
    /// A bit for each table of the read model that it names.
    tables: u64,
}

/// Rows that wait for more of their kind.
struct Waiting {
    sql: &'static str,
    rows: Vec<Vec<Value>>,
}

/// What one read model does in a batch.
pub(super) struct Flight<'w> {
    client: &'w Client,
    statements: &'w mut HashMap<(usize, usize, usize), Statement>,
    tables: &'static [&'static str],
    known: HashMap<(usize, usize), Known>,
    waiting: Vec<Waiting>,
    flying: Vec<Flying<'w>>,
}

fn key(sql: &'static str) -> (usize, usize) {
    (sql.as_ptr() as usize, sql.len())
}

impl<'w> Flight<'w> {
    pub(super) fn new(writer: &'w mut Writer, model: &dyn Projection) -> Self {
        let Writer { client, statements } = writer;
        let (client, tables): (&Client, _) = (client, model.tables());
        Self { client, statements, tables, known: HashMap::new(), waiting: vec![], flying: vec![] }
    }

    pub(super) fn client(&self) -> &'w Client {
        self.client
    }

    fn known(&mut self, sql: &'static str) -> &Known {
        let tables = self.tables;
        self.known.entry(key(sql)).or_insert_with(|| {
            let names = |(at, table): (usize, &&str)| if sql.contains(*table) { 1 << at } else { 0 };
            Known { insert: Insert::of(sql), tables: tables.iter().enumerate().map(names).sum() }
        })
    }

    /// Takes a change: behind whatever it must not overtake.
    pub(super) async fn take(&mut self, change: Change<'_>) -> Result<(), Failure> {
        let Change { sql, params, must_change, adds } = change;
        let known = self.known(sql);
        let (tables, may_wait) = (known.tables, known.insert.is_some() && !must_change);
        if may_wait && self.join(sql, params, adds) {
            return Ok(());
        }
        self.send_waiting(|_, of| of & tables != 0).await?;
        if may_wait {
            self.waiting.push(Waiting { sql, rows: vec![params.to_vec()] });
            return Ok(());
        }
        self.send(sql, 1, params.to_vec(), must_change).await
    }

    /// Adds a row to those of its kind that wait; answers whether it could.
    fn join(&mut self, sql: &'static str, params: &[Value], adds: bool) -> bool {
        let Some(Known { insert: Some(insert), .. }) = self.known.get(&key(sql)) else { return false };
        let Some(at) = self.waiting.iter().position(|waiting| key(waiting.sql) == key(sql)) else { return false };
        // What came later about the same table would be overtaken.
        let later = &self.waiting[at + 1..];
        let tables = self.known[&key(sql)].tables;
        if later.iter().any(|waiting| self.known[&key(waiting.sql)].tables & tables != 0) {
            return false;
        }
        let rows = &mut self.waiting[at].rows;
        match rows.iter().position(|row| insert.collides(row, params)) {
            Some(at) if adds => match (rows[at].last_mut(), params.last()) {
                (Some(Value::Int(sum)), Some(Value::Int(more))) => {
                    *sum += more;
                    true
                }
                _ => false,
            },
            Some(_) => false,
            None if rows.len() >= ROWS_MAX => false,
            None => {
                rows.push(params.to_vec());
                true
            }
        }
    }

    /// Sends the rows that wait and of which this is so.
    async fn send_waiting(&mut self, which: impl Fn(&'static str, u64) -> bool) -> Result<(), Failure> {
        let (go, stay) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| which(waiting.sql, self.known[&key(waiting.sql)].tables));
        self.waiting = stay;
        let go: Vec<Waiting> = go;
        for Waiting { sql, rows } in go {
            let mut rest = rows.into_iter();
            for size in sizes(rest.len()) {
                let params: Vec<Value> = rest.by_ref().take(size).flatten().collect();
                self.send(sql, size, params, false).await?;
            }
        }
        Ok(())
    }

    async fn send(
        &mut self,
        sql: &'static str,
        rows: usize,
        params: Vec<Value>,
        must_change: bool,
    ) -> Result<(), Failure> {
        let (address, length) = key(sql);
        let statement = match self.statements.get(&(address, length, rows)) {
            Some(statement) => statement.clone(),
            None => {
                // Its answer would wait behind those of the others, which nobody takes meanwhile.
                self.land().await?;
                let insert = self.known.get(&key(sql)).and_then(|known| known.insert.as_ref());
                let text = insert.filter(|_| rows > 1).map(|insert| insert.text(rows));
                let statement = self.client.prepare(text.as_deref().unwrap_or(sql)).await?;
                self.statements.entry((address, length, rows)).or_insert(statement).clone()
            }
        };
        let client = self.client;
        let mut sent: Pin<Box<dyn Future<Output = _> + Send + 'w>> =
            Box::pin(async move { client.execute_raw(&statement, params).await });
        // The first poll sends it: in the order of the log.
        if let Poll::Ready(done) = poll!(&mut sent) {
            check(must_change, done?)?;
        } else {
            self.flying.push((must_change, sent));
        }
        if self.flying.len() >= IN_FLIGHT_MAX { self.land().await } else { Ok(()) }
    }

    async fn land(&mut self) -> Result<(), Failure> {
        let mut first = Ok(());
        for (must_change, sent) in self.flying.drain(..) {
            // Every answer is taken, also behind a failure: the first one says why.
            let landed = sent.await.map_err(Failure::from).and_then(|changed| check(must_change, changed));
            if first.is_ok() {
                first = landed;
            }
        }
        first
    }

    /// Sends everything and waits until all of it is done.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        self.send_waiting(|_, _| true).await?;
        self.land().await
    }
}
