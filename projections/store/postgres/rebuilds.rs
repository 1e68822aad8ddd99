//! What every node is told of read models that are built anew beside the live ones: whoever builds them notes it.

use std::sync::LazyLock;

use uuid::Uuid;

use super::deadline::{QUERY_MAX, within};
use super::schema::LIVE;
use super::shadow::{BUILDS, Shadow};
use super::store::Postgres;
use super::value::stored;
use crate::store::Error;

static note: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO {LIVE}.store_rebuild (model, build, phase, done, total)
         SELECT model, $2::uuid, $3::text, $4::bigint, $5::bigint FROM unnest($1::text[]) AS m (model)
         ON CONFLICT (model) DO UPDATE SET
            build = excluded.build, phase = excluded.phase, done = excluded.done, total = excluded.total"
    )
});
static give_up: LazyLock<String> = LazyLock::new(|| {
    format!("UPDATE {LIVE}.store_rebuild SET phase = $1 WHERE build <> $2 AND phase <> ALL ($3::text[])")
});
/// A key of 64 bits stands in two columns.
static last_ones: LazyLock<String> = LazyLock::new(|| {
    let (high, low) = (BUILDS >> 32, BUILDS & 0xffff_ffff);
    format!(
        "SELECT model, build, phase, done, total, EXISTS (
            SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
                AND classid = {high} AND objid = {low}
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
         FROM store_rebuild"
    )
});

/// How a read model on a server was built anew, or is being built, the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildNote {
    /// Which read model.
    pub model: String,
    /// Which build.
    pub build: Uuid,
    /// What was done last, in the words of whoever builds.
    pub phase: String,
    /// Events or rows, as the phase has it.
    pub done: u64,
    /// And in all.
    pub total: u64,
    /// Whether some process has the lock to build. While none has, a build that has not ended is not going on.
    pub is_locked: bool,
}

impl Shadow {
    /// Notes for every node what is done with read models of a build, and how much of it.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn note(
        &self,
        models: &[&str],
        build: Uuid,
        phase: &str,
        (done, total): (u64, u64),
    ) -> Result<(), Error> {
        let (done, total) = (stored(done), stored(total));
        within(QUERY_MAX, self.build_lock.client.execute(note.as_str(), &[&models, &build, &phase, &done, &total]))
            .await??;
        Ok(())
    }

    /// Notes of other builds that are at none of the phases `over` that they are at `given_up`: only one process builds at a time.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn note_given_up(&self, build: Uuid, over: &[&str], given_up: &str) -> Result<(), Error> {
        within(QUERY_MAX, self.build_lock.client.execute(give_up.as_str(), &[&given_up, &build, &over])).await??;
        Ok(())
    }
}

impl Postgres {
    /// How read models were built anew the last time.
    pub(in crate::store) async fn rebuilds(&self) -> Result<Vec<RebuildNote>, Error> {
        let rows = self.readers.query(&self.pool, last_ones.as_str(), &[]).await?;
        let noted = rows.iter().map(|row| {
            Ok(RebuildNote {
                model: row.try_get(0)?,
                build: row.try_get(1)?,
                phase: row.try_get(2)?,
                done: row.try_get::<_, i64>(3)?.unsigned_abs(),
                total: row.try_get::<_, i64>(4)?.unsigned_abs(),
                is_locked: row.try_get(5)?,
            })
        });
        noted.collect()
    }
}
