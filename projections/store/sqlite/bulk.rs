//! A file that read models are built in to be taken elsewhere: what a projector never looks into is left out of it, and
//! its rows are read whole.

use bytes::{BufMut as _, Bytes, BytesMut};
use rusqlite::{Connection, params};

use super::Sqlite;
use crate::Projection;
use crate::store::Error;
use crate::store::row::{Cell, cell};

/// Indexes that do not hold a constraint.
const plain_indexes: &str =
    "SELECT name FROM pragma_index_list($1) WHERE origin = 'c' AND \"unique\" = 0 ORDER BY name";
/// What starts and ends rows in PostgreSQL's binary COPY.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: i16 = -1;
/// How many bytes of rows make one chunk.
const CHUNK: usize = 256 * 1024;

/// A chunk of rows: their bytes, and how many.
pub(in crate::store) type Chunk = (Bytes, u64);

impl Sqlite {
    /// Drops the indexes that only queries look into: keeping them costs more than everything a projector does.
    pub(in crate::store) fn drop_query_indexes(&self, models: &[&dyn Projection]) -> Result<(), Error> {
        let writer = self.writer();
        for model in models {
            let mut plans = String::new();
            for sql in model.statements() {
                let mut plan = writer.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let mut steps = plan.raw_query();
                while let Some(step) = steps.next()? {
                    plans.push_str(&step.get::<_, String>(3)?);
                    plans.push(' ');
                }
            }
            let used: Vec<_> = plans.split_whitespace().collect();
            for table in model.tables() {
                for index in indexes(&writer.connection, table)?.iter().filter(|index| !used.contains(&index.as_str()))
                {
                    writer.connection.execute_batch(&format!("DROP INDEX {index}"))?;
                }
            }
        }
        Ok(())
    }

    /// How many rows a table has.
    pub(in crate::store) fn count(&self, table: &str) -> Result<u64, Error> {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        self.reading(|connection| Ok(connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs()))
    }

    /// The names of a table's columns.
    pub(in crate::store) fn columns(&self, table: &str) -> Result<Vec<String>, Error> {
        let sql = format!("SELECT * FROM {table}");
        self.reading(|connection| Ok(connection.prepare(&sql)?.column_names().map(String::from).collect()))
    }

    /// Gives `take` the rows of a table, or those parked for a read model, as PostgreSQL's binary COPY has them. It
    /// answers whether it wants more.
    pub(in crate::store) fn copy_out(&self, from: Source, take: &dyn Fn(Chunk) -> bool) -> Result<(), Error> {
        self.reading(|connection| match from {
            Source::Table(table) => copy_out(connection, &format!("SELECT * FROM {table}"), params![], take),
            Source::Parked(model) => {
                copy_out(connection, "SELECT * FROM store_parked WHERE model = $1", params![model], take)
            }
        })
    }
}

/// Which rows are copied.
#[derive(Clone, Copy)]
pub(in crate::store) enum Source {
    /// All of a table.
    Table(&'static str),
    /// Those that a read model parked.
    Parked(&'static str),
}

fn indexes(connection: &Connection, table: &str) -> Result<Vec<String>, Error> {
    Ok(connection.prepare(plain_indexes)?.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn copy_out(
    connection: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
    take: &dyn Fn(Chunk) -> bool,
) -> Result<(), Error> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(params)?;
    let mut out = BytesMut::with_capacity(CHUNK + CHUNK / 8);
    out.extend_from_slice(COPY_HEADER);
    let mut count = 0;
    while let Some(row) = rows.next()? {
        out.put_i16(i16::try_from(columns).map_err(|_| Error::Column(columns))?);
        for column in 0..columns {
            put(&mut out, cell(row.get_ref(column)?)).ok_or(Error::Column(column))?;
        }
        count += 1;
        if out.len() >= CHUNK {
            if !take((out.split().freeze(), std::mem::take(&mut count))) {
                return Ok(());
            }
            out.reserve(CHUNK + CHUNK / 8);
        }
    }
    out.put_i16(COPY_END);
    take((out.freeze(), count));
    Ok(())
}

/// Adds a value with its length before it; `None`: no table has such a one.
fn put(out: &mut BytesMut, cell: Option<Cell<'_>>) -> Option<()> {
    let mut bytes = |bytes: &[u8]| {
        out.put_i32(i32::try_from(bytes.len()).ok()?);
        out.extend_from_slice(bytes);
        Some(())
    };
    match cell? {
        Cell::Null => {
            out.put_i32(-1);
            Some(())
        }
        Cell::Int(number) => bytes(&number.to_be_bytes()),
        Cell::Text(text) => bytes(text.as_bytes()),
        Cell::Bytes(content) => bytes(content),
    }
}
