//! Logs of the first format, in which streams, cores and blobs stood as they are: rewritten in the present one.

use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use rusqlite::{Connection, OpenFlags, Row};

use super::dictionary::Dictionary;
use super::file::{APPLICATION_ID, EARLIER, FORMAT, SCHEMA, format};
use super::packer::Packer;
use super::statements;
use crate::eventlog::{Error, RawEvent};

const SET_ASIDE: &str = "drop trigger event_core_is_immutable;
    drop trigger event_is_never_deleted;
    drop index event_of_stream;
    drop index if exists outcome_by_time;
    alter table event rename to event_1;
    alter table event_name rename to event_name_1;
    alter table outcome rename to outcome_1;";
const PAGE: &str = "select position, stream, revision, id, event_name_1.name, version, recorded_at, core, blobs
    from event_1 left join event_name_1 on event_name_1.number = event_1.name
    where position > ?1 order by position limit ?2";
const WRITTEN: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs from event
    where position > ?1 order by position limit ?2";
const KEEP_OUTCOMES: &str = "insert into outcome (key, fingerprint, outcome, recorded_at)
    select key, fingerprint, outcome, recorded_at from outcome_1";
const DROP: &str = "drop table event_1; drop table event_name_1; drop table outcome_1;";
const HEAD: &str = "select coalesce(max(position), 0) from event_1";
/// Events that are read together.
const PAGE_SIZE: u64 = 2_000;

/// Rewrites a log in one transaction; answers how many events it holds. See `Embedded::convert`.
pub(super) fn convert(path: &Path, progress: &dyn Fn(u64, u64)) -> Result<Option<u64>, Error> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    match format(&connection)? {
        (_, APPLICATION_ID, EARLIER) => {}
        (_, APPLICATION_ID, FORMAT) => return Ok(None),
        _ => return Err(Error::Unavailable(format!("{} is no log of format {EARLIER} or {FORMAT}", path.display()))),
    }
    connection.execute_batch("pragma journal_mode = wal; pragma synchronous = full; pragma cache_size = -32768;")?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(SET_ASIDE)?;
    transaction.execute_batch(SCHEMA)?;
    let events = rewrite(&transaction, progress)?;
    transaction.execute(KEEP_OUTCOMES, [])?;
    transaction.execute_batch(DROP)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    // Gives the room back, and with it every copy of what is detached later.
    connection.execute_batch("vacuum")?;
    connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
    Ok(Some(events))
}

fn rewrite(connection: &Connection, progress: &dyn Fn(u64, u64)) -> Result<u64, Error> {
    let mut packer = Packer::new(Arc::new(Dictionary::default()));
    let head = connection.query_row(HEAD, [], |row| row.get(0))?;
    let mut done = 0;
    while done < head {
        let page = read(connection, PAGE, done, event)?;
        let missing = (done + 1..=head).zip(page.iter().map(Some).chain([None]));
        let missing =
            missing.take(page.len().max(1)).find(|(due, found)| found.is_none_or(|found| found.position != *due));
        if let Some((position, _)) = missing {
            return Err(Error::Corrupt { position, reason: "the event is missing".into() });
        }
        page.iter().try_for_each(|event| statements::insert(connection, &mut packer, event))?;
        let written = read(connection, WRITTEN, done, |row| statements::event(&packer.dictionary, row))?;
        done += page.len() as u64;
        if let Some((event, _)) = page.iter().zip(&written).find(|(event, written)| event != written) {
            return Err(Error::Corrupt { position: event.position, reason: "it is not the same rewritten".into() });
        }
        progress(done, head);
    }
    Ok(head)
}

fn read(
    connection: &Connection,
    sql: &str,
    after: u64,
    event: impl Fn(&Row<'_>) -> Result<RawEvent, Error>,
) -> Result<Vec<RawEvent>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([after, PAGE_SIZE])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row)?);
    }
    Ok(events)
}

/// The event of a row of the first format.
fn event(row: &Row<'_>) -> Result<RawEvent, Error> {
    let position = row.get(0)?;
    let corrupt = |reason: &str| Error::Corrupt { position, reason: reason.into() };
    let id: [u8; 16] = row.get(3).map_err(|_| corrupt("its id is not 16 bytes"))?;
    Ok(RawEvent {
        position,
        stream: row.get::<_, String>(1)?.into(),
        revision: row.get(2)?,
        id: uuid::Uuid::from_bytes(id),
        name: row.get::<_, Option<String>>(4)?.ok_or_else(|| corrupt("its name is unknown"))?.into(),
        version: row.get(5)?,
        recorded_at: DateTime::from_timestamp_millis(row.get(6)?).ok_or_else(|| corrupt("its time is none"))?,
        core: row.get::<_, Vec<u8>>(7)?.into(),
        blobs: row.get::<_, Option<Vec<u8>>>(8)?.map(Into::into),
    })
}
