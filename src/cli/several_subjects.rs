//! userIds of which the log has several subjects: named by positions and subjects, never by the userId.
//!
//! Such a log comes from a version that forgot a new userId while it was not known whether an append about it was kept
//! (docs/decisions/0024-one-user-id.md). Whatever deactivates, erases or exports the userId covers all of its subjects.

use std::path::Path;

use rollcall_projections::Projection as _;
use rollcall_projections::store::ReadStore;
use rollcall_projections::user_directory::{self, Introduced, UserDirectory};
use rollcall_schemas::ids::SubjectRef;
use uuid::Uuid;

use super::Failure;
use super::database_client::Client;
use crate::database;
use crate::out::say;

/// userIds that are looked at together.
const PAGE: u32 = 100;

/// What the subjects of one userId are called in a line.
fn described(subjects: &[Introduced]) -> String {
    let app = subjects.first().map_or("", |first| first.app.as_str());
    let each = subjects.iter().map(|one| format!("user-{} (position {})", one.subject.0, one.position));
    format!("one userId of {app} is {}", each.collect::<Vec<_>>().join(" and "))
}

/// Says each userId of the read models that has several subjects; answers how many there are.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn say_all(read: &ReadStore) -> Result<u64, Failure> {
    let (mut after, mut count) = ([0; 16], 0);
    loop {
        let page = user_directory::ambiguous(read, after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(count) };
        after = *last;
        for (_, subjects) in &page {
            say!("{}", described(subjects));
            count += 1;
        }
    }
}

/// The table that has a row for each subject.
fn table() -> &'static str {
    UserDirectory.tables().first().copied().unwrap_or_default()
}

/// What to ask read models for without opening them for a service: the subjects of the first few such userIds, those of one
/// after another.
fn asked(schema: &str) -> String {
    let table = format!("{schema}{}", table());
    format!(
        "SELECT tag, introduced_position, subject, app FROM {table} WHERE tag IN
            (SELECT tag FROM {table} WHERE tag IS NOT NULL GROUP BY tag HAVING COUNT(*) > 1 ORDER BY tag LIMIT {PAGE})
        ORDER BY tag, introduced_position"
    )
}

/// A row of what is asked: tag, position, subject, app.
type Row = (Vec<u8>, i64, Vec<u8>, String);

fn lines(rows: Vec<Row>) -> Vec<String> {
    let read = |(_, position, subject, app): &Row| {
        let subject = SubjectRef(Uuid::from_slice(subject).ok()?);
        Some(Introduced { position: position.unsigned_abs(), subject, app: app.parse().ok()? })
    };
    let each = rows.chunk_by(|one, next| one.0 == next.0);
    each.map(|rows| described(&rows.iter().filter_map(read).collect::<Vec<_>>())).collect()
}

/// The first of them in the read models on a server; none where there are no read models of this version.
///
/// # Errors
/// The server is unavailable.
pub(super) fn on_server(client: &mut Client) -> Result<Vec<String>, database::Error> {
    let there = format!("select to_regclass('rollcall_read.{}') is not null", table());
    if !client.query_typed_one(&there, &[])?.try_get(0)? {
        return Ok(vec![]);
    }
    let rows = client.query_typed(&asked("rollcall_read."))?;
    let rows = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)));
    Ok(lines(rows.collect::<Result<_, database::Error>>()?))
}

/// The first of them in the read models in a file, which a running service may be writing; none where the file has none of
/// this version.
///
/// # Errors
/// The file cannot be read.
pub(super) fn in_file(file: &Path) -> Result<Vec<String>, rusqlite::Error> {
    if !file.is_file() {
        return Ok(vec![]);
    }
    let connection = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if !connection.table_exists(None, table())? {
        return Ok(vec![]);
    }
    let mut statement = connection.prepare(&asked(""))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(lines(rows.collect::<Result<_, _>>()?))
}
