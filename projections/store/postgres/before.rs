//! What was live before: kept for queries of the version before and for a way back, until somebody drops it.

use deadpool_postgres::Pool;
use futures_util::future::{try_join, try_join_all};
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::connection::open;
use super::deadline::{TABLES_MAX, within};
use super::schema::{BEFORE, LIVE, NEXT};
use crate::store::Error;

const kept: &[&str] = &["store_checkpoint", "store_parked"];

/// Drops what was live before; answers the names of the tables.
///
/// # Errors
/// The database is unavailable, or the role may not drop the tables.
pub async fn drop_before(pool: &Pool) -> Result<Vec<String>, Error> {
    within(TABLES_MAX, drop_kept(pool)).await?
}

async fn drop_kept(pool: &Pool) -> Result<Vec<String>, Error> {
    let mut client = open(pool).await?;
    let transaction = client.transaction().await?;
    let found = "select tablename::text from pg_tables where schemaname = $1 order by 1";
    let mut tables = Vec::new();
    for row in transaction.query_typed(found, &[(&BEFORE, Type::TEXT)]).await? {
        let table: String = row.try_get(0)?;
        transaction.batch_execute(&format!("drop table {BEFORE}.{table}")).await?;
        tables.push(table);
    }
    transaction.commit().await?;
    tables.retain(|table| !kept.contains(&table.as_str()));
    Ok(tables)
}

/// Makes what was live before of a read model live again, and keeps what is live now in its place. Answers which version
/// is live now, and how far it is. No node must be running that goes on with the one that was live.
///
/// # Errors
/// Nothing of it was kept, or the database is unavailable.
pub async fn go_back(pool: &Pool, model: &str) -> Result<(u32, u64), Error> {
    within(TABLES_MAX, exchange(pool, model)).await?
}

async fn exchange(pool: &Pool, model: &str) -> Result<(u32, u64), Error> {
    let mut client = open(pool).await?;
    let transaction = client.transaction().await?;
    make_kept(&transaction, BEFORE).await?;
    let found = format!("SELECT version, position FROM {BEFORE}.store_checkpoint WHERE model = $1 FOR UPDATE");
    let row = transaction
        .query_typed_opt(&found, &[(&model, Type::TEXT)])
        .await?
        .ok_or_else(|| Error::NoSuchModel(model.into()))?;
    let version = u32::try_from(row.try_get::<_, i64>(0)?).map_err(|_| Error::Column(0))?;
    let position = row.try_get::<_, i64>(1)?.unsigned_abs();
    for (from, to) in [(LIVE, NEXT), (BEFORE, LIVE), (NEXT, BEFORE)] {
        shift(&transaction, model, from, to).await?;
    }
    transaction.commit().await?;
    Ok((version, position))
}

/// Drops what was live before of a read model.
pub(super) async fn clear(transaction: &Transaction<'_>, model: &str) -> Result<(), Error> {
    make_kept(transaction, BEFORE).await?;
    let dropped = tables_of(transaction, BEFORE, model).await?;
    transaction.batch_execute(&drop_tables(BEFORE, &dropped)).await?;
    forget(transaction, BEFORE, model).await
}

/// Moves a read model from one schema into another, with its checkpoint and what it parked; what was there is dropped.
pub(super) async fn shift(transaction: &Transaction<'_>, model: &str, from: &str, to: &str) -> Result<(), Error> {
    make_kept(transaction, to).await?;
    let (moved, replaced) = try_join(tables_of(transaction, from, model), tables_of(transaction, to, model)).await?;
    let mut change = drop_tables(to, &replaced) + &drop_tables(to, &moved);
    for table in &moved {
        change.push_str(&format!("alter table if exists {from}.{table} set schema {to};"));
    }
    transaction.batch_execute(&change).await?;
    forget(transaction, to, model).await?;
    let rows = kept.iter().map(|stored| {
        format!(
            "WITH moved AS (DELETE FROM {from}.{stored} WHERE model = $1 RETURNING *)
             INSERT INTO {to}.{stored} SELECT * FROM moved"
        )
    });
    all_about(transaction, model, rows).await
}

fn drop_tables(schema: &str, tables: &[String]) -> String {
    tables.iter().map(|table| format!("drop table if exists {schema}.{table};")).collect()
}

async fn tables_of(transaction: &Transaction<'_>, schema: &str, model: &str) -> Result<Vec<String>, Error> {
    let found = format!("SELECT tables FROM {schema}.store_checkpoint WHERE model = $1");
    let tables: Option<String> =
        transaction.query_typed_opt(&found, &[(&model, Type::TEXT)]).await?.map(|row| row.try_get(0)).transpose()?;
    Ok(tables.iter().flat_map(|tables| tables.split(',')).map(str::to_owned).collect())
}

async fn forget(transaction: &Transaction<'_>, schema: &str, model: &str) -> Result<(), Error> {
    let rows = kept.iter().map(|stored| format!("DELETE FROM {schema}.{stored} WHERE model = $1"));
    all_about(transaction, model, rows).await
}

/// Executes statements about a read model in their order, all of them on their way together.
async fn all_about(
    transaction: &Transaction<'_>,
    model: &str,
    statements: impl Iterator<Item = String>,
) -> Result<(), Error> {
    let params: &[(&(dyn ToSql + Sync), Type)] = &[(&model, Type::TEXT)];
    try_join_all(statements.map(async |sql| transaction.execute_typed(&sql, params).await)).await?;
    Ok(())
}

async fn make_kept(transaction: &Transaction<'_>, schema: &str) -> Result<(), Error> {
    let missing = format!("select stored from unnest($1) as stored where to_regclass('{schema}.' || stored) is null");
    for row in transaction.query_typed(&missing, &[(&kept, Type::TEXT_ARRAY)]).await? {
        let stored: &str = row.try_get(0)?;
        let make = format!("create table {schema}.{stored} (like {LIVE}.{stored} including all)");
        transaction.batch_execute(&make).await?;
    }
    Ok(())
}
