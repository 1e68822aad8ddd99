//! Running queries on pooled connections.

use super::connection::open;
use super::deadline::{STEP_MAX, within};
use super::store::Postgres;
use crate::store::digest::Rows;
use crate::store::row::{Source, postgres_cell};
use crate::store::{Error, Row, Sets, TakeRow, TakeRowOf};
use crate::{Query, Value};

const key_columns: &str = "SELECT a.attname::text FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY array_position(i.indkey, a.attnum)";

impl Postgres {
    pub(in crate::store) async fn each_row(
        &self,
        query: Query,
        params: &[Value],
        take: TakeRow<'_>,
    ) -> Result<(), Error> {
        for row in &self.found(query, params).await? {
            if take(&Row(Source::Postgres(row)))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn found(&self, query: Query, params: &[Value]) -> Result<Vec<tokio_postgres::Row>, Error> {
        if query.coalesced {
            let found = self.coalescer.ask(query.text, vec![params.to_vec()]).await?;
            return Ok(found.into_iter().next().unwrap_or_default());
        }
        self.readers.query(&self.pool, query.text, params).await
    }

    pub(in crate::store) async fn each_row_of_each(
        &self,
        query: Query,
        (params, of_each): Sets<'_>,
        take: TakeRowOf<'_>,
    ) -> Result<(), Error> {
        if params.is_empty() {
            return Ok(());
        }
        let sets = params.chunks(of_each).map(<[_]>::to_vec).collect();
        for (set, rows) in self.coalescer.ask(query.text, sets).await?.iter().enumerate() {
            for row in rows {
                take(set, &Row(Source::Postgres(row)))?;
            }
        }
        Ok(())
    }

    pub(in crate::store) async fn digest(&self, model: &str) -> Result<[u8; 32], Error> {
        within(STEP_MAX, self.digest_of_snapshot(model)).await?
    }

    async fn digest_of_snapshot(&self, model: &str) -> Result<[u8; 32], Error> {
        let mut client = open(&self.pool).await?;
        let snapshot =
            client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead).read_only(true);
        let snapshot = snapshot.start().await?;
        let stored = format!("SELECT tables FROM {}.store_checkpoint WHERE model = $1", self.schema);
        let tables: String = snapshot.query_one(&stored, &[&model]).await?.try_get(0)?;
        let mut digest = Rows::default();
        for table in tables.split(',') {
            let qualified = format!("{}.{table}", self.schema);
            let mut keys = Vec::new();
            for row in snapshot.query(key_columns, &[&qualified]).await? {
                keys.push(row.try_get::<_, String>(0)?);
            }
            digest.table(table);
            let sql = format!("SELECT * FROM {qualified} ORDER BY {}", keys.join(", "));
            let statement = snapshot.prepare(&sql).await?;
            let portal = snapshot.bind(&statement, &[]).await?;
            loop {
                let rows = snapshot.query_portal(&portal, 10_000).await?;
                if rows.is_empty() {
                    break;
                }
                for row in &rows {
                    digest.row();
                    for column in 0..row.len() {
                        digest.cell(&postgres_cell(row, column).ok_or(Error::Column(column))?);
                    }
                }
            }
        }
        snapshot.commit().await?;
        Ok(digest.finish())
    }
}
