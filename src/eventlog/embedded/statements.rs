//! The statements that more than one part of this adapter runs, and what their failures mean.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::names::Names;
#[cfg(feature = "kurrentdb")]
use super::step::Mark;
use crate::eventlog::{Error, Idempotency, RawEvent};

const REVISION: &str = "select coalesce(max(revision), 0) from event where stream = ?1";
const OUTCOME: &str = "select fingerprint, outcome from outcome where key = ?1";
const INSERT: &str = "insert into event (position, stream, revision, id, name, version, recorded_at, core, blobs)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const INSERT_OUTCOME: &str = "insert into outcome (key, fingerprint, outcome, recorded_at) values (?1, ?2, ?3, ?4)";

#[cfg(feature = "kurrentdb")]
const MARK: &str = "select source, revision, id from mirrored";

/// Fingerprint and outcome of a key.
pub(super) type Stored = ([u8; 32], Vec<u8>);

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".into(),
            _ => error.to_string(),
        })
    }
}

/// The revision of a stream; 0: it does not exist.
pub(super) fn revision(connection: &Connection, stream: &str) -> rusqlite::Result<u64> {
    connection.prepare_cached(REVISION)?.query_row([stream], |row| row.get(0))
}

/// What was stored under an idempotency key.
pub(super) fn outcome(connection: &Connection, key: &[u8; 32]) -> rusqlite::Result<Option<Stored>> {
    let mut statement = connection.prepare_cached(OUTCOME)?;
    statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

pub(super) fn insert(connection: &Connection, names: &Names, event: &RawEvent) -> rusqlite::Result<()> {
    let name = names.number(connection, &event.name)?;
    connection.prepare_cached(INSERT)?.execute(params![
        event.position,
        event.stream,
        event.revision,
        event.id.as_bytes(),
        name,
        event.version,
        event.recorded_at.timestamp_millis(),
        &event.core[..],
        event.blobs.as_deref(),
    ])?;
    Ok(())
}

pub(super) fn insert_outcome(connection: &Connection, guard: &Idempotency) -> rusqlite::Result<()> {
    let Idempotency { key, fingerprint, outcome, recorded_at } = guard;
    let at = recorded_at.timestamp_millis();
    connection.prepare_cached(INSERT_OUTCOME)?.execute(params![key, fingerprint, outcome, at])?;
    Ok(())
}

/// How far the other log was taken over, as a file says; `None`: nothing was yet.
#[cfg(feature = "kurrentdb")]
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<Option<Mark>> {
    let mark = connection.query_row(MARK, [], |row| {
        let id: [u8; 16] = row.get(2)?;
        Ok(Mark { source: row.get(0)?, revision: row.get(1)?, id: uuid::Uuid::from_bytes(id) })
    });
    mark.optional()
}
