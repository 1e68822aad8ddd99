//! What an operator had a read model skip, kept in a small file of its own beside the store: no replay of the log would
//! decide it again, so it must outlive a store that is removed, or that is not flushed.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

use super::unflushed;
use crate::store::Error;
use crate::store::parking::skip_event;

pub(super) const schema: &str = "
    CREATE TABLE IF NOT EXISTS store_skipped (
        model TEXT NOT NULL, stream TEXT NOT NULL, position BIGINT NOT NULL, event BLOB NOT NULL, reason TEXT NOT NULL,
        skipped_at BIGINT NOT NULL, PRIMARY KEY (model, event)) WITHOUT ROWID;";
const all: &str = "SELECT model, stream, position, event, reason, skipped_at FROM store_skipped";
const forget_all: &str = "DELETE FROM store_skipped";
const has_table: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'store_skipped')";
const any: &str = "SELECT EXISTS (SELECT 1 FROM store_skipped)";

/// Columns of the table.
const COLUMNS: usize = 6;

/// The file beside a store.
pub(super) fn path_of(store: &Path) -> PathBuf {
    unflushed::with_suffix(store, "-skipped")
}

/// Keeps what a store skips. When this returns, it is on the disk.
pub(super) fn keep(store: &Connection, file: &Path) -> Result<(), Error> {
    let mut kept = Connection::open(file)?;
    // EXTRA: the end of the transaction is flushed too, not only its rows.
    kept.execute_batch("PRAGMA synchronous = EXTRA;")?;
    kept.execute_batch(schema)?;
    let transaction = kept.transaction()?;
    transaction.execute(forget_all, [])?;
    copy(store, &transaction)?;
    transaction.commit()?;
    Ok(())
}

/// At the start: a store that is new skips what is kept. One that was there has the last word, since it may have been
/// interrupted between the two.
pub(super) fn reconcile(store: &mut Connection, file: &Path) -> Result<(), Error> {
    // The table and its rows come in one transaction, so a store that has the table has the rows.
    let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_new = !transaction.query_row(has_table, [], |row| row.get::<_, bool>(0))?;
    transaction.execute_batch(schema)?;
    if is_new && file.exists() {
        copy(&Connection::open(file)?, &transaction)?;
    }
    transaction.commit()?;
    let skips: bool = store.query_row(any, [], |row| row.get(0))?;
    if !is_new && (skips || file.exists()) { keep(store, file) } else { Ok(()) }
}

fn copy(from: &Connection, to: &Connection) -> Result<(), Error> {
    let mut statement = from.prepare(all)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..COLUMNS).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>()?;
        to.execute(skip_event, params_from_iter(values))?;
    }
    Ok(())
}
