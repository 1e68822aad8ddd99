//! Whether a server that lacks an event is one whose word counts: the log is broken only if it is.
//!
//! After a fail-over a former primary may still answer, and a standby may be asked by mistake. Neither has lost anything. A
//! primary has a timeline, which grows with every promotion: one that is older than another one that was seen is a former
//! primary.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::{Error, Seen, Shared};
use crate::database::{Database, Heard};
use crate::eventlog::Damage;

/// The timeline in hexadecimal; none on a standby.
const TIMELINE: &str = "select case when pg_is_in_recovery() then null
    else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end";
const IS_GONE: &str = "select to_regclass('rollcall_log.event') is null";
/// How long a former primary may be all that can be reached. After that it is the primary again, and what was recorded
/// meanwhile is lost.
const FORMER_MAX: Duration = Duration::from_mins(1);

const REWOUND: &str = "the database does not hold this event any more: it was restored to an earlier state, or a standby \
    took over that had not received it. Stop every node; bring the missing events back, or run `rollcall recover`";
const DELETED: &str = "the tables of the log are gone from the database. Stop every node; put a backup of them back, or run \
    `rollcall recover`";

/// What is known of the servers that were primaries.
#[derive(Default)]
pub(super) struct Lineage(Mutex<Known>);

#[derive(Default)]
struct Known {
    newest: u32,
    /// Since when only a former primary answers.
    former_since: Option<Instant>,
}

/// What the word of a server counts.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Primary,
    FormerPrimary,
    Standby,
}

impl Lineage {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server with this timeline was reached; none: a standby.
    fn reached(&self, timeline: Option<u32>) {
        let mut known = self.known();
        known.newest = known.newest.max(timeline.unwrap_or(0));
    }

    /// The log holds what was seen of it.
    pub(super) fn confirmed(&self) {
        self.known().former_since = None;
    }

    /// The standing of a server that lacks an event, as of now.
    fn standing(&self, timeline: Option<u32>, now: Instant) -> Standing {
        let Some(timeline) = timeline else { return Standing::Standby };
        let mut known = self.known();
        if timeline >= known.newest {
            return Standing::Primary;
        }
        let since = *known.former_since.get_or_insert(now);
        if now.duration_since(since) > FORMER_MAX { Standing::Primary } else { Standing::FormerPrimary }
    }
}

impl Shared {
    /// Opens a connection, and learns what the server is.
    pub(super) async fn connect(&self, database: &Database, heard: Option<Heard>) -> Result<Client, Error> {
        let client = database.connect(heard).await?;
        self.reached(&client).await?;
        Ok(client)
    }

    /// Learns what the server of a connection is.
    pub(super) async fn reached(&self, client: &Client) -> Result<(), Error> {
        self.lineage.reached(super::in_time(timeline(client)).await?);
        Ok(())
    }

    /// What it means that this server does not hold the last event that was seen, and holds `found` in its place.
    pub(super) async fn missing(&self, client: &Client, found: Option<uuid::Uuid>) -> Error {
        let (position, event) = *self.last.borrow();
        let judged = async {
            Ok(match self.lineage.standing(timeline(client).await?, Instant::now()) {
                Standing::Standby => unavailable("the server is a standby that has not received the last events yet"),
                Standing::FormerPrimary => {
                    unavailable("the server is a former primary that lacks what its successor recorded")
                }
                Standing::Primary => {
                    let gone = client.query_typed_one(IS_GONE, &[]).await?.try_get(0)?;
                    let reason = if gone { Damage::Deleted.because(DELETED) } else { Damage::Rewound.because(REWOUND) };
                    self.integrity.condemn(position, reason.with(Some(Seen { position, event }), found)).await
                }
            })
        };
        super::in_time(judged).await.unwrap_or_else(|error| error)
    }
}

/// Whether the tables of the log are not there.
pub(super) async fn is_gone(client: &Client) -> bool {
    let asked = async { Ok(client.query_typed_one(IS_GONE, &[]).await?.try_get(0)?) };
    super::in_time(asked).await.unwrap_or(false)
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable(reason.into())
}

async fn timeline(client: &Client) -> Result<Option<u32>, Error> {
    let timeline: Option<String> = client.query_typed_one(TIMELINE, &[]).await?.try_get(0)?;
    Ok(timeline.and_then(|timeline| u32::from_str_radix(&timeline, 16).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_and_a_former_primary_lack_events_without_the_log_being_broken() {
        let (lineage, now) = (Lineage::default(), Instant::now());
        lineage.reached(Some(2));
        lineage.reached(Some(1));
        lineage.reached(None);
        assert_eq!(lineage.standing(None, now), Standing::Standby);
        assert_eq!(lineage.standing(Some(1), now), Standing::FormerPrimary);
        assert_eq!(lineage.standing(Some(2), now), Standing::Primary);
        assert_eq!(lineage.standing(Some(3), now), Standing::Primary);
    }

    #[test]
    fn a_former_primary_that_stays_the_only_one_is_the_primary_again() {
        let (lineage, now) = (Lineage::default(), Instant::now());
        lineage.reached(Some(2));
        assert_eq!(lineage.standing(Some(1), now), Standing::FormerPrimary);
        lineage.confirmed();
        let later = now + FORMER_MAX;
        assert_eq!(lineage.standing(Some(1), later), Standing::FormerPrimary, "it was seen whole in between");
        assert_eq!(lineage.standing(Some(1), later + FORMER_MAX + Duration::from_secs(1)), Standing::Primary);
    }
}
