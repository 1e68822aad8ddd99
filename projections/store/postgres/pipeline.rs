//! The statements of a batch: many in flight at once, and many rows in one statement where that changes nothing.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::Poll;

use futures_util::poll;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::connection::Writer;
use super::deadline::{APPLY_MAX, within};
use super::failure::Failure;
use super::rows::{Insert, ROWS_MAX};
use super::unnest::types;
use crate::changes::Change;
use crate::{Inconsistent, Projection, Value};

/// Statements in flight before the answers to them are looked at.
const IN_FLIGHT_MAX: usize = 1_024;

/// A statement in flight, and whether it must change a row.
type InFlight<'w> = (bool, Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'w>>);

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
    /// Where the row is of what no two may have alike.
    by_key: HashMap<Vec<Value>, usize>,
}

impl Waiting {
    fn push(&mut self, insert: &Insert, row: &[Value]) {
        if let Some(key) = insert.key(row) {
            self.by_key.insert(key, self.rows.len());
        }
        self.rows.push(row.to_vec());
    }
}

/// A parameter: of one row, or of each of many.
#[derive(Debug)]
enum Param {
    One(Value),
    Many(Vec<Value>),
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::One(value) => value.to_sql(ty, out),
            Self::Many(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // As for one value: the server says what it expects.
        true
    }

    to_sql_checked!();
}

/// The parameters of a statement for these rows.
fn columns(rows: Vec<Vec<Value>>) -> Vec<Param> {
    let mut columns: Vec<Vec<Value>> = Vec::new();
    for row in rows {
        columns.resize_with(row.len(), Vec::new);
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let params = columns.into_iter().map(|mut column| match column.len() {
        1 => column.pop().map_or(Param::Many(column), Param::One),
        _ => Param::Many(column),
    });
    params.collect()
}

/// What a batch does, one read model after the other.
pub(super) struct Pipeline<'w> {
    client: &'w Client,
    statements: &'w mut HashMap<(usize, usize, bool), Statement>,
    /// Those of the read model that goes on.
    tables: &'static [&'static str],
    known: HashMap<(usize, usize), Known>,
    waiting: Vec<Waiting>,
    in_flight: Vec<InFlight<'w>>,
}

/// Fails where a statement that must change a row changed none.
pub(super) fn check(must_change: bool, changed: u64) -> Result<(), Failure> {
    if must_change && changed == 0 { Err(Inconsistent("it is about a row that does not exist").into()) } else { Ok(()) }
}

fn key(sql: &'static str) -> (usize, usize) {
    (sql.as_ptr() as usize, sql.len())
}

impl<'w> Pipeline<'w> {
    pub(super) fn new(writer: &'w mut Writer) -> Self {
        let Writer { client, statements, .. } = writer;
        Self { client, statements, tables: &[], known: HashMap::new(), waiting: vec![], in_flight: vec![] }
    }

    /// Sends what waits of the read model before; what comes is of this one.
    pub(super) async fn go_on_with(&mut self, model: &dyn Projection) -> Result<(), Failure> {
        self.send_waiting(|_, _| true).await?;
        self.known.clear();
        self.tables = model.tables();
        Ok(())
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
        if let Some(Known { insert: Some(insert), .. }) = self.known.get(&key(sql)).filter(|_| may_wait) {
            let mut waiting = Waiting { sql, rows: vec![], by_key: HashMap::new() };
            waiting.push(insert, params);
            self.waiting.push(waiting);
            return Ok(());
        }
        self.send(sql, params.iter().cloned().map(Param::One).collect(), must_change).await
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
        let Waiting { rows, by_key, .. } = &mut self.waiting[at];
        match insert.key(params).and_then(|key| by_key.get(&key)) {
            Some(at) if adds => match (rows[*at].last_mut(), params.last()) {
                (Some(Value::Int(sum)), Some(Value::Int(more))) => {
                    *sum += more;
                    true
                }
                _ => false,
            },
            Some(_) => false,
            None if rows.len() >= ROWS_MAX => false,
            None => {
                self.waiting[at].push(insert, params);
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
        for Waiting { sql, rows, .. } in go {
            self.send(sql, columns(rows), false).await?;
        }
        Ok(())
    }

    async fn send(&mut self, sql: &'static str, params: Vec<Param>, must_change: bool) -> Result<(), Failure> {
        let (address, length) = key(sql);
        let is_many = params.first().is_some_and(|param| matches!(param, Param::Many(_)));
        let statement = match self.statements.get(&(address, length, is_many)) {
            Some(statement) => statement.clone(),
            None => {
                // Its answer would wait behind those of the others, which nobody takes meanwhile.
                self.drain().await?;
                let mut statement = within(APPLY_MAX, self.client.prepare(sql)).await??;
                let insert = self.known.get(&key(sql)).and_then(|known| known.insert.as_ref());
                if let Some(insert) = insert.filter(|_| is_many) {
                    let many = insert.text(&types(&statement));
                    statement = within(APPLY_MAX, self.client.prepare(&many)).await??;
                }
                self.statements.entry((address, length, is_many)).or_insert(statement).clone()
            }
        };
        let client = self.client;
        let mut sent: Pin<Box<dyn Future<Output = _> + Send + 'w>> =
            Box::pin(async move { client.execute_raw(&statement, params).await });
        // The first poll sends it: in the order of the log.
        if let Poll::Ready(done) = poll!(&mut sent) {
            check(must_change, done?)?;
        } else {
            self.in_flight.push((must_change, sent));
        }
        if self.in_flight.len() >= IN_FLIGHT_MAX { self.drain().await } else { Ok(()) }
    }

    /// Sends a statement of the store's own with a list, behind all that waits.
    pub(super) async fn send_with(&mut self, sql: &'static str, list: Vec<Value>) -> Result<(), Failure> {
        self.send_waiting(|_, _| true).await?;
        self.send(sql, vec![Param::Many(list)], false).await
    }

    async fn drain(&mut self) -> Result<(), Failure> {
        let mut first = Ok(());
        for (must_change, sent) in self.in_flight.drain(..) {
            // Every answer is taken, also behind a failure: the first one says why.
            // Except where one is missing: those behind it will not come either.
            let answered =
                within(APPLY_MAX, sent).await?.map_err(Failure::from).and_then(|changed| check(must_change, changed));
            if first.is_ok() {
                first = answered;
            }
        }
        first
    }

    /// Sends everything and waits until all of it is done.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        self.send_waiting(|_, _| true).await?;
        self.drain().await
    }
}
