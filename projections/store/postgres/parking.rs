//! What is parked and what is skipped, as the projector has to know it.
//!
//! What is parked is looked up in the transaction that applies, behind its lock on the checkpoints: an operator may retry or
//! skip while nodes run, and a node that takes the lease over has not seen what the one before it parked.

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_schemas::ids::EventId;
use tokio_postgres::Client;
use uuid::Uuid;

use super::connection::Writer;
use super::deadline::{APPLY_MAX, QUERY_MAX, within};
use super::failure::Failure;
use super::schema::LIVE;
use crate::store::Error;
use crate::store::parking::{Keys, Skipped, stream_of};
use crate::store::shares::Share;

/// Of these read models and streams, which of them are parked.
const parked_of: &str =
    "SELECT m.model, s.stream FROM unnest($1::text[]) AS m (model), unnest($2::text[]) AS s (stream)
    WHERE EXISTS (SELECT 1 FROM store_parked AS p WHERE p.model = m.model AND p.stream = s.stream)";

/// What the read models skip. It is kept beside the live ones, and holds for those that are built anew as well.
pub(super) async fn load_skipped(client: &Client) -> Result<Skipped, Error> {
    let mut found = Skipped::default();
    let there = format!("select to_regclass('{LIVE}.store_skipped') is not null");
    if within(QUERY_MAX, client.query_typed_one(&there, &[])).await??.try_get(0)? {
        let sql = format!("SELECT model, event FROM {LIVE}.store_skipped");
        for row in within(QUERY_MAX, client.query_typed(&sql, &[])).await?? {
            let event = Uuid::from_slice(row.try_get(1)?).map_err(|_| Error::Column(1))?;
            found.insert(row.try_get(0)?, EventId(event));
        }
    }
    Ok(found)
}

/// Which of the streams of a batch are parked in these read models.
pub(super) async fn parked_in(
    writer: &mut Writer,
    models: &[&str],
    shares: &[&Share<'_, '_>],
    skipped: Arc<Skipped>,
) -> Result<Keys, Failure> {
    let mut found = Keys::skipping(skipped);
    if models.is_empty() {
        return Ok(found);
    }
    let of_batch: BTreeSet<_> = shares.iter().flat_map(|share| share.arrivals).map(stream_of).collect();
    let streams: Vec<_> = of_batch.into_iter().collect();
    let statement = writer.statement(parked_of).await?;
    for row in within(APPLY_MAX, writer.client.query(&statement, &[&models, &streams])).await?? {
        found.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(found)
}
