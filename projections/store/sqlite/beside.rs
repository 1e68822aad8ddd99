//! Takes a read model that was built anew in another file into the place of the live one, which goes on being asked
//! and moved on: its rows are brought, a few at a time, into tables beside the live ones; then these are exchanged, and what came
//! meanwhile is applied, in one transaction.

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior, params, params_from_iter};

use super::apply::{apply_share_parking, move_checkpoints};
use super::lifecycle::{SUFFIXES, drop_all_beside, for_sqlite};
use super::{Sqlite, Writer};
use crate::Projection;
use crate::store::Error;
use crate::store::shares::Share;

/// Rows that are brought in one transaction: the projector waits for a few milliseconds.
const ROWS: usize = 2_000;

const has_index_with: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND tbl_name = $1 AND instr(name, $2) > 0)";
const stored_position: &str = "SELECT position FROM store_checkpoint WHERE model = $1";
const drop_parked: &str = "DELETE FROM store_parked WHERE model = $1";
const parked_of: &str = "SELECT * FROM store_parked WHERE model = $1";

impl Sqlite {
    pub(in crate::store) fn drop_beside(&self) -> Result<(), Error> {
        drop_all_beside(&self.writer().connection)
    }

    /// Makes empty tables beside those of a read model; answers what their names end with.
    pub(in crate::store) fn make_beside(&self, model: &dyn Projection) -> Result<&'static str, Error> {
        let mut writer = self.writer();
        let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        drop_all_beside(&transaction)?;
        let suffix = free_suffix(&transaction, model)?;
        let named = |schema: String, table: &&str| schema.replace(table, &format!("{table}{suffix}"));
        let schema = model.tables().iter().fold(for_sqlite(model.schema()), named);
        transaction.execute_batch(&schema)?;
        transaction.commit()?;
        Ok(suffix)
    }

    /// Brings the rows of a table from the file that it was built in. `goes_on` is told how many were brought at a time, and
    /// answers whether more are wanted.
    pub(in crate::store) fn bring_rows(
        &self,
        built: &Self,
        (table, suffix): (&str, &str),
        goes_on: &dyn Fn(u64) -> bool,
    ) -> Result<bool, Error> {
        built.reading(|connection| {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let places = (1..=columns).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
            let insert = format!("INSERT INTO {table}{suffix} VALUES ({places})");
            let mut rows = statement.query([])?;
            loop {
                let mut some = Vec::with_capacity(ROWS);
                while some.len() < ROWS
                    && let Some(row) = rows.next()?
                {
                    some.push((0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()?);
                }
                let count = some.len();
                if count > 0 {
                    self.writer().insert(&insert, some)?;
                }
                if !goes_on(count as u64) {
                    return Ok(false);
                }
                if count < ROWS {
                    return Ok(true);
                }
            }
        })
    }

    /// Puts the tables beside into the place of the live ones and applies what they lack, if the live ones are at `until`;
    /// otherwise nothing is changed, and the answer is `false`.
    pub(in crate::store) fn take_place(
        &self,
        built: &Self,
        (model, suffix): (&dyn Projection, &str),
        shares: &[Share<'_, '_>],
        until: u64,
    ) -> Result<bool, Error> {
        let parked = built.reading(|connection| {
            let mut statement = connection.prepare(parked_of)?;
            let columns = statement.column_count();
            let rows = statement.query_map([model.name()], |row| {
                (0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        let skipped = built.writer().parked.clone();
        let mut writer = self.writer();
        if !writer.parked.skips_as(&skipped, model.name()) {
            return Err(Error::Unavailable("what is skipped was changed while it was built anew; begin again".into()));
        }
        writer.take_place((model, suffix), shares, parked, until)
    }
}

fn free_suffix(connection: &Connection, model: &dyn Projection) -> Result<&'static str, Error> {
    for suffix in SUFFIXES {
        let mut is_free = true;
        for table in model.tables() {
            is_free &= !connection.query_row(has_index_with, [*table, suffix], |row| row.get::<_, bool>(0))?;
        }
        if is_free {
            return Ok(suffix);
        }
    }
    Err(Error::Unavailable(format!("the indexes of {} have names that are not its own", model.name())))
}

impl Writer {
    fn insert(&mut self, insert: &str, rows: Vec<Vec<Value>>) -> Result<(), Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut statement = transaction.prepare_cached(insert)?;
            for row in rows {
                statement.execute(params_from_iter(row))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn take_place(
        &mut self,
        (model, suffix): (&dyn Projection, &str),
        shares: &[Share<'_, '_>],
        parked: Vec<Vec<Value>>,
        until: u64,
    ) -> Result<bool, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let position = transaction.query_row(stored_position, [model.name()], |row| row.get::<_, i64>(0))?;
        if position.unsigned_abs() != until {
            return Ok(false);
        }
        for table in model.tables() {
            transaction
                .execute_batch(&format!("DROP TABLE {table}; ALTER TABLE {table}{suffix} RENAME TO {table};"))?;
        }
        let mut keys = self.parked.clone();
        keys.forget(model.name());
        replace_parked(&transaction, model.name(), parked, |stream| keys.insert(model.name(), stream))?;
        for share in shares {
            apply_share_parking(&transaction, share, &mut keys)?;
        }
        move_checkpoints(&transaction, shares)?;
        transaction.commit()?;
        self.parked = keys;
        Ok(true)
    }
}

/// What was parked while it was built is parked now, and nothing else of it.
fn replace_parked(
    transaction: &Transaction<'_>,
    model: &str,
    parked: Vec<Vec<Value>>,
    mut each: impl FnMut(String),
) -> Result<(), Error> {
    transaction.execute(drop_parked, params![model])?;
    for row in parked {
        if let Some(Value::Text(stream)) = row.get(1) {
            each(stream.clone());
        }
        let places = (1..=row.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO store_parked VALUES ({places})");
        transaction.prepare_cached(&insert)?.execute(params_from_iter(row))?;
    }
    Ok(())
}
