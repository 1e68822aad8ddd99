//! Subscriptions in a file, where there is one node.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::{Error, KeyUse, Kind, Outcome, SWEEP_MAX, Store, Subscription, Wish, in_order, key, seconds, time};
use crate::tasks;

const IS_OWN: &str =
    "select 1 from subscription where subscriber = ?1 and kind = ?2 and target = ?3 and expires_at > ?4";
const COUNT_OWN: &str = "select count(*) from subscription where subscriber = ?1 and expires_at > ?2";
const COUNT_OF_TARGET: &str = "select count(*) from (select 1 from subscription
    where target = ?1 and kind = ?2 and expires_at > ?3 limit ?4)";
const PUT: &str = "insert into subscription (subscriber, kind, target, since, seconds, expires_at)
    values (?1, ?2, ?3, ?4, ?5, ?6) on conflict (subscriber, kind, target) do update
    set since = excluded.since, seconds = excluded.seconds, expires_at = excluded.expires_at";
const DELETE: &str = "delete from subscription where subscriber = ?1 and kind = ?2 and target = ?3";
const PAGE: &str = "select target, since, seconds from subscription
    where subscriber = ?1 and kind = ?2 and target > ?3 and expires_at > ?4 order by target limit ?5";
const OF_TARGET: &str = "select subscriber from subscription where target = ?1 and kind = ?2 and expires_at > ?3";
const SEEN: &str = "insert into last_seen (subject, sealed) values (?1, ?2)
    on conflict (subject) do update set sealed = excluded.sealed";
const LAST_SEEN: &str = "select sealed from last_seen where subject = ?1";
const USED: &str = "insert into api_key_use (app, key, used_at) values (?1, ?2, ?3)
    on conflict (app, key) do update set used_at = max(used_at, excluded.used_at)";
const KEY_USES: &str = "select key, used_at from api_key_use where app = ?1 order by key";
const FORGET: [&str; 3] = [
    "delete from subscription where subscriber = ?1",
    "delete from subscription where target = ?1",
    "delete from last_seen where subject = ?1",
];
const REMAINS: &str = "select (select count(*) from subscription where subscriber = ?1)
    + (select count(*) from subscription where target = ?1) + (select count(*) from last_seen where subject = ?1)";
const SWEEP: &str = "delete from subscription where (subscriber, kind, target) in
    (select subscriber, kind, target from subscription where expires_at <= ?1 order by expires_at limit ?2)";

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".into(),
            _ => error.to_string(),
        })
    }
}

fn bytes(subject: &SubjectRef) -> &[u8] {
    subject.0.as_bytes()
}

fn subject(bytes: &[u8]) -> Result<SubjectRef, Error> {
    Uuid::from_slice(bytes).map(SubjectRef).map_err(|_| Error::Damaged("a subject".into()))
}

/// The store in a file.
#[derive(Clone)]
pub struct Sqlite(Arc<Mutex<Connection>>);

impl Sqlite {
    /// Opens the file, making it if it does not exist. Blocks.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; pragma secure_delete = on;
             pragma temp_store = memory; pragma busy_timeout = 5000;",
        )?;
        connection.execute_batch(include_str!("sqlite.sql"))?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does something on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = self.0.clone();
        let done = tasks::spawn_blocking(move || {
            // A transaction that a panic left is undone when it is dropped.
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(|error| Error::Unavailable(error.to_string()))?
    }

    /// Does something in one transaction.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
        .await
    }
}

fn subscribe(on: &Transaction<'_>, wish: &Wish) -> Result<Outcome, Error> {
    let (own, kind, now) = (bytes(&wish.subscriber), wish.kind.number(), wish.now.timestamp_millis());
    let expires_at = now + i64::from(wish.seconds) * 1_000;
    let (mut renewed, mut new, mut full) = (vec![], vec![], vec![]);
    for target in &wish.targets {
        let is_own = on.prepare_cached(IS_OWN)?.exists(params![own, kind, bytes(target), now])?;
        let count = || -> Result<usize, Error> {
            let params = params![bytes(target), kind, now, wish.limits.of_target];
            Ok(on.prepare_cached(COUNT_OF_TARGET)?.query_row(params, |row| row.get(0))?)
        };
        if is_own {
            renewed.push(*target);
        } else if count()? >= wish.limits.of_target {
            full.push(*target);
        } else {
            new.push(*target);
        }
    }
    let count: usize = on.prepare_cached(COUNT_OWN)?.query_row(params![own, now], |row| row.get(0))?;
    if count + new.len() > wish.limits.own {
        return Ok(Outcome::OwnFull);
    }
    for target in renewed.iter().chain(&new) {
        on.prepare_cached(PUT)?.execute(params![own, kind, bytes(target), now, wish.seconds, expires_at])?;
    }
    Ok(Outcome::Done { full, new })
}

