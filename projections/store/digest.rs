//! A digest over the rows of a read model: equal exactly when a rebuild gives the same rows.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

use super::lifecycle::stored_tables;
use super::{Error, ReadStore};

const key_columns: &str = "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk";

impl ReadStore {
    /// SHA-256 over every column of every row of a read model, table by table in the order of the primary key.
    ///
    /// # Errors
    /// There is no such read model, or the store is unavailable.
    pub fn digest(&self, model: &str) -> Result<[u8; 32], Error> {
        self.checkpoint(model)?;
        self.reading(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let tables: String = snapshot.query_row(stored_tables, [model], |row| row.get(0))?;
            let mut digest = Sha256::new();
            for table in tables.split(',') {
                digest_table(&snapshot, table, &mut digest)?;
            }
            Ok(digest.finalize().into())
        })
    }
}

fn digest_table(connection: &Connection, table: &str, digest: &mut Sha256) -> Result<(), Error> {
    let keys: Vec<String> =
        connection.prepare(key_columns)?.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {}", keys.join(", ")))?;
    let columns = statement.column_count();
    digest.update(table.as_bytes());
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        digest.update([0xff]);
        for column in 0..columns {
            // A type and a length before each value: two different rows never read as the same bytes.
            match row.get_ref(column)? {
                ValueRef::Null => digest.update([0]),
                ValueRef::Integer(number) => {
                    digest.update([1]);
                    digest.update(number.to_be_bytes());
                }
                ValueRef::Real(number) => {
                    digest.update([2]);
                    digest.update(number.to_be_bytes());
                }
                ValueRef::Text(bytes) => digest_bytes(digest, 3, bytes),
                ValueRef::Blob(bytes) => digest_bytes(digest, 4, bytes),
            }
        }
    }
    Ok(())
}

fn digest_bytes(digest: &mut Sha256, kind: u8, bytes: &[u8]) {
    digest.update([kind]);
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}
