//! Opening the store; creating and dropping read models.

use std::sync::{Arc, Mutex};

use deadpool_postgres::Pool;
use tokio_postgres::Transaction;

use super::claims::Claiming;
use super::connection;
use super::deadline::{TABLES_MAX, within};
use super::lanes::Lanes;
use super::lease::LeaseConnections;
use super::parking;
use super::query_coalescer::QueryCoalescer;
use super::readers::{Follower, Readers};
use super::schema::{BEFORE, qualified};
use super::store::Postgres;
use super::value::read_checkpoint;
use crate::Projection;
use crate::store::parking::Skipped;
use crate::store::{Checkpoint, Error};

// No column of a checkpoint that moves is in an index, so that it can change within its page.
const tables: &str = "
    CREATE TABLE IF NOT EXISTS store_checkpoint (
        model TEXT NOT NULL, version BIGINT NOT NULL, position BIGINT NOT NULL, event BYTEA,
        tables TEXT NOT NULL, PRIMARY KEY (model));
    CREATE TABLE IF NOT EXISTS store_parked (
        model TEXT NOT NULL, stream TEXT NOT NULL, position BIGINT NOT NULL, event BYTEA NOT NULL, reason TEXT,
        first_at BIGINT NOT NULL, PRIMARY KEY (model, stream, position));
    CREATE TABLE IF NOT EXISTS store_skipped (
        model TEXT NOT NULL, stream TEXT NOT NULL, position BIGINT NOT NULL, event BYTEA NOT NULL, reason TEXT NOT NULL,
        skipped_at BIGINT NOT NULL, PRIMARY KEY (model, event));
    CREATE TABLE IF NOT EXISTS store_lease (
        name TEXT NOT NULL PRIMARY KEY, holder UUID NOT NULL, until TIMESTAMPTZ NOT NULL);
    CREATE TABLE IF NOT EXISTS store_claim (
        tag BYTEA NOT NULL PRIMARY KEY, subject BYTEA NOT NULL, claimed_at TIMESTAMPTZ NOT NULL DEFAULT now());
    CREATE INDEX IF NOT EXISTS store_claim_of_subject ON store_claim (subject);
    CREATE TABLE IF NOT EXISTS store_rebuild (
        model TEXT NOT NULL PRIMARY KEY, build UUID NOT NULL, phase TEXT NOT NULL, done BIGINT NOT NULL,
        total BIGINT NOT NULL);";
const all_checkpoints: &str = "SELECT model, version, position, event FROM store_checkpoint";
const stored_tables: &str = "SELECT tables FROM store_checkpoint WHERE model = $1";
const begin_checkpoint: &str =
    "INSERT INTO store_checkpoint (model, version, position, event, tables) VALUES ($1, $2, 0, NULL, $3)";