#[async_trait]
impl Store for Sqlite {
    async fn subscribe(&self, wish: Wish) -> Result<Outcome, Error> {
        self.write(move |on| subscribe(on, &wish)).await
    }

    async fn unsubscribe(&self, subscriber: SubjectRef, kind: Kind, targets: Vec<SubjectRef>) -> Result<(), Error> {
        self.write(move |on| {
            for target in &targets {
                on.prepare_cached(DELETE)?.execute(params![bytes(&subscriber), kind.number(), bytes(target)])?;
            }
            Ok(())
        })
        .await
    }

    async fn page(
        &self,
        subscriber: SubjectRef,
        kind: Kind,
        after: Option<SubjectRef>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Subscription>, Error> {
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(PAGE)?;
            let after = after.map_or(vec![], |after| bytes(&after).to_vec());
            let params = params![bytes(&subscriber), kind.number(), after, now.timestamp_millis(), limit];
            let mut rows = statement.query(params)?;
            let mut found = vec![];
            while let Some(row) = rows.next()? {
                let target = subject(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
                found.push(Subscription { target, since: time(row.get(1)?)?, seconds: seconds(row.get(2)?)? });
            }
            Ok(found)
        })
        .await
    }

    async fn subscribers(
        &self,
        kind: Kind,
        targets: Vec<SubjectRef>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(SubjectRef, SubjectRef)>, Error> {
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(OF_TARGET)?;
            let mut found = vec![];
            for target in &targets {
                let mut rows = statement.query(params![bytes(target), kind.number(), now.timestamp_millis()])?;
                while let Some(row) = rows.next()? {
                    found.push((*target, subject(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?));
                }
            }
            Ok(found)
        })
        .await
    }

    async fn set_last_seen(&self, seen: Vec<(SubjectRef, Vec<u8>)>) -> Result<(), Error> {
        self.write(move |on| {
            for (subject, sealed) in &seen {
                on.prepare_cached(SEEN)?.execute(params![bytes(subject), sealed])?;
            }
            Ok(())
        })
        .await
    }

    async fn last_seen(&self, subjects: Vec<SubjectRef>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(LAST_SEEN)?;
            let mut found = vec![];
            for subject in &subjects {
                let sealed: Option<Vec<u8>> =
                    statement.query_row(params![bytes(subject)], |row| row.get(0)).optional()?;
                found.extend(sealed.map(|sealed| (*subject, sealed)));
            }
            Ok(in_order(&subjects, found))
        })
        .await
    }

    async fn set_key_uses(&self, uses: Vec<KeyUse>) -> Result<(), Error> {
        self.write(move |on| {
            for KeyUse { app, key, at } in &uses {
                on.prepare_cached(USED)?.execute(params![app.as_str(), key, at.timestamp_millis()])?;
            }
            Ok(())
        })
        .await
    }

    async fn key_uses(&self, app: AppId) -> Result<Vec<KeyUse>, Error> {
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(KEY_USES)?;
            let mut rows = statement.query(params![app.as_str()])?;
            let mut found = vec![];
            while let Some(row) = rows.next()? {
                found.push(KeyUse { app: app.clone(), key: key(row.get(0)?)?, at: time(row.get(1)?)? });
            }
            Ok(found)
        })
        .await
    }

    async fn forget(&self, subject: SubjectRef) -> Result<(), Error> {
        self.write(move |on| {
            for statement in FORGET {
                on.prepare_cached(statement)?.execute(params![bytes(&subject)])?;
            }
            Ok(())
        })
        .await?;
        // What was deleted is in the write-ahead log until that is emptied.
        self.with(|connection| Ok(connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?)).await
    }

    async fn remains(&self, subject: SubjectRef) -> Result<u32, Error> {
        self.with(move |connection| {
            Ok(connection.prepare_cached(REMAINS)?.query_row(params![bytes(&subject)], |row| row.get(0))?)
        })
        .await
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<bool, Error> {
        let swept =
            self.write(move |on| Ok(on.prepare_cached(SWEEP)?.execute(params![now.timestamp_millis(), SWEEP_MAX])?));
        Ok(swept.await? >= usize::try_from(SWEEP_MAX).unwrap_or(usize::MAX))
    }
}
