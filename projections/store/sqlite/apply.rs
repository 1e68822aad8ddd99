//! Applying events: rows and checkpoints of every read model in one transaction.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql, TransactionBehavior, params, params_from_iter};

use super::parking::park;
use super::{Sqlite, Writer};
use crate::changes::{Changes, Value};
use crate::store::parking::{Fate, Keys, stream_of};
use crate::store::shares::Share;
use crate::store::{Checkpoint, Error};
use crate::{Arrival, Entry, Inconsistent, Projection};

const move_checkpoint: &str = "UPDATE store_checkpoint SET position = $1, event = $2 WHERE model = $3";
const move_every_checkpoint: &str = "UPDATE store_checkpoint SET position = $1, event = $2";
const count_checkpoints: &str = "SELECT COUNT(*) FROM store_checkpoint";

/// Why an event could not be applied to one read model.
pub(super) enum Failure {
    /// It is the event's fault: it is parked.
    Poison(String),
    /// It is not.
    Store(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(cause, message)
                if matches!(
                    cause.code,
                    ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
                ) =>
            {
                // The message names a constraint and its columns, never a value.
                Self::Poison(message.clone().unwrap_or_else(|| cause.to_string()))
            }
            _ => Self::Store(error.into()),
        }
    }
}

impl From<Inconsistent> for Failure {
    fn from(inconsistent: Inconsistent) -> Self {
        Self::Poison(inconsistent.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Sqlite {
    /// Writes the shares of a batch in one transaction: all of them or none.
    pub(in crate::store) fn apply(&self, shares: &[Share<'_, '_>]) -> Result<(), Error> {
        let mut writer = self.writer();
        if !writer.transact(shares, false)? {
            writer.transact(shares, true)?;
        }
        Ok(())
    }
}

impl Writer {
    /// Applies all shares in one transaction. Where an event is poison it is parked if `parking`; if not, nothing is
    /// changed and the answer is `false`: the fast way is without a savepoint around each event.
    fn transact(&mut self, shares: &[Share<'_, '_>], parking: bool) -> Result<bool, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut parked = parking.then(|| self.parked.clone());
        for share in shares {
            match &mut parked {
                None => match apply_share(&transaction, share, &self.parked) {
                    Ok(()) => {}
                    Err(Failure::Poison(_)) => return Ok(false),
                    Err(Failure::Store(error)) => return Err(error),
                },
                Some(parked) => apply_share_parking(&transaction, share, parked)?,
            }
        }
        move_checkpoints(&transaction, shares)?;
        transaction.commit()?;
        if let Some(parked) = parked {
            self.parked = parked;
        }
        Ok(true)
    }
}

/// Moves the checkpoint of each share. Nearly always every read model there is has one, and all end with the same event:
/// then one statement does.
pub(super) fn move_checkpoints(connection: &Connection, shares: &[Share<'_, '_>]) -> Result<(), Error> {
    let place = |after: Checkpoint| {
        (i64::try_from(after.position).unwrap_or(i64::MAX), after.event.map(|event| event.0.into_bytes()))
    };
    let Some(first) = shares.first().map(|share| share.after) else { return Ok(()) };
    let alike = shares.iter().all(|share| place(share.after) == place(first));
    let every = || connection.prepare_cached(count_checkpoints)?.query_row([], |row| row.get::<_, usize>(0));
    if alike && every()? == shares.len() {
        let (position, event) = place(first);
        connection.prepare_cached(move_every_checkpoint)?.execute(params![position, event])?;
        return Ok(());
    }
    for share in shares {
        let (position, event) = place(share.after);
        connection.prepare_cached(move_checkpoint)?.execute(params![position, event, share.after.model])?;
    }
    Ok(())
}

fn apply_share(connection: &Connection, share: &Share<'_, '_>, parked: &Keys) -> Result<(), Failure> {
    let model = share.model;
    let mut prepared = Prepared::new(connection);
    let mut changes = Changes::default();
    for arrival in share.arrivals {
        match parked.fate(model.name(), arrival) {
            Fate::Applied => {}
            Fate::Skipped => continue,
            Fate::HeldBack(stream) => {
                park(connection, model.name(), &stream, arrival, None)?;
                continue;
            }
        }
        match arrival {
            Arrival::Decoded(entry) => prepared.project(model, entry, &mut changes)?,
            Arrival::Undecodable(poison) => return Err(Failure::Poison(poison.reason.clone())),
        }
    }
    prepared.add_up()
}

pub(super) fn apply_share_parking(
    connection: &Connection,
    share: &Share<'_, '_>,
    parked: &mut Keys,
) -> Result<(), Error> {
    let model = share.model;
    let mut prepared = Prepared::new(connection);
    let mut changes = Changes::default();
    for arrival in share.arrivals {
        match parked.fate(model.name(), arrival) {
            Fate::Applied => {}
            Fate::Skipped => continue,
            Fate::HeldBack(stream) => {
                park(connection, model.name(), &stream, arrival, None)?;
                continue;
            }
        }
        let failure = match arrival {
            Arrival::Decoded(entry) => attempt(connection, &mut prepared, model, entry, &mut changes).err(),
            Arrival::Undecodable(poison) => Some(Failure::Poison(poison.reason.clone())),
        };
        match failure {
            None => {}
            Some(Failure::Poison(reason)) => {
                let stream = stream_of(arrival);
                let position = arrival.position();
                tracing::error!(model = model.name(), stream, position, reason, "a stream was parked");
                park(connection, model.name(), &stream, arrival, Some(&reason))?;
                parked.insert(model.name(), stream);
            }
            Some(Failure::Store(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Applies one event to one read model, whole or not at all.
pub(super) fn attempt(
    connection: &Connection,
    prepared: &mut Prepared<'_>,
    model: &dyn Projection,
    entry: &Entry<'_>,
    changes: &mut Changes,
) -> Result<(), Failure> {
    connection.prepare_cached("SAVEPOINT event")?.execute([])?;
    let result = prepared.project(model, entry, changes).and_then(|()| prepared.add_up());
    if matches!(result, Err(Failure::Poison(_))) {
        connection.prepare_cached("ROLLBACK TO event")?.execute([])?;
    }
    connection.prepare_cached("RELEASE event")?.execute([])?;
    result
}

/// Statements in use, found by the address of their constant: hashing the text for each event would cost as much as
/// a small insert.
pub(super) struct Prepared<'c> {
    connection: &'c Connection,
    statements: Vec<(*const u8, usize, CachedStatement<'c>)>,
    /// What is to be added to a row and is not yet, at most one sum for each row.
    sums: Vec<Sum>,
}

/// What is to be added to the row of a key.
struct Sum {
    sql: &'static str,
    key: Vec<Value>,
    number: i64,
}

/// The table that such a statement adds to.
fn table_of(sql: &str) -> &str {
    sql.split_whitespace().nth(2).unwrap_or_default()
}

impl<'c> Prepared<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, statements: Vec::new(), sums: Vec::new() }
    }

    fn project(&mut self, model: &dyn Projection, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Failure> {
        changes.clear();
        model.project(entry, changes)?;
        for change in changes.iter() {
            if let (true, Some((Value::Int(number), key))) = (change.adds, change.params.split_last()) {
                self.add(change.sql, key, *number);
                continue;
            }
            if self.sums.iter().any(|sum| change.sql.contains(table_of(sum.sql))) {
                self.add_up()?;
            }
            let changed = self.statement(change.sql)?.execute(params_from_iter(change.params))?;
            if change.must_change && changed == 0 {
                return Err(Inconsistent("it is about a row that does not exist").into());
            }
        }
        Ok(())
    }

    fn add(&mut self, sql: &'static str, key: &[Value], number: i64) {
        match self.sums.iter_mut().find(|sum| std::ptr::eq(sum.sql, sql) && sum.key == key) {
            Some(sum) => sum.number += number,
            None => self.sums.push(Sum { sql, key: key.to_vec(), number }),
        }
    }

    /// Writes what is to be added: before a statement that looks at one of those rows, and when the events are through.
    fn add_up(&mut self) -> Result<(), Failure> {
        for Sum { sql, mut key, number } in std::mem::take(&mut self.sums) {
            key.push(Value::Int(number));
            self.statement(sql)?.execute(params_from_iter(&key))?;
        }
        Ok(())
    }

    fn statement(&mut self, sql: &'static str) -> Result<&mut CachedStatement<'c>, rusqlite::Error> {
        let known = self.statements.iter().position(|(text, length, _)| *text == sql.as_ptr() && *length == sql.len());
        let index = match known {
            Some(index) => index,
            None => {
                self.statements.push((sql.as_ptr(), sql.len(), self.connection.prepare_cached(sql)?));
                self.statements.len() - 1
            }
        };
        Ok(&mut self.statements[index].2)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
