//! What is parked and what is skipped, as the projector has to know it.

use rollcall_schemas::ids::EventId;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::Arrival;
use crate::store::Error;
use crate::store::parking::{self, Keys, Skipped, parked_at};

/// The parked streams and what is skipped, as they stand in the database.
pub(super) fn load(connection: &Connection) -> Result<Keys, Error> {
    let mut found = Keys::skipping(load_skipped(connection)?.into());
    let mut statement = connection.prepare(parking::keys)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.insert(&row.get::<_, String>(0)?, row.get(1)?);
    }
    Ok(found)
}

pub(super) fn load_skipped(connection: &Connection) -> Result<Skipped, Error> {
    let mut found = Skipped::default();
    let mut statement = connection.prepare(parking::all_skipped)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.insert(row.get(0)?, EventId(Uuid::from_bytes(row.get(1)?)));
    }
    Ok(found)
}

/// Keeps an event for later: with a reason, or `None` behind one that has a reason.
pub(super) fn park(
    connection: &Connection,
    model: &str,
    stream: &str,
    arrival: &Arrival<'_>,
    reason: Option<&str>,
) -> Result<(), Error> {
    let position = i64::try_from(arrival.position()).unwrap_or(i64::MAX);
    connection.prepare_cached(parking::park)?.execute(params![
        model,
        stream,
        position,
        arrival.id().0.as_bytes(),
        reason,
        parked_at()
    ])?;
    Ok(())
}
