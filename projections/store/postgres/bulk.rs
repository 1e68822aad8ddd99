//! Taking over read models that were built in a file: every row by COPY, the indexes made after it.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::deadline::{QUERY_MAX, STEP_MAX, within};
use super::failure::Failure;
use super::schema::NEXT;
use super::shadow::{LOCK_MAX, Shadow, lock};
use super::value::stored;
use crate::Projection;
use crate::store::sqlite::Source;
use crate::store::{Checkpoint, Error, ReadStore};

/// How many read models are copied at once: one is read and sent while the server makes the indexes of another.
const AT_ONCE: usize = 2;
/// Chunks that were read from the file and not sent yet.
const CHUNKS_MAX: usize = 4;

const indexes: &str = "SELECT i.indexrelid::regclass::text, c.conname::text,
        COALESCE(pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid))
    FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid
    WHERE i.indrelid = to_regclass($1) ORDER BY c.conname IS NULL, 1";
const move_checkpoint: &str = "UPDATE store_checkpoint SET position = $1, event = $2 WHERE model = $3";
/// Every statement finds its rows by an index, for which a small sample says enough; the usual one takes longer than the indexes
/// of the directory, with nothing else to do meanwhile. The server takes that later by itself, as after every change.
const few_statistics: &str = "set local default_statistics_target = 10";

/// Rows copied so far, and who is told.
struct Copied<'c> {
    rows: Cell<u64>,
    all: u64,
    progress: &'c dyn Fn(u64, u64),
}

impl Copied<'_> {
    fn more(&self, rows: u64) {
        self.rows.set(self.rows.get() + rows);
        (self.progress)(self.rows.get(), self.all);
    }
}

impl Shadow {
    /// Takes over read models that were built in a file and are empty here, each in one transaction with its checkpoint
    /// and what it parked. One with a value that a file takes and the server does not stays empty: only applying its
    /// events here finds the one to park. `progress` is told rows done and rows in all.
    ///
    /// # Errors
    /// The file or the database is unavailable, or somebody else builds the same read model; one that was not taken over
    /// is empty as before.
    pub async fn take_over(
        &self,
        built: &Arc<ReadStore>,
        models: &[&'static dyn Projection],
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Error> {
        let mut sized = Vec::with_capacity(models.len());
        for model in models {
            let rows = model.tables().iter().map(|table| built.file()?.count(table)).sum::<Result<u64, Error>>()?;
            sized.push((rows, *model));
        }
        // The largest first: nobody waits for it alone at the end.
        sized.sort_by_key(|(rows, _)| std::cmp::Reverse(*rows));
        let copied = Copied { rows: Cell::new(0), all: sized.iter().map(|(rows, _)| rows).sum(), progress };
        let each = sized.iter().map(|(_, model)| self.take_over_one(built, *model, &copied));
        let taken: Vec<_> = futures_util::stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await?;
        let taken: Vec<_> = taken.into_iter().flatten().collect();
        self.store.move_checkpoints(&taken);
        Ok(())
    }

    async fn take_over_one(
        &self,
        built: &Arc<ReadStore>,
        model: &'static dyn Projection,
        copied: &Copied<'_>,
    ) -> Result<Option<Checkpoint>, Error> {
        match self.copy_whole(built, model, copied).await {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(Failure::Poison(reason)) => {
                tracing::warn!(model = model.name(), reason, "a read model cannot be taken over; event by event then");
                Ok(None)
            }
            Err(Failure::Store(error)) => Err(error),
        }
    }

    async fn copy_whole(
        &self,
        built: &Arc<ReadStore>,
        model: &'static dyn Projection,
        copied: &Copied<'_>,
    ) -> Result<Checkpoint, Failure> {
        let name = model.name();
        let all = built.checkpoints();
        let found = all.into_iter().find(|checkpoint| checkpoint.model == name);
        let checkpoint = found.ok_or_else(|| Error::NoSuchModel(name.into()))?;
        let mut client = self.take().await?;
        let transaction = within(QUERY_MAX, client.transaction()).await??;
        if within(QUERY_MAX, lock(&transaction, NEXT, model, LOCK_MAX)).await??
            != Some((0, i64::from(checkpoint.version)))
        {
            return Err(Error::Moved(name).into());
        }
        let settings = format!("set local search_path = {NEXT}; set local lock_timeout to default; {few_statistics}");
        within(QUERY_MAX, transaction.batch_execute(&settings)).await??;
        for table in model.tables() {
            // It is empty here as well: nothing of the read model is applied.
            if built.file()?.count(table)? == 0 {
                continue;
            }
            let restore = within(STEP_MAX, drop_indexes(&transaction, table)).await??;
            // Rows of a table that was emptied in this transaction may be written as everybody sees them for good.
            within(STEP_MAX, transaction.batch_execute(&format!("truncate {table}"))).await??;
            copy(&transaction, built, table, Source::Table(table), ", FREEZE", copied).await?;
            within(STEP_MAX, transaction.batch_execute(&format!("{restore} analyze {table}"))).await??;
        }
        copy(&transaction, built, "store_parked", Source::Parked(name), "", copied).await?;
        let event = checkpoint.event.map(|event| event.0.as_bytes().to_vec());
        let params: [&(dyn ToSql + Sync); 3] = [&stored(checkpoint.position), &event, &name];
        within(QUERY_MAX, transaction.execute(move_checkpoint, &params)).await??;
        within(STEP_MAX, transaction.commit()).await??;
        self.put_back(client);
        Ok(checkpoint)
    }
}

/// Drops the indexes of a table; answers how to make them again.
async fn drop_indexes(transaction: &Transaction<'_>, table: &str) -> Result<String, Error> {
    let mut restore = String::new();
    for row in transaction.query(indexes, &[&table]).await? {
        let (index, constraint): (&str, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
        let made: &str = row.try_get(2)?;
        let dropped = match constraint {
            Some(constraint) => {
                restore.push_str(&format!("alter table {table} add constraint {constraint} {made};"));
                format!("alter table {table} drop constraint {constraint}")
            }
            None => {
                restore.push_str(&format!("{made};"));
                format!("drop index {index}")
            }
        };
        transaction.batch_execute(&dropped).await?;
    }
    Ok(restore)
}

async fn copy(
    transaction: &Transaction<'_>,
    built: &Arc<ReadStore>,
    table: &str,
    source: Source,
    option: &str,
    copied: &Copied<'_>,
) -> Result<(), Failure> {
    let columns = built.file()?.columns(table)?.join(", ");
    let copy = format!("copy {table} ({columns}) from stdin (FORMAT binary{option})");
    let sink = within(QUERY_MAX, transaction.copy_in::<_, Bytes>(&copy)).await??;
    let mut sink = std::pin::pin!(sink);
    let (chunks, mut to_send) = mpsc::channel(CHUNKS_MAX);
    let reading = tokio::task::spawn_blocking({
        let built = built.clone();
        move || built.file()?.copy_out(source, &|chunk| chunks.blocking_send(chunk).is_ok())
    });
    while let Some((bytes, rows)) = to_send.recv().await {
        within(STEP_MAX, sink.send(bytes)).await??;
        copied.more(rows);
    }
    // Only what was read whole is finished; otherwise the server forgets it.
    reading.await.map_err(|error| Error::Unavailable(error.to_string()))??;
    within(STEP_MAX, sink.finish()).await??;
    Ok(())
}
