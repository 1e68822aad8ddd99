//! What was destroyed for which erasure, and the state of the log that was seen last: what a log cannot say of itself
//! once it was put back to an earlier state.

use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::personal::{Class, DestroyedKey};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::privacy::{Destruction, Doomed, Error, Witnessed};

const OF_ERASURE: &str =
    "select erasure, doomed, generation_before, generation_after from destruction where erasure = ?1";
const ALL: &str = "select erasure, doomed, generation_before, generation_after from destruction
    where number > ?1 order by number limit ?2";
const INSERT: &str =
    "insert into destruction (erasure, doomed, generation_before, generation_after) values (?1, ?2, ?3, ?4)";
const WITNESS: &str = "insert into witnessed (id, size, root) values (1, ?1, ?2)
    on conflict (id) do update set size = excluded.size, root = excluded.root";
const WITNESSED: &str = "select size, root from witnessed where id = 1";

#[derive(Serialize, Deserialize)]
struct Held {
    app: AppId,
    subject: SubjectRef,
    classes: Vec<Class>,
    operation: OperationId,
    keys: Vec<DestroyedKey>,
}

fn read(row: &Row<'_>) -> Result<Destruction, Error> {
    let damaged = |error: &dyn std::fmt::Display| Error::Damaged(format!("an entry of the erasure ledger: {error}"));
    let held: Held = serde_json::from_str(&row.get::<_, String>(1)?).map_err(|error| damaged(&error))?;
    let Held { app, subject, classes, operation, keys } = held;
    let erasure = ErasureId(Uuid::from_bytes(row.get(0)?));
    Ok(Destruction {
        doomed: Doomed { erasure, app, subject, classes, operation },
        keys,
        generation_before: row.get(2)?,
        generation_after: row.get(3)?,
    })
}

/// What an erasure destroyed, if it did.
pub(super) fn of(connection: &Connection, erasure: ErasureId) -> Result<Option<Destruction>, Error> {
    let mut statement = connection.prepare_cached(OF_ERASURE)?;
    let mut rows = statement.query([erasure.0.as_bytes()])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn after(connection: &Connection, skip: u32, limit: u32) -> Result<Vec<Destruction>, Error> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut rows = statement.query([skip, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Records a destruction in its own transaction.
pub(super) fn insert(transaction: &Transaction<'_>, done: &Destruction) -> Result<(), Error> {
    let Destruction { doomed: Doomed { erasure, app, subject, classes, operation }, keys, .. } = done.clone();
    let held = serde_json::to_string(&Held { app, subject, classes, operation, keys })
        .map_err(|error| Error::Damaged(error.to_string()))?;
    let (before, after) = (done.generation_before, done.generation_after);
    transaction.prepare_cached(INSERT)?.execute(params![erasure.0.as_bytes(), held, before, after])?;
    Ok(())
}

pub(super) fn witness(connection: &Connection, seen: Witnessed) -> Result<(), Error> {
    connection.prepare_cached(WITNESS)?.execute(params![seen.size, seen.root])?;
    Ok(())
}

pub(super) fn witnessed(connection: &Connection) -> Result<Option<Witnessed>, Error> {
    let seen = connection
        .prepare_cached(WITNESSED)?
        .query_row([], |row| Ok(Witnessed { size: row.get(0)?, root: row.get(1)? }));
    Ok(seen.optional()?)
}
