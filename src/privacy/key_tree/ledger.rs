//! What was destroyed for which erasure, and the state of the log that was seen last: what a log cannot say of itself
//! once it was put back to an earlier state.

use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::personal::{Class, DestroyedKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::db::{Db, Row};
use crate::privacy::{Destruction, Error, KeysToDestroy, Witnessed};

const OF_ERASURE: &str =
    "select erasure, doomed, generation_before, generation_after from destruction where erasure = $1";
const AFTER: &str = "select erasure, doomed, generation_before, generation_after, number from destruction
    where number > $1 order by number limit $2";
const LAST: &str = "select coalesce(max(number), 0) from destruction";
const INSERT: &str =
    "insert into destruction (erasure, doomed, generation_before, generation_after) values ($1, $2, $3, $4)";
const WITNESS: &str = "insert into witnessed (id, size, root) values (1, $1, $2)
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

fn read(row: &Row) -> Result<Destruction, Error> {
    let damaged = |error: &dyn std::fmt::Display| Error::Damaged(format!("an entry of the erasure ledger: {error}"));
    let held: Held = serde_json::from_slice(row.text(1)?.as_bytes()).map_err(|error| damaged(&error))?;
    let Held { app, subject, classes, operation, keys } = held;
    let erasure = ErasureId(Uuid::from_bytes(row.array(0)?));
    Ok(Destruction {
        keys_to_destroy: KeysToDestroy { erasure, app, subject, classes, operation },
        keys,
        generation_before: row.number(2)?,
        generation_after: row.number(3)?,
    })
}

/// What an erasure destroyed, if it did.
pub(super) fn of(db: &mut dyn Db, erasure: ErasureId) -> Result<Option<Destruction>, Error> {
    db.row(OF_ERASURE, &[erasure.0.as_bytes().into()])?.map(|row| read(&row)).transpose()
}

/// The destructions with a number above this one, in order, each with its number.
pub(super) fn after(db: &mut dyn Db, number: u64, limit: u32) -> Result<Vec<(u64, Destruction)>, Error> {
    let rows = db.query(AFTER, &[number.into(), limit.into()])?;
    rows.iter().map(|row| Ok((row.number(4)?, read(row)?))).collect()
}

/// The number of the last destruction.
pub(super) fn last(db: &mut dyn Db) -> Result<u64, Error> {
    db.row(LAST, &[])?.map_or(Ok(0), |row| row.number(0))
}

/// Records a destruction in its own transaction.
pub(super) fn insert(db: &mut dyn Db, done: &Destruction) -> Result<(), Error> {
    let Destruction { keys_to_destroy: KeysToDestroy { erasure, app, subject, classes, operation }, keys, .. } =
        done.clone();
    let held = serde_json::to_string(&Held { app, subject, classes, operation, keys })
        .map_err(|error| Error::Damaged(error.to_string()))?;
    let (before, after) = (done.generation_before, done.generation_after);
    db.execute(INSERT, &[erasure.0.as_bytes().into(), held.as_str().into(), before.into(), after.into()])
}

pub(super) fn witness(db: &mut dyn Db, seen: Witnessed) -> Result<(), Error> {
    db.execute(WITNESS, &[seen.size.into(), (&seen.root).into()])
}

pub(super) fn witnessed(db: &mut dyn Db) -> Result<Option<Witnessed>, Error> {
    let seen = db.row(WITNESSED, &[])?;
    seen.map(|row| Ok(Witnessed { size: row.number(0)?, root: row.array(1)? })).transpose()
}