impl Postgres {
    /// Opens the store in a schema with these read models, and tells how far each is.
    pub(in crate::store) async fn open(
        pool: Pool,
        schema: &'static str,
        models: &[&'static dyn Projection],
    ) -> Result<(Self, Vec<Checkpoint>), Error> {
        let (checkpoints, skipped) = within(TABLES_MAX, prepare(&pool, schema, models)).await??;
        let of_this_version = |(name, checkpoint): (&str, Checkpoint)| {
            let model = models.iter().find(|model| model.name() == name)?;
            (model.version() == checkpoint.version).then_some(checkpoint)
        };
        let checkpoints = checkpoints.into_iter().filter_map(of_this_version).collect();
        Ok((
            Self {
                coalescer: QueryCoalescer::new(pool.clone()),
                pool,
                schema,
                models: models.to_vec(),
                lanes: Lanes::default(),
                skipped: Mutex::new(Arc::new(skipped)),
                readers: Readers::default(),
                claiming: Claiming::default(),
                lease: LeaseConnections::default(),
                follower: Follower::default(),
            },
            checkpoints,
        ))
    }

    /// How far every read model is, as the database has it.
    pub(in crate::store) async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Error> {
        let rows = self.follower.ask(&self.pool, &qualified(all_checkpoints, self.schema)).await?;
        let found = rows.iter().filter_map(|row| {
            let name: &str = row.try_get(0).ok()?;
            let model = self.models.iter().find(|model| model.name() == name)?;
            Some(read_checkpoint(model.name(), row).map(|found| (found.version == model.version()).then_some(found)))
        });
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    pub(in crate::store) async fn create_model(&self, model: &dyn Projection) -> Result<Checkpoint, Error> {
        let created = async |transaction: &Transaction<'_>| {
            drop_all(transaction, model.name()).await?;
            create(transaction, model).await
        };
        let checkpoint = self.change_tables(created).await?;
        Ok(checkpoint)
    }

    pub(in crate::store) async fn drop_model(&self, model: &str) -> Result<(), Error> {
        self.change_tables(async |transaction: &Transaction<'_>| drop_all(transaction, model).await).await?;
        Ok(())
    }

    /// Does something in one transaction over the tables of this store's schema.
    async fn change_tables<T>(
        &self,
        change: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        within(TABLES_MAX, async {
            let mut client = connection::open(&self.pool).await?;
            let transaction = client.transaction().await?;
            transaction.batch_execute(&format!("set local search_path = {}", self.schema)).await?;
            let changed = change(&transaction).await?;
            transaction.commit().await?;
            Ok(changed)
        })
        .await?
    }
}

/// Makes what is missing of the tables. Tells how far each read model is, and what is skipped.
async fn prepare(
    pool: &Pool,
    schema: &'static str,
    models: &[&'static dyn Projection],
) -> Result<(Vec<(&'static str, Checkpoint)>, Skipped), Error> {
    let mut client = connection::open(pool).await?;
    let transaction = client.transaction().await?;
    // Two nodes that start at once do not make the tables twice.
    transaction.batch_execute("select pg_advisory_xact_lock(1380731988)").await?;
    for name in [schema, BEFORE] {
        make_schema(&transaction, name).await?;
    }
    transaction.batch_execute(&format!("set local search_path = {schema}")).await?;
    let there = transaction.query_typed_one("select to_regclass('store_rebuild') is not null", &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        transaction.batch_execute(&for_postgres(tables)).await?;
    }
    let mut checkpoints = stored(&transaction, models).await?;
    for model in models {
        if !checkpoints.iter().any(|(found, _)| *found == model.name()) {
            checkpoints.push((model.name(), create(&transaction, *model).await?));
        }
    }
    transaction.commit().await?;
    let skipped = parking::load_skipped(&client).await?;
    Ok((checkpoints, skipped))
}

/// Makes a schema where it is missing: that needs a right which a running service need not have.
async fn make_schema(transaction: &Transaction<'_>, name: &str) -> Result<(), Error> {
    let there = transaction
        .query_typed_one("select to_regnamespace($1) is not null", &[(&name, tokio_postgres::types::Type::TEXT)])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        transaction.batch_execute(&format!("create schema {name}")).await?;
    }
    Ok(())
}

async fn stored(
    transaction: &Transaction<'_>,
    models: &[&'static dyn Projection],
) -> Result<Vec<(&'static str, Checkpoint)>, Error> {
    let rows = transaction.query_typed(all_checkpoints, &[]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let name: &str = row.try_get(0)?;
        if let Some(model) = models.iter().find(|model| model.name() == name) {
            found.push((model.name(), read_checkpoint(model.name(), row)?));
        }
    }
    Ok(found)
}

/// Makes the tables of a read model in the schema that the transaction looks in.
pub(super) async fn create(transaction: &Transaction<'_>, model: &dyn Projection) -> Result<Checkpoint, Error> {
    transaction.batch_execute(&for_postgres(model.schema())).await?;
    let of_it = model.tables().join(",");
    transaction.execute(begin_checkpoint, &[&model.name(), &i64::from(model.version()), &of_it]).await?;
    Ok(Checkpoint { model: model.name(), version: model.version(), position: 0, event: None })
}

/// Drops the tables that were stored with the checkpoint, which may be those of another version.
pub(super) async fn drop_all(transaction: &Transaction<'_>, model: &str) -> Result<(), Error> {
    if let Some(row) = transaction.query_opt(stored_tables, &[&model]).await? {
        for table in row.try_get::<_, &str>(0)?.split(',') {
            transaction.batch_execute(&format!("drop table if exists {table}")).await?;
        }
    }
    transaction.execute("DELETE FROM store_checkpoint WHERE model = $1", &[&model]).await?;
    transaction.execute("DELETE FROM store_parked WHERE model = $1", &[&model]).await?;
    Ok(())
}

/// A text is compared by its bytes, as in `SQLite`. In the order of some language it would cost more, and an index would be
/// wrong once the system's library orders that language in another way.
fn for_postgres(schema: &str) -> String {
    schema.replace(" TEXT", " TEXT COLLATE \"C\"")
}
