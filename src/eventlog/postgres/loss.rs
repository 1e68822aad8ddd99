//! What it means that a server does not hold the last event that was seen: the log is broken only if it is the primary. Which
//! servers may be asked as one, after a fail-over too, is known where connections are opened.

use tokio_postgres::Client;
use uuid::Uuid;

use super::{Error, Seen, Shared, in_time};
use crate::eventlog::Damage;

const IS_STANDBY: &str = "select pg_is_in_recovery()";
const IS_GONE: &str = "select to_regclass('rollcall_log.event') is null";

const REWOUND: &str = "the database does not hold this event any more: it was restored to an earlier state, or a standby \
    took over that had not received it. Stop every node; bring the missing events back, or run `rollcall recover`";
const DELETED: &str = "the tables of the log are gone from the database. Stop every node; put a backup of them back, or run \
    `rollcall recover`";

impl Shared {
    /// Judges a server that does not hold the last event that was seen, and holds `found` in its place.
    pub(super) async fn missing(&self, client: &Client, found: Option<Uuid>) -> Error {
        let (position, event) = *self.last.borrow();
        let reason = match in_time(async { Ok((says(client, IS_STANDBY).await?, says(client, IS_GONE).await?)) }).await
        {
            Err(error) => return error,
            Ok((true, _)) => {
                return Error::Unavailable("the server is a standby that has not received the last events".into());
            }
            Ok((false, true)) => Damage::Deleted.because(DELETED),
            Ok((false, false)) => Damage::Rewound.because(REWOUND),
        };
        self.integrity.condemn(position, reason.with(Some(Seen { position, event }), found)).await
    }
}

/// Whether the tables of the log are not there.
pub(super) async fn is_gone(client: &Client) -> bool {
    in_time(says(client, IS_GONE)).await.unwrap_or(false)
}

async fn says(client: &Client, sql: &str) -> Result<bool, Error> {
    Ok(client.query_typed_one(sql, &[]).await?.try_get(0)?)
}
