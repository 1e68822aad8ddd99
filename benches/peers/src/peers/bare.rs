//! The limit: nothing but a group commit. One task takes what is queued, stores it in one transaction, answers all.

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::measure::Peer;
use crate::place::{Place, connect};
use crate::user::Profile;

/// Where the events are.
pub(crate) const TABLE: &str = "log";

/// No more than this in one transaction: longer than any queue here.
const BATCH: usize = 4096;

/// A statement by itself is a transaction: it returns when its commit is durable.
const INSERT: &str = "INSERT INTO log (stream, event) SELECT * FROM unnest($1::uuid[], $2::bytea[])";

struct Queued {
    stream: Uuid,
    event: Vec<u8>,
    answer: oneshot::Sender<Result<(), String>>,
}

struct Bare {
    queue: mpsc::Sender<Queued>,
}

/// Begins in an empty database.
pub(crate) async fn open(place: &Place) -> Result<impl Peer> {
    let client = connect(&place.config).await?;
    client.batch_execute("CREATE TABLE log (stream uuid PRIMARY KEY, event bytea NOT NULL)").await?;
    let insert = client.prepare(INSERT).await?;
    let (queue, queued) = mpsc::channel(BATCH);
    tokio::spawn(commit(client, insert, queued));
    Ok(Bare { queue })
}

/// Commits until nobody can ask any more.
async fn commit(client: Client, insert: Statement, mut queued: mpsc::Receiver<Queued>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queued.recv_many(&mut batch, BATCH).await > 0 {
        let streams: Vec<Uuid> = batch.iter().map(|queued| queued.stream).collect();
        let events: Vec<&[u8]> = batch.iter().map(|queued| queued.event.as_slice()).collect();
        let outcome = client.execute(&insert, &[&streams, &events]).await;
        let outcome = outcome.map(drop).map_err(|error| error.to_string());
        for queued in batch.drain(..) {
            // Who does not wait any more has no use for the answer.
            queued.answer.send(outcome.clone()).ok();
        }
        // Whoever was answered may ask again first: or the next transaction is for the quickest alone.
        tokio::task::yield_now().await;
    }
}

impl Peer for Bare {
    async fn register(&self, user: Uuid, profile: Profile) -> Result<u64> {
        let (answer, answered) = oneshot::channel();
        let queued = Queued { stream: user, event: serde_json::to_vec(&profile)?, answer };
        self.queue.send(queued).await.ok().context("nobody commits")?;
        answered.await?.map_err(anyhow::Error::msg)?;
        Ok(0)
    }
}
