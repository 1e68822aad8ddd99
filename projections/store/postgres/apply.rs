//! Applying events: rows and checkpoints of read models in one transaction, its statements in pipeline together.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::claims;
use super::connection::Writer;
use super::deadline::{APPLY_MAX, within};
use super::failure::Failure;
use super::parking::parked_in;
use super::pipeline::{Pipeline, check};
use super::store::Postgres;
use super::value::stored;
use crate::changes::{Change, Changes};
use crate::store::parking::{Fate, Keys, Skipped, parked_at, stream_of};
use crate::store::shares::Share;
use crate::store::{Checkpoint, Error, parking};
use crate::{Arrival, Entry, Projection};

/// Each from the position it is believed to have, at the place where this connection left it: while foreign transactions are
/// open, a search by its name would pass every place it ever was at. What moves is in no index, so a row changes within its
/// page.
const move_checkpoints: &str = "UPDATE store_checkpoint AS c SET position = $1, event = $2
    FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::text[]) AS m (model, version, before, place)
    WHERE c.ctid = m.place::tid AND c.model = m.model AND c.version = m.version AND c.position = m.before
    RETURNING c.model, EXISTS (SELECT 1 FROM store_parked AS p WHERE p.model = c.model), c.ctid::text";
const places_of: &str = "SELECT model, ctid::text FROM store_checkpoint WHERE model = ANY ($1)";

impl Postgres {
    /// Writes the shares of a batch, in one transaction for each lane: all of a lane's or none. `moved` is told how far
    /// those are that were written, also where others were not.
    pub(in crate::store) async fn apply(
        &self,
        shares: &[Share<'_, '_>],
        moved: &(dyn Fn(&[Checkpoint]) + Sync),
    ) -> Result<(), Error> {
        let mut lanes: Vec<Vec<&Share<'_, '_>>> = vec![vec![]; self.lanes.count()];
        for share in shares {
            lanes[self.lane_of(share.model.name())].push(share);
        }
        let lanes = lanes.iter().enumerate().filter(|(_, shares)| !shares.is_empty());
        let written = join_all(lanes.map(async |(lane, shares)| {
            self.apply_in(lane, shares).await?;
            moved(&shares.iter().map(|share| share.after).collect::<Vec<_>>());
            Ok(())
        }));
        written.await.into_iter().collect()
    }

