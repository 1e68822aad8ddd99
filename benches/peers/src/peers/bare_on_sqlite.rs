//! The limit of SQLite: nothing but a group commit. One thread takes what is queued, stores it in one transaction, answers all.

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::measure::Peer;
use crate::sqlite::{Folder, durable};
use crate::user::Profile;

/// Where the events are.
pub(crate) const TABLE: &str = "log";

/// No more than this in one transaction: longer than any queue here.
const BATCH: usize = 4096;

const SCHEMA: &str = "CREATE TABLE log (stream BLOB PRIMARY KEY, event BLOB NOT NULL) WITHOUT ROWID";
const INSERT: &str = "INSERT INTO log (stream, event) VALUES (?1, ?2)";

struct Queued {
    stream: Uuid,
    event: Vec<u8>,
    answer: oneshot::Sender<Result<(), String>>,
}

struct Bare {
    queue: mpsc::Sender<Queued>,
}

/// Begins in an empty folder.
pub(crate) fn open(folder: &Folder) -> Result<impl Peer> {
    let mut connection = durable(&folder.file())?;
    connection.execute_batch(SCHEMA)?;
    let (queue, mut queued) = mpsc::channel::<Queued>(BATCH);
    std::thread::spawn(move || {
        let mut batch = Vec::with_capacity(BATCH);
        while queued.blocking_recv_many(&mut batch, BATCH) > 0 {
            let outcome = commit(&mut connection, &batch).map_err(|error| error.to_string());
            for queued in batch.drain(..) {
                // Who does not wait any more has no use for the answer.
                queued.answer.send(outcome.clone()).ok();
            }
            // Whoever was answered may ask again first: or the next transaction is for the quickest alone.
            std::thread::yield_now();
        }
    });
    Ok(Bare { queue })
}

fn commit(connection: &mut Connection, batch: &[Queued]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(INSERT)?;
        for queued in batch {
            insert.execute(params![queued.stream.as_bytes(), queued.event])?;
        }
    }
    transaction.commit()
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
