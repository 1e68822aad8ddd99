//! Subscriptions in the database that all nodes share.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, KeyUse, Kind, Outcome, SWEEP_MAX, Store, Subscription, Wish, in_order, key, seconds, time};
use crate::database::{self, Database};
use crate::live::reach::{self, Params, Reach};

/// Connections to the database.
const POOL_MAX: usize = 4;
/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Locks over which users are spread: who follows, and who is followed, is counted by one at a time.
const STRIPES: u128 = 32;

/// In one order, so that nobody waits in a circle. The first number is that of these locks.
const LOCK: &str = "select pg_advisory_xact_lock(1380731990, s) from (select unnest($1) as s order by 1) as stripes";
const OWN: &str = "select target from rollcall_live.subscription
    where subscriber = $1 and kind = $2 and target = any($3) and expires_at > $4";
const COUNT_OWN: &str = "select count(*) from rollcall_live.subscription where subscriber = $1 and expires_at > $2";
const FULL: &str = "select t from unnest($1) as u (t) where (select count(*) from (select 1
    from rollcall_live.subscription where target = t and kind = $2 and expires_at > $3 limit $4) as found) >= $4";
const PUT: &str = "insert into rollcall_live.subscription (subscriber, kind, target, since, seconds, expires_at)
    select $1, $2, t, $4, $5, $6 from unnest($3) as u (t) on conflict (subscriber, kind, target) do update
    set since = excluded.since, seconds = excluded.seconds, expires_at = excluded.expires_at";
const DELETE: &str = "delete from rollcall_live.subscription where subscriber = $1 and kind = $2 and target = any($3)";
const PAGE: &str = "select target, since, seconds from rollcall_live.subscription
    where subscriber = $1 and kind = $2 and target > $3 and expires_at > $4 order by target limit $5";
const OF_TARGETS: &str = "select target, subscriber from rollcall_live.subscription
    where target = any($1) and kind = $2 and expires_at > $3";
const SEEN: &str = "insert into rollcall_live.last_seen (subject, sealed) select s, v from unnest($1, $2) as u (s, v)
    on conflict (subject) do update set sealed = excluded.sealed";
const LAST_SEEN: &str = "select subject, sealed from rollcall_live.last_seen where subject = any($1)";
const USED: &str = "insert into rollcall_live.api_key_use as known (app, key, used_at)
    select a, k, t from unnest($1, $2, $3) as u (a, k, t) on conflict (app, key) do update
    set used_at = greatest(known.used_at, excluded.used_at)";
const KEY_USES: &str = "select key, used_at from rollcall_live.api_key_use where app = $1 order by key";
const FORGET: &str = "with own as (delete from rollcall_live.subscription where subscriber = $1),
    others as (delete from rollcall_live.subscription where target = $1)
    delete from rollcall_live.last_seen where subject = $1";
const REMAINS: &str = "select (select count(*) from rollcall_live.subscription where subscriber = $1)
    + (select count(*) from rollcall_live.subscription where target = $1)
    + (select count(*) from rollcall_live.last_seen where subject = $1)";
const SWEEP: &str = "delete from rollcall_live.subscription where ctid = any(array(
    select ctid from rollcall_live.subscription where expires_at <= $1 limit $2 for update skip locked))";

impl From<reach::Error> for Error {
    fn from(error: reach::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        reach::Error::from(error).into()
    }
}

