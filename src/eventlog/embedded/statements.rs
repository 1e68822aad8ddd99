//! The statements that more than one part of this adapter runs, and what their failures mean.

use chrono::DateTime;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::dictionary::{Dictionary, Kind, Table};
use super::pack::{self, Context};
use super::packer::Packer;
#[cfg(feature = "kurrentdb")]
use super::step::Mark;
use super::stream_key::{self, Name};
use crate::eventlog::{Error, Idempotency, RawEvent};

const REVISION: &str = "select coalesce(max(revision), 0) from event where stream = ?1";
const BLOBS: &str = "select blobs from event where position = ?1";
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

/// The event of a row, which holds the columns of the table in their order.
pub(super) fn event(dictionary: &Dictionary, row: &Row<'_>) -> Result<RawEvent, Error> {
    let position = row.get::<_, u64>(0)?;
    let corrupt = |reason: &str| Error::Corrupt { position, reason: reason.into() };
    let table = dictionary.read();
    let (stream, uuids) = stream_key::read(&table, row.get_ref(1)?)
        .ok_or_else(|| corrupt("the name of its stream cannot be unpacked"))?;
    let id: [u8; 16] = row.get(3).map_err(|_| corrupt("its id is not 16 bytes"))?;
    let name = table.term(Kind::EventName, row.get(4)?).ok_or_else(|| corrupt("its name is unknown"))?;
    let recorded_at = row.get(6)?;
    let context = Context { uuids: &uuids, recorded_at };
    let core = row.get_ref(7)?.as_blob().ok().and_then(|core| pack::unpack_core(&table, context, core));
    let blobs = row.get_ref(8)?.as_blob_or_null().map_err(|_| corrupt("its ciphertexts are no bytes"))?;
    Ok(RawEvent {
        position,
        stream: stream.into(),
        revision: row.get(2)?,
        id: uuid::Uuid::from_bytes(id),
        name: String::from_utf8_lossy(name).into_owned().into(),
        version: row.get(5)?,
        recorded_at: DateTime::from_timestamp_millis(recorded_at).ok_or_else(|| corrupt("its time is none"))?,
        core: core.ok_or_else(|| corrupt("its core cannot be unpacked"))?.into(),
        blobs: blobs.map(|packed| unpack_blobs(&table, position, packed)).transpose()?.map(Into::into),
    })
}

/// The revision of a stream; 0: it does not exist.
pub(super) fn revision(connection: &Connection, dictionary: &Dictionary, stream: &str) -> rusqlite::Result<u64> {
    let key = Name::of(stream).key(&dictionary.read());
    connection.prepare_cached(REVISION)?.query_row([key], |row| row.get(0))
}

/// What was stored under an idempotency key.
pub(super) fn outcome(connection: &Connection, key: &[u8; 32]) -> rusqlite::Result<Option<Stored>> {
    let mut statement = connection.prepare_cached(OUTCOME)?;
    statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Whether a statement failed because a stream has an event of that revision already.
pub(super) fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}

pub(super) fn insert(connection: &Connection, packer: &mut Packer, event: &RawEvent) -> rusqlite::Result<()> {
    let Some(name) = packer.event_name(connection, &event.name)? else {
        return Err(rusqlite::Error::ToSqlConversionFailure("there are too many names of events".into()));
    };
    let row = packer.row(connection, event)?;
    connection.prepare_cached(INSERT)?.execute(params![
        event.position,
        row.stream,
        event.revision,
        event.id.as_bytes(),
        name,
        event.version,
        event.recorded_at.timestamp_millis(),
        row.core,
        row.blobs,
    ])?;
    Ok(())
}

pub(super) fn insert_outcome(connection: &Connection, guard: &Idempotency) -> rusqlite::Result<()> {
    let Idempotency { key, fingerprint, outcome, recorded_at } = guard;
    let at = recorded_at.timestamp_millis();
    connection.prepare_cached(INSERT_OUTCOME)?.execute(params![key, fingerprint, outcome, at])?;
    Ok(())
}

/// The blobs of an event; `None`: there is no such event.
pub(super) fn blobs(
    connection: &Connection,
    dictionary: &Dictionary,
    position: u64,
) -> Result<Option<Option<Vec<u8>>>, Error> {
    let mut statement = connection.prepare_cached(BLOBS)?;
    let packed = statement.query_row([position], |row| row.get::<_, Option<Vec<u8>>>(0)).optional()?;
    packed
        .map(|packed| packed.map(|packed| unpack_blobs(&dictionary.read(), position, &packed)).transpose())
        .transpose()
}

/// The blobs of a row.
pub(super) fn unpack_blobs(table: &Table, position: u64, packed: &[u8]) -> Result<Vec<u8>, Error> {
    let corrupt = || Error::Corrupt { position, reason: "its ciphertexts cannot be unpacked".into() };
    pack::unpack_blobs(table, packed).ok_or_else(corrupt)
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
