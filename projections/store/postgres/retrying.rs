//! What an operator does about parked streams: applying their events again, or having a read model skip them.

use std::sync::{Arc, PoisonError};

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::apply::attempt;
use super::connection::open;
use super::deadline::{APPLY_MAX, QUERY_MAX, within};
use super::failure::Failure;
use super::parking::load_skipped;
use super::schema::LIVE;
use super::store::Postgres;
use super::value::stored;
use crate::store::Error;
use crate::store::parking::{
    Retried, SkippedEvent, give_up, parked_at, positions, remaining, skip_event, skip_parked, still_parked,
    stop_skipping, unpark,
};
use crate::{Entry, Projection};

/// Keeps whoever applies to a read model waiting until the transaction ends.
const lock_checkpoint: &str = "SELECT position FROM store_checkpoint WHERE model = $1 FOR UPDATE";

impl Postgres {
    async fn reload_skipped(&self) -> Result<(), Error> {
        let found = load_skipped(&*open(&self.pool).await?).await?;
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(())
    }

    pub(in crate::store) async fn retry_parked(
        &self,
        model: &dyn Projection,
        stream: &str,
        entries: &[Entry<'_>],
    ) -> Result<Retried, Error> {
        let mut slot = self.lanes.slot(self.lane_of(model.name())).lock().await;
        let mut writer = self.take(&mut slot).await?;
        let name = model.name();
        // What it does no replay of the log would do again.
        writer.run("begin; set local synchronous_commit = on").await?;
        within(APPLY_MAX, writer.client.query_opt(lock_checkpoint, &[&name])).await??;
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let rows = within(APPLY_MAX, writer.client.query(positions, &[&name, &stream, &count])).await??;
        let expected = rows.iter().map(|row| row.try_get::<_, i64>(0)).collect::<Result<Vec<_>, _>>()?;
        if !expected.iter().copied().eq(entries.iter().map(|entry| stored(entry.recorded.position))) {
            return Err(Error::NotTheParked { model: name, stream: stream.into() });
        }
        let mut applied = 0;
        for entry in entries {
            let position = stored(entry.recorded.position);
            match attempt(&mut writer, model, entry).await {
                Ok(()) => within(APPLY_MAX, writer.client.execute(unpark, &[&name, &stream, &position])).await??,
                Err(Failure::Store(error)) => return Err(error),
                Err(Failure::Poison(reason)) => {
                    let params: [&(dyn ToSql + Sync); 4] = [&reason, &name, &stream, &position];
                    within(APPLY_MAX, writer.client.execute(still_parked, &params)).await??;
                    break;
                }
            };
            applied += 1;
        }
        let left: i64 = within(APPLY_MAX, writer.client.query_one(remaining, &[&name, &stream])).await??.try_get(0)?;
        writer.run("commit").await?;
        *slot = Some(writer);
        Ok(Retried { applied, parked: left.unsigned_abs() })
    }

    pub(in crate::store) async fn resolve_parked(&self, model: &str, stream: &str, reason: &str) -> Result<u64, Error> {
        let resolved = async {
            let mut client = open(&self.pool).await?;
            let transaction = in_schema(client.transaction().await?, self.schema).await?;
            transaction.query_opt(lock_checkpoint, &[&model]).await?;
            transaction.execute(skip_parked, &[&model, &stream, &reason, &parked_at()]).await?;
            let events = transaction.execute(give_up, &[&model, &stream]).await?;
            transaction.commit().await?;
            Ok::<_, Error>(events)
        };
        let events = within(QUERY_MAX, resolved).await??;
        self.reload_skipped().await?;
        Ok(events)
    }

    pub(in crate::store) async fn stop_skipping(&self, model: &str, stream: &str) -> Result<u64, Error> {
        let stopped = async {
            let mut client = open(&self.pool).await?;
            let transaction = in_schema(client.transaction().await?, LIVE).await?;
            let events = transaction.execute(stop_skipping, &[&model, &stream]).await?;
            transaction.commit().await?;
            Ok::<_, Error>(events)
        };
        let events = within(QUERY_MAX, stopped).await??;
        self.reload_skipped().await?;
        Ok(events)
    }

    pub(in crate::store) async fn skip(&self, events: &[SkippedEvent]) -> Result<(), Error> {
        let mut client = open(&self.pool).await?;
        let transaction = within(QUERY_MAX, in_schema(client.transaction().await?, LIVE)).await??;
        for SkippedEvent { model, stream, position, event, reason, skipped_at } in events {
            let (event, at) = (&event.0.as_bytes()[..], skipped_at.timestamp_millis());
            let params: [&(dyn ToSql + Sync); 6] = [model, stream, &stored(*position), &event, reason, &at];
            within(QUERY_MAX, transaction.execute(skip_event, &params)).await??;
        }
        within(QUERY_MAX, transaction.commit()).await??;
        drop(client);
        self.reload_skipped().await
    }
}

/// A transaction of an operator over the tables of one schema; it is on the disk when it is committed.
async fn in_schema<'t>(transaction: Transaction<'t>, schema: &str) -> Result<Transaction<'t>, Error> {
    let set = format!("set local search_path = {schema}; set local synchronous_commit = on");
    transaction.batch_execute(&set).await?;
    Ok(transaction)
}
