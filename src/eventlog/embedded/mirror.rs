//! A log that mirrors another one: what that one holds is taken over with its positions, and how far it was taken over
//! moves in the same transaction.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::Embedded;
use super::statements::{self, Stored};
use super::step::{Mark, Step};
use super::store::{EXPIRED_TOGETHER, Failure, Store};
use super::task::Task;
use crate::eventlog::{Error, RawEvent};

const TABLE: &str = "create table if not exists mirrored (
    one      integer primary key check (one = 1),
    source   text    not null,
    revision integer not null,
    id       blob    not null
);
create table if not exists owner (
    one   integer primary key check (one = 1),
    vault blob    not null
)";
const OWN: &str = "insert into owner (one, vault) values (1, ?1) on conflict (one) do nothing";
const OWNER: &str = "select vault from owner";
const MOVE_MARK: &str = "insert into mirrored (one, source, revision, id) values (1, ?1, ?2, ?3)
    on conflict (one) do update set revision = excluded.revision, id = excluded.id";
const EXPIRE: &str = "delete from outcome where recorded_at < ?1";
/// The times of the oldest keys, as many as are deleted together.
const OLDEST: &str = "select max(recorded_at) from
    (select recorded_at from outcome where recorded_at < ?1 order by recorded_at limit ?2)";

/// Makes a file ready to mirror a log.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    // What is lost with the power is taken over again: the mark is in the same transaction.
    connection.execute_batch("pragma synchronous = normal")?;
    connection.execute_batch(TABLE)
}

impl Embedded {
    /// Opens a file that mirrors another log.
    pub(in crate::eventlog) fn open_mirror(path: &std::path::Path) -> Result<Self, Error> {
        Self::open_with(path, prepare)
    }

    /// Takes steps of another log over, all or none, and returns how much each changed. After a failure,
    /// [`Embedded::mark`] tells whether they were taken over.
    pub(in crate::eventlog) async fn mirror(&self, steps: Vec<Step>, mark: Mark) -> Result<Vec<u64>, Error> {
        self.ask(|answer| Task::Mirror(steps, mark, answer)).await
    }

    /// How far the other log was taken over; `None`: nothing was yet.
    pub(in crate::eventlog) fn mark(&self) -> Result<Option<Mark>, Error> {
        self.read(|connection| Ok(statements::mark(connection)?))
    }

    /// The vault whose values the other log holds; `None`: it does not say.
    pub(in crate::eventlog) fn owner(&self) -> Result<Option<Uuid>, Error> {
        self.read(|connection| {
            let owner = connection.query_row(OWNER, [], |row| row.get::<_, [u8; 16]>(0)).optional()?;
            Ok(owner.map(Uuid::from_bytes))
        })
    }

    /// The revision of a stream; 0: it does not exist.
    pub(in crate::eventlog) fn revision(&self, stream: &str) -> Result<u64, Error> {
        self.read(|connection| Ok(statements::revision(connection, &self.shared.dictionary, stream)?))
    }

    /// Fingerprint and outcome of a key.
    pub(in crate::eventlog) fn outcome(&self, key: &[u8; 32]) -> Result<Option<Stored>, Error> {
        self.read(|connection| Ok(statements::outcome(connection, key)?))
    }

    /// Whether an event is there and has other blobs.
    pub(in crate::eventlog) fn differs(&self, position: u64, blobs: Option<&[u8]>) -> Result<bool, Error> {
        let held = self.read(|connection| statements::blobs(connection, &self.shared.dictionary, position))?;
        Ok(held.is_some_and(|held| held.as_deref() != blobs))
    }

    /// Before which time the oldest of the keys were recorded that were recorded before `time`; `None`: there are none.
    /// Nearly as few are older as are deleted together elsewhere: more only where they share a millisecond.
    pub(in crate::eventlog) fn oldest_outcomes(&self, time: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Error> {
        let before = time.timestamp_millis();
        let newest: Option<i64> = self.read(|connection| {
            let mut statement = connection.prepare_cached(OLDEST)?;
            Ok(statement.query_row(params![before, EXPIRED_TOGETHER], |row| row.get(0))?)
        })?;
        Ok(newest.and_then(|newest| DateTime::from_timestamp_millis(newest.saturating_add(1).min(before))))
    }
}

impl Store {
    pub(super) fn mirror(&mut self, steps: &[Step], mark: &Mark) -> Result<Vec<u64>, Failure> {
        self.transaction(|store| {
            let mut changed = Vec::with_capacity(steps.len());
            for step in steps {
                changed.push(match step {
                    Step::Append { events, kept } => {
                        events.iter().try_for_each(|event| store.take_over(event))?;
                        if let Some(guard) = kept {
                            statements::insert_outcome(&store.connection, guard)?;
                        }
                        events.len() as u64
                    }
                    Step::Detach(remaining) => store.replace_blobs(remaining)?,
                    Step::Expire(time) => {
                        store.connection.prepare_cached(EXPIRE)?.execute([time.timestamp_millis()])? as u64
                    }
                    Step::Own(vault) => store.connection.execute(OWN, [vault.as_bytes()])? as u64,
                    Step::Fence => 0,
                });
            }
            let id = mark.id.as_bytes();
            store.connection.prepare_cached(MOVE_MARK)?.execute(params![mark.source, mark.revision, id])?;
            Ok(changed)
        })
    }

    fn take_over(&mut self, event: &RawEvent) -> Result<(), Error> {
        let corrupt = |reason: String| Error::Corrupt { position: event.position, reason: reason.into() };
        if event.position != self.head + 1 {
            return Err(corrupt(format!("the log has a hole: after {} comes {}", self.head, event.position)));
        }
        let current = self.revision(&event.stream)?;
        if event.revision != current + 1 {
            let reason = format!("its stream has revision {current}, and it says it is number {}", event.revision);
            return Err(corrupt(reason));
        }
        statements::insert(&self.connection, &mut self.packer, event)?;
        self.head = event.position;
        self.heads.put(event.stream.clone(), event.revision);
        Ok(())
    }
}
