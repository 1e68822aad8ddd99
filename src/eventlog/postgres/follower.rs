//! Follows what other nodes append: notifications are a hint, a poll stands behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{AT, Error, Mode, REWOUND, Shared, last, stored};
use crate::database::Database;

/// How long an append of another node stays unseen at most where no notification arrives.
const POLL: Duration = Duration::from_millis(100);
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long one look at the log may take.
const LOOK_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(database: Database, shared: Arc<Shared>, mode: Mode, stop: CancellationToken) {
    let following = async {
        loop {
            if let Err(error) = follow(&database, &shared, mode).await {
                if shared.broken.get().is_some() {
                    return;
                }
                tracing::warn!(%error, "the log cannot be followed for now; trying again");
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    };
    tokio::select! {
        () = following => {}
        () = stop.cancelled() => {}
    }
}

async fn follow(database: &Database, shared: &Arc<Shared>, mode: Mode) -> Result<(), Error> {
    let hint = Arc::new(Notify::new());
    // What this node appended it knows.
    let heard = {
        let (hint, shared) = (hint.clone(), shared.clone());
        move |said: &str| {
            if said != shared.node {
                shared.tail.share();
                hint.notify_one();
            }
        }
    };
    let client = database.connect(Some(Box::new(heard))).await?;
    if mode == Mode::Append {
        client.batch_execute("listen rollcall_log").await?;
    }
    loop {
        let looked = tokio::time::timeout(LOOK_MAX, look(&client, shared)).await;
        looked.map_err(|_| Error::Unavailable("the database does not answer".into()))??;
        // What comes first; a hint that came while it was looked is not lost.
        let _ = tokio::time::timeout(POLL, hint.notified()).await;
    }
}

/// Tells how far the log is, if it still is the one that was seen before.
async fn look(client: &Client, shared: &Shared) -> Result<(), Error> {
    let seen = *shared.last.borrow();
    let known = stored(seen.0);
    let at = [(&known as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT8)];
    // The older first: what is appended between the two only makes the second greater.
    let (seen_now, newest) = tokio::try_join!(client.query_typed_opt(AT, &at), async {
        Ok::<_, tokio_postgres::Error>(last(client).await)
    })?;
    let newest = newest?;
    let same = match seen_now {
        Some(row) => row.try_get::<_, uuid::Uuid>(0)? == seen.1,
        None => seen.0 == 0,
    };
    if !same {
        return Err(shared.break_off(seen.0, REWOUND));
    }
    if let Some((position, id)) = newest {
        shared.advance(position, id);
    }
    Ok(())
}
