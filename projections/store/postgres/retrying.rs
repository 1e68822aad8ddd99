//! What an operator does about parked streams: applying their events again, or having a read model skip them.

use std::sync::{Arc, PoisonError};

use deadpool_postgres::Transaction;

use super::apply::{Failure, attempt};
use super::parking::load_skipped;
use super::{LIVE, Postgres, stored};
use crate::store::Error;
use crate::store::parking::{
    Retried, Skipped, SkippedEvent, give_up, parked_at, positions, remaining, skip_event, skip_parked, still_parked,
    stop_skipping, unpark,
};
use crate::{Entry, Projection};

/// Keeps whoever applies to a read model waiting until the transaction ends.
const lock_checkpoint: &str = "SELECT position FROM store_checkpoint WHERE model = $1 FOR UPDATE";

impl Postgres {
    pub(super) fn skipped(&self) -> Arc<Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn reload_skipped(&self) -> Result<(), Error> {
        let found = load_skipped(&*self.pool.get().await?).await?;
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
        writer.client.batch_execute("begin; set local synchronous_commit = on").await?;
        writer.client.query_opt(lock_checkpoint, &[&name]).await?;
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let rows = writer.client.query(positions, &[&name, &stream, &count]).await?;
        let expected = rows.iter().map(|row| row.try_get::<_, i64>(0)).collect::<Result<Vec<_>, _>>()?;
        if !expected.iter().copied().eq(entries.iter().map(|entry| stored(entry.recorded.position))) {
            return Err(Error::NotTheParked { model: name, stream: stream.into() });
        }
        let mut applied = 0;
        for entry in entries {
            let position = stored(entry.recorded.position);
            match attempt(&mut writer, model, entry).await {
                Ok(()) => writer.client.execute(unpark, &[&name, &stream, &position]).await?,
                Err(Failure::Store(error)) => return Err(error),
                Err(Failure::Poison(reason)) => {
                    writer.client.execute(still_parked, &[&reason, &name, &stream, &position]).await?;
                    break;
                }
            };
            applied += 1;
        }
        let left: i64 = writer.client.query_one(remaining, &[&name, &stream]).await?.try_get(0)?;
        writer.client.batch_execute("commit").await?;
        *slot = Some(writer);
        Ok(Retried { applied, parked: left.unsigned_abs() })
    }

    pub(in crate::store) async fn resolve_parked(&self, model: &str, stream: &str, reason: &str) -> Result<u64, Error> {
        let mut client = self.pool.get().await?;
        let transaction = in_schema(client.transaction().await?, self.schema).await?;
        transaction.query_opt(lock_checkpoint, &[&model]).await?;
        transaction.execute(skip_parked, &[&model, &stream, &reason, &parked_at()]).await?;
        let events = transaction.execute(give_up, &[&model, &stream]).await?;
        transaction.commit().await?;
        drop(client);
        self.reload_skipped().await?;
        Ok(events)
    }

    pub(in crate::store) async fn stop_skipping(&self, model: &str, stream: &str) -> Result<u64, Error> {
        let mut client = self.pool.get().await?;
        let transaction = in_schema(client.transaction().await?, LIVE).await?;
        let events = transaction.execute(stop_skipping, &[&model, &stream]).await?;
        transaction.commit().await?;
        drop(client);
        self.reload_skipped().await?;
        Ok(events)
    }

    pub(in crate::store) async fn skip(&self, events: &[SkippedEvent]) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = in_schema(client.transaction().await?, LIVE).await?;
        for SkippedEvent { model, stream, position, event, reason, skipped_at } in events {
            let (event, at) = (&event.0.as_bytes()[..], skipped_at.timestamp_millis());
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [model, stream, &stored(*position), &event, reason, &at];
            transaction.execute(skip_event, &params).await?;
        }
        transaction.commit().await?;
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
