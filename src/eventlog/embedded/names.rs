//! Event names, each stored once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;

const ALL: &str = "select number, name from event_name";
const INSERT: &str = "insert into event_name (number, name) values (?1, ?2)";

#[derive(Default)]
struct Table {
    numbers: HashMap<Arc<str>, i64>,
    names: HashMap<i64, Arc<str>>,
}

/// The names and their numbers. Those of a transaction that failed are forgotten again.
#[derive(Default)]
pub(super) struct Names(RwLock<Table>);

impl Names {
    /// Takes over what the database holds.
    pub(super) fn reload(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut table = Table::default();
        let mut statement = connection.prepare(ALL)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (number, name) = (row.get(0)?, Arc::<str>::from(row.get::<_, String>(1)?));
            table.numbers.insert(name.clone(), number);
            table.names.insert(number, name);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = table;
        Ok(())
    }

    pub(super) fn name(&self, number: i64) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).names.get(&number).cloned()
    }

    /// The number of a name, given one in this transaction if it has none.
    pub(super) fn number(&self, connection: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(name) {
            return Ok(*number);
        }
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let number = table.names.keys().max().map_or(1, |last| last + 1);
        connection.prepare_cached(INSERT)?.execute((number, name))?;
        let name = Arc::<str>::from(name);
        table.numbers.insert(name.clone(), number);
        table.names.insert(number, name);
        Ok(number)
    }
}
