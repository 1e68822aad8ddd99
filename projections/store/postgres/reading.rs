//! Running queries on pooled connections.

use super::connection::open;
use super::deadline::{STEP_MAX, within};
use super::store::Postgres;
use crate::store::digest::Rows;
use crate::store::row::{Source, postgres_cell};
use crate::store::{Error, Row};
use crate::{Query, Value};

const key_columns: &str = "SELECT a.attname::text FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY array_position(i.indkey, a.attnum)";

impl Postgres {
    pub(in crate::store) async fn rows<T>(
        &self,
        query: Query,
        params: &[Value],
        map: impl Fn(&Row<'_, '_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let found = self.found(query, params).await?;
        found.iter().map(|row| map(&Row(Source::Postgres(row)))).collect()
    }

    pub(in crate::store) async fn row<T>(
        &self,
        query: Query,
        params: &[Value],
        map: impl Fn(&Row<'_, '_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let found = self.found(query, params).await?;
        found.first().map(|row| map(&Row(Source::Postgres(row)))).transpose()
    }

    async fn found(&self, query: Query, params: &[Value]) -> Result<Vec<tokio_postgres::Row>, Error> {
        if query.coalesced {
            let found = self.coalescer.ask(query.text, vec![params.to_vec()]).await?;
            return Ok(found.into_iter().next().unwrap_or_default());
        }
        self.readers.query(&self.pool, query.text, params).await
    }

    pub(in crate::store) async fn rows_of_each<const N: usize, T>(
        &self,
        query: Query,
        asked: impl Iterator<Item = [Value; N]>,
        map: impl Fn(&Row<'_, '_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        let sets: Vec<_> = asked.map(Vec::from).collect();
        if sets.is_empty() {
            return Ok(vec![]);
        }
        let found = self.coalescer.ask(query.text, sets).await?;
        found.iter().map(|rows| rows.iter().map(|row| map(&Row(Source::Postgres(row)))).collect()).collect()
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