fn ids(subjects: &[SubjectRef]) -> Vec<Uuid> {
    subjects.iter().map(|subject| subject.0).collect()
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The store in a database.
pub struct Postgres(Reach);

impl Postgres {
    /// Opens it, making the tables where they are missing. Its connections live on the runtime this is called on.
    ///
    /// # Errors
    /// The database is unavailable, or the tables cannot be made.
    pub async fn open(database: &Database) -> Result<Self, database::Error> {
        Ok(Self(Reach::open(database, POOL_MAX, ANSWER_MAX).await?))
    }
}

async fn subscribe(client: &mut Client, wish: &Wish) -> Result<Outcome, tokio_postgres::Error> {
    let (own, kind, now) = (wish.subscriber.0, wish.kind.number(), wish.now.timestamp_millis());
    let expires_at = now + i64::from(wish.seconds) * 1_000;
    let stripe = |id: &Uuid| i32::try_from(id.as_u128() % STRIPES).unwrap_or(0);
    let stripes: HashSet<i32> = wish.targets.iter().chain([&wish.subscriber]).map(|one| stripe(&one.0)).collect();
    let stripes: Vec<i32> = stripes.into_iter().collect();
    let on = client.transaction().await?;
    on.query_typed(LOCK, &[(&stripes, Type::INT4_ARRAY)]).await?;
    let targets = ids(&wish.targets);
    let params: Params<'_> =
        &[(&own, Type::UUID), (&kind, Type::INT2), (&targets, Type::UUID_ARRAY), (&now, Type::INT8)];
    let rows = on.query_typed(OWN, params).await?;
    let renewed: HashSet<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let (renewed, mut new): (Vec<Uuid>, Vec<Uuid>) = targets.into_iter().partition(|target| renewed.contains(target));
    let limit = i64::try_from(wish.limits.of_target).unwrap_or(i64::MAX);
    let params: Params<'_> = &[(&new, Type::UUID_ARRAY), (&kind, Type::INT2), (&now, Type::INT8), (&limit, Type::INT8)];
    let rows = on.query_typed(FULL, params).await?;
    let full: HashSet<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    new.retain(|target| !full.contains(target));
    let counted = on.query_typed_one(COUNT_OWN, &[(&own, Type::UUID), (&now, Type::INT8)]).await?;
    if count(counted.try_get(0)?) + new.len() > wish.limits.own {
        return Ok(Outcome::OwnFull);
    }
    let (put, seconds): (Vec<Uuid>, _) = (renewed.iter().chain(&new).copied().collect(), i64::from(wish.seconds));
    let params: Params<'_> = &[
        (&own, Type::UUID),
        (&kind, Type::INT2),
        (&put, Type::UUID_ARRAY),
        (&now, Type::INT8),
        (&seconds, Type::INT8),
        (&expires_at, Type::INT8),
    ];
    on.execute_typed(PUT, params).await?;
    on.commit().await?;
    let subjects = |ids: Vec<Uuid>| ids.into_iter().map(SubjectRef).collect();
    let full = wish.targets.iter().map(|target| target.0).filter(|target| full.contains(target)).collect();
    Ok(Outcome::Done { full: subjects(full), new: subjects(new) })
}

#[async_trait]
impl Store for Postgres {
    async fn subscribe(&self, wish: Wish) -> Result<Outcome, Error> {
        let mut borrowed = self.0.borrow().await?;
        let outcome = self.0.in_time(subscribe(borrowed.client()?, &wish)).await?;
        borrowed.give_back();
        Ok(outcome)
    }

    async fn unsubscribe(&self, subscriber: SubjectRef, kind: Kind, targets: Vec<SubjectRef>) -> Result<(), Error> {
        let (kind, targets) = (kind.number(), ids(&targets));
        let params: Params<'_> = &[(&subscriber.0, Type::UUID), (&kind, Type::INT2), (&targets, Type::UUID_ARRAY)];
        self.0.execute(DELETE, params).await?;
        Ok(())
    }

    async fn page(
        &self,
        subscriber: SubjectRef,
        kind: Kind,
        after: Option<SubjectRef>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Subscription>, Error> {
        let after = after.map_or(Uuid::nil(), |after| after.0);
        let (kind, now, limit) = (kind.number(), now.timestamp_millis(), i64::from(limit));
        let params: Params<'_> = &[
            (&subscriber.0, Type::UUID),
            (&kind, Type::INT2),
            (&after, Type::UUID),
            (&now, Type::INT8),
            (&limit, Type::INT8),
        ];
        let rows = self.0.query(PAGE, params).await?;
        rows.iter()
            .map(|row| {
                let (since, for_seconds) = (time(row.try_get(1)?)?, seconds(row.try_get(2)?)?);
                Ok(Subscription { target: SubjectRef(row.try_get(0)?), since, seconds: for_seconds })
            })
            .collect()
    }

