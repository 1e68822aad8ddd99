//! Applying parked events again, or giving them up.

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::apply::attempt;
use super::connection::open;
use super::deadline::{APPLY_MAX, QUERY_MAX, within};
use super::failure::Failure;
use super::schema::qualified;
use super::store::Postgres;
use super::value::stored;
use crate::store::Error;
use crate::store::parking::{self, Keys, Retried, give_up, positions, remaining, still_parked, unpark};
use crate::{Entry, Projection};

/// The parked streams as they stand in the database.
pub(super) async fn load(client: &Client, schema: &str) -> Result<Keys, Error> {
    let mut found = Keys::default();
    for row in within(QUERY_MAX, client.query_typed(&qualified(parking::keys, schema), &[])).await?? {
        found.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(found)
}

impl Postgres {
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
        if left == 0 {
            self.parked().remove(name, stream);
        }
        Ok(Retried { applied, parked: left.unsigned_abs() })
    }

    pub(in crate::store) async fn resolve_parked(&self, model: &str, stream: &str) -> Result<u64, Error> {
        let client = open(&self.pool).await?;
        let sql = qualified(give_up, self.schema);
        let given_up = within(QUERY_MAX, client.execute(&sql, &[&model, &stream])).await??;
        self.parked().remove(model, stream);
        Ok(given_up)
    }
}