    async fn apply_in(&self, lane: usize, shares: &[&Share<'_, '_>]) -> Result<(), Error> {
        let mut slot = self.lanes.slot(lane).lock().await;
        // The fast way is without a savepoint around each event; a poisoned one is found and parked the slow way.
        for parks in [false, true] {
            let mut writer = self.take(&mut slot).await?;
            let written = match write(&mut writer, shares, self.skipped(), parks).await {
                Err(Failure::Poison(_)) if !parks => writer.roll_back().await.map(|()| false),
                // Another one took the place of a read model, or another node is at it: the connection is as good as before.
                Err(Failure::Store(moved @ Error::Moved(_))) => {
                    if writer.roll_back().await.is_ok() {
                        *slot = Some(writer);
                    }
                    return Err(moved);
                }
                written => written.map(|()| true),
            };
            match written {
                Ok(is_done) => {
                    *slot = Some(writer);
                    if is_done {
                        return Ok(());
                    }
                }
                Err(Failure::Poison(reason)) => return Err(Error::Unavailable(reason)),
                // Where the commit was not answered it may have been done: then the next attempt finds the checkpoints moved.
                Err(Failure::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Writes shares in one transaction.
async fn write(
    writer: &mut Writer,
    shares: &[&Share<'_, '_>],
    skipped: Arc<Skipped>,
    parks: bool,
) -> Result<(), Failure> {
    writer.run("begin").await?;
    transact(writer, shares, skipped, parks).await?;
    writer.run("commit").await
}

async fn transact(
    writer: &mut Writer,
    shares: &[&Share<'_, '_>],
    skipped: Arc<Skipped>,
    parks: bool,
) -> Result<(), Failure> {
    // First: whoever does not hold the read models any more must not do the work in vain.
    let with_parked = move_all(writer, shares).await?;
    let mut parked = parked_in(writer, &with_parked, shares, skipped).await?;
    if parks {
        for share in shares {
            share_parking(writer, share, &mut parked).await?;
        }
    }
    let mut pipeline = Pipeline::new(writer);
    if !parks {
        for share in shares {
            share_together(&mut pipeline, share, &parked).await?;
        }
    }
    if let Some((sql, subjects)) = claims::settled(shares) {
        pipeline.send_with(sql, subjects).await?;
    }
    pipeline.settle().await
}

/// Moves the checkpoints of a batch, all of them to the same place, and locks them until the transaction ends. Answers
/// which read models have parked streams.
async fn move_all(writer: &mut Writer, shares: &[&Share<'_, '_>]) -> Result<Vec<&'static str>, Failure> {
    let (mut left, mut with_parked) = (shares.to_vec(), Vec::new());
    // Those that another connection has put elsewhere meanwhile are looked for.
    for looks in [false, true] {
        if looks {
            look_for(writer, &left).await?;
        }
        with_parked.extend(move_found(writer, &left).await?);
        left.retain(|share| !writer.places.contains_key(share.after.model));
        if left.is_empty() {
            return Ok(with_parked);
        }
    }
    left.first().map_or(Ok(with_parked), |share| Err(Error::Moved(share.after.model).into()))
}

/// Moves the checkpoints whose places are known, and knows the new places of those that could be moved.
async fn move_found(writer: &mut Writer, shares: &[&Share<'_, '_>]) -> Result<Vec<&'static str>, Failure> {
    let models: Vec<_> = shares.iter().map(|share| share.after.model).collect();
    let places: Vec<_> = models.iter().map(|model| writer.places.remove(model)).collect();
    let Some(after) = shares.first().map(|share| &share.after).filter(|_| places.iter().any(Option::is_some)) else {
        return Ok(vec![]);
    };
    let statement = writer.statement(move_checkpoints).await?;
    let event = after.event.map(|event| event.0.as_bytes().to_vec());
    let versions: Vec<_> = shares.iter().map(|share| i64::from(share.after.version)).collect();
    let before: Vec<_> = shares.iter().map(|share| stored(share.before)).collect();
    let position = stored(after.position);
    let params: [&(dyn ToSql + Sync); 6] = [&position, &event, &models, &versions, &before, &places];
    let mut with_parked = Vec::new();
    for row in within(APPLY_MAX, writer.client.query(&statement, &params)).await?? {
        let (moved, parks): (&str, bool) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(model) = models.iter().find(|model| **model == moved) {
            writer.places.insert(model, row.try_get(2)?);
            with_parked.extend(parks.then_some(*model));
        }
    }
    Ok(with_parked)
}

/// Learns where checkpoints are.
async fn look_for(writer: &mut Writer, shares: &[&Share<'_, '_>]) -> Result<(), Failure> {
    let models: Vec<_> = shares.iter().map(|share| share.after.model).collect();
    let statement = writer.statement(places_of).await?;
    for row in within(APPLY_MAX, writer.client.query(&statement, &[&models])).await?? {
        let found: &str = row.try_get(0)?;
        if let Some(model) = models.iter().find(|model| **model == found) {
            writer.places.insert(model, row.try_get(1)?);
        }
    }
    Ok(())
}

/// Sends what a read model does; the answers are taken when all of them have been sent.
async fn share_together(pipeline: &mut Pipeline<'_>, share: &Share<'_, '_>, parked: &Keys) -> Result<(), Failure> {
    let model = share.model;
    pipeline.go_on_with(model).await?;
    let mut changes = Changes::default();
    for arrival in share.arrivals {
        match parked.fate(model.name(), arrival) {
            Fate::Applied => {}
            Fate::Skipped => continue,
            Fate::HeldBack(stream) => {
                pipeline.settle().await?;
                park(pipeline.client(), model.name(), &stream, arrival, None).await?;
                continue;
            }
        }
        let Arrival::Decoded(entry) = arrival else { return Err(Failure::Poison("it cannot be decoded".into())) };
        changes.clear();
        model.project(entry, &mut changes)?;
        for change in changes.iter() {
            pipeline.take(change).await?;
        }
    }
    Ok(())
}

async fn share_parking(writer: &mut Writer, share: &Share<'_, '_>, parked: &mut Keys) -> Result<(), Failure> {
    let model = share.model;
    for arrival in share.arrivals {
        match parked.fate(model.name(), arrival) {
            Fate::Applied => {}
            Fate::Skipped => continue,
            Fate::HeldBack(stream) => {
                park(&writer.client, model.name(), &stream, arrival, None).await?;
                continue;
            }
        }
        let failure = match arrival {
            Arrival::Decoded(entry) => attempt(writer, model, entry).await.err(),
            Arrival::Undecodable(poison) => Some(Failure::Poison(poison.reason.clone())),
        };
        match failure {
            None => {}
            Some(Failure::Poison(reason)) => {
                let stream = stream_of(arrival);
                let position = arrival.position();
                tracing::error!(model = model.name(), stream, position, reason, "a stream was parked");
                park(&writer.client, model.name(), &stream, arrival, Some(&reason)).await?;
                parked.insert(model.name(), stream);
            }
            Some(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Applies one event to one read model, whole or not at all.
pub(super) async fn attempt(writer: &mut Writer, model: &dyn Projection, entry: &Entry<'_>) -> Result<(), Failure> {
    let mut changes = Changes::default();
    model.project(entry, &mut changes)?;
    if changes.is_empty() {
        return Ok(());
    }
    writer.run("savepoint event").await?;
    let result = execute(writer, &changes).await;
    if matches!(result, Err(Failure::Poison(_))) {
        writer.run("rollback to event").await?;
    }
    if !matches!(result, Err(Failure::Store(_))) {
        writer.run("release event").await?;
    }
    result
}

async fn execute(writer: &mut Writer, changes: &Changes) -> Result<(), Failure> {
    for Change { sql, params, must_change, .. } in changes.iter() {
        let statement = writer.statement(sql).await?;
        let changed = within(APPLY_MAX, writer.client.execute_raw(&statement, params.to_vec())).await??;
        check(must_change, changed)?;
    }
    Ok(())
}

/// Keeps an event for later: with a reason, or `None` behind one that has a reason.
async fn park(
    client: &Client,
    model: &str,
    stream: &str,
    arrival: &Arrival<'_>,
    reason: Option<&str>,
) -> Result<(), Error> {
    let (position, id, at) = (stored(arrival.position()), arrival.id(), parked_at());
    let id = &id.0.as_bytes()[..];
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&model, Type::TEXT),
        (&stream, Type::TEXT),
        (&position, Type::INT8),
        (&id, Type::BYTEA),
        (&reason, Type::TEXT),
        (&at, Type::INT8),
    ];
    within(APPLY_MAX, client.execute_typed(parking::park, &params)).await??;
    Ok(())
}