    async fn subscribers(
        &self,
        kind: Kind,
        targets: Vec<SubjectRef>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(SubjectRef, SubjectRef)>, Error> {
        let (targets, kind, now) = (ids(&targets), kind.number(), now.timestamp_millis());
        let params: Params<'_> = &[(&targets, Type::UUID_ARRAY), (&kind, Type::INT2), (&now, Type::INT8)];
        let rows = self.0.query(OF_TARGETS, params).await?;
        rows.iter().map(|row| Ok((SubjectRef(row.try_get(0)?), SubjectRef(row.try_get(1)?)))).collect()
    }

    async fn set_last_seen(&self, mut seen: Vec<(SubjectRef, Vec<u8>)>) -> Result<(), Error> {
        // In one order, so that two nodes do not wait for each other.
        seen.sort_unstable_by_key(|(subject, _)| *subject);
        let (subjects, sealed): (Vec<Uuid>, Vec<Vec<u8>>) =
            seen.into_iter().map(|(subject, sealed)| (subject.0, sealed)).unzip();
        self.0.execute(SEEN, &[(&subjects, Type::UUID_ARRAY), (&sealed, Type::BYTEA_ARRAY)]).await?;
        Ok(())
    }

    async fn last_seen(&self, subjects: Vec<SubjectRef>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let rows = self.0.query(LAST_SEEN, &[(&ids(&subjects), Type::UUID_ARRAY)]).await?;
        let found = rows.iter().map(|row| Ok((SubjectRef(row.try_get(0)?), row.try_get(1)?)));
        Ok(in_order(&subjects, found.collect::<Result<_, Error>>()?))
    }

    async fn set_key_uses(&self, mut uses: Vec<KeyUse>) -> Result<(), Error> {
        // In one order, so that two nodes do not wait for each other.
        uses.sort_unstable_by(|one, other| (&one.app, one.key).cmp(&(&other.app, other.key)));
        let apps: Vec<_> = uses.iter().map(|used| used.app.as_str()).collect();
        let keys: Vec<_> = uses.iter().map(|used| i64::from(used.key)).collect();
        let times: Vec<_> = uses.iter().map(|used| used.at.timestamp_millis()).collect();
        let params: Params<'_> = &[(&apps, Type::TEXT_ARRAY), (&keys, Type::INT8_ARRAY), (&times, Type::INT8_ARRAY)];
        self.0.execute(USED, params).await?;
        Ok(())
    }

    async fn key_uses(&self, app: AppId) -> Result<Vec<KeyUse>, Error> {
        let rows = self.0.query(KEY_USES, &[(&app.as_str(), Type::TEXT)]).await?;
        rows.iter()
            .map(|row| Ok(KeyUse { app: app.clone(), key: key(row.try_get(0)?)?, at: time(row.try_get(1)?)? }))
            .collect()
    }

    async fn forget(&self, subject: SubjectRef) -> Result<(), Error> {
        self.0.execute(FORGET, &[(&subject.0, Type::UUID)]).await?;
        Ok(())
    }

    async fn remains(&self, subject: SubjectRef) -> Result<u32, Error> {
        let count = self.0.number(REMAINS, &[(&subject.0, Type::UUID)]).await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<bool, Error> {
        let now = now.timestamp_millis();
        let swept = self.0.execute(SWEEP, &[(&now, Type::INT8), (&SWEEP_MAX, Type::INT8)]).await?;
        Ok(swept >= SWEEP_MAX.unsigned_abs())
    }
}
