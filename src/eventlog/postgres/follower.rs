//! Follows what other nodes append: notifications are a hint, a poll stands behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{AT, Error, Mode, Shared, in_time, last, loss, stored};
use crate::database::{Database, Unasked};

/// How long an append of another node stays unseen at most where no notification arrives.
const POLL: Duration = Duration::from_millis(100);
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) async fn run(database: Database, shared: Arc<Shared>, mode: Mode, stop: CancellationToken) {
    let following = async {
        loop {
            if let Err(error) = follow(&database, &shared, mode).await {
                if shared.integrity.broken().is_some() {
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
    let (told, mut notes) = watch::channel(None);
    let heard = {
        let shared = shared.clone();
        move |unasked: Unasked<'_>| {
            if let Unasked::Notification(note) = unasked
                && !shared.is_own(note)
            {
                shared.tail.share();
                told.send_replace(Shared::read_note(note));
            }
        }
    };
    let client = database.connect(Some(Box::new(heard))).await?;
    if mode == Mode::Append {
        in_time(async { Ok(client.batch_execute("listen rollcall_log").await?) }).await?;
    }
    loop {
        in_time(look(&client, shared)).await?;
        let until = Instant::now() + POLL;
        // However many notes come: the next look is due.
        while Instant::now() < until
            && let Ok(Ok(())) = timeout_at(until, notes.changed()).await
        {
            // Anybody may notify: what a note says counts once the log holds it.
            let note = *notes.borrow_and_update();
            match note {
                Some((position, id)) if in_time(id_at(&client, position)).await? == Some(id) => {
                    shared.advance(position, id);
                }
                _ => break,
            }
        }
        if notes.has_changed().is_err() {
            // The connection has ended: the next look tells why.
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The event at a position, if there is one.
pub(super) async fn id_at(client: &Client, position: u64) -> Result<Option<Uuid>, Error> {
    let position = stored(position);
    let found = client.query_typed_opt(AT, &[(&position, Type::INT8)]).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// Tells how far the log is, if it still is the one that was seen before.
pub(super) async fn look(client: &Client, shared: &Shared) -> Result<(), Error> {
    let seen = *shared.last.borrow();
    // The older first: what is appended between the two only makes the second greater.
    let (seen_now, newest) = match tokio::try_join!(id_at(client, seen.0), last(client)) {
        Ok(answers) => answers,
        Err(_) if seen.0 > 0 && loss::is_gone(client).await => return Err(shared.missing(client, None).await),
        Err(error) => return Err(error),
    };
    if seen_now.map_or(seen.0 > 0, |id| id != seen.1) {
        return Err(shared.missing(client, seen_now).await);
    }
    if let Some((position, id)) = newest {
        shared.advance(position, id);
    }
    Ok(())
}
