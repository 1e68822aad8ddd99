//! A digest over the rows of a read model: equal exactly when a rebuild gives the same rows.

use rusqlite::Connection;

use super::Sqlite;
use super::lifecycle::stored_tables;
use crate::store::Error;
use crate::store::digest::Rows;
use crate::store::row::cell;

const key_columns: &str = "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk";

impl Sqlite {
    pub(in crate::store) fn digest(&self, model: &str) -> Result<[u8; 32], Error> {
        self.reading(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let tables: String = snapshot.query_row(stored_tables, [model], |row| row.get(0))?;
            let mut digest = Rows::default();
            for table in tables.split(',') {
                digest_table(&snapshot, table, &mut digest)?;
            }
            Ok(digest.finish())
        })
    }
}

fn digest_table(connection: &Connection, table: &str, digest: &mut Rows) -> Result<(), Error> {
    let keys: Vec<String> =
        connection.prepare(key_columns)?.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {}", keys.join(", ")))?;
    let columns = statement.column_count();
    digest.table(table);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        digest.row();
        for column in 0..columns {
            digest.cell(&cell(row.get_ref(column)?).ok_or(Error::Column(column))?);
        }
    }
    Ok(())
}
