//! The statements over the tables that the nodes share.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::live::presence::{Change, Connection, ConnectionId, Error, Platform};
use crate::live::reach::{self, Params, Reach};

/// A node for as long as it runs, in one of its epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeEpoch {
    pub(super) node: Uuid,
    pub(super) epoch: i64,
}

const RENEW: &str = "update rollcall_live.node set lease_until = clock_timestamp() + $3 * interval '1 s'
    where node = $1 and epoch = $2 and lease_until > clock_timestamp()";
const NOW: &str = "select (extract(epoch from clock_timestamp()) * 1000)::int8";
const BEGIN: &str = "insert into rollcall_live.node (node, epoch, lease_until)
    select $1, coalesce(max(epoch), 0) + 1, clock_timestamp() + $2 * interval '1 s' from
        (select epoch from rollcall_live.node where node = $1 union all select $3) as before
    returning epoch";
const END: &str = "update rollcall_live.node set lease_until = '-infinity' where node = $1 and epoch < $2";
/// One statement is one transaction: what a node writes counts only while its lease lives, and it cannot be swept meanwhile.
const WRITE: &str = "with lease as (select 1 from rollcall_live.node
        where node = $1 and epoch = $2 and lease_until > clock_timestamp() for key share),
    added as (insert into rollcall_live.connection (node, epoch, connection, subject, platform, since)
        select $1, $2, c, s, p, t from unnest($3, $4, $5, $6) as u (c, s, p, t), lease on conflict do nothing),
    removed as (delete from rollcall_live.connection where node = $1 and connection = any($7)),
    told as (insert into rollcall_live.change (node, subject, subscriber)
        select $1, s, t from unnest($8, $9) as u (s, t), lease)
    select count(*) from lease";
const CONNECTIONS: &str = "select c.subject, c.connection, c.platform, c.since from rollcall_live.connection c
    join rollcall_live.node n on n.node = c.node and n.epoch = c.epoch
    where c.subject = any($1) and c.node <> $2 and n.lease_until > clock_timestamp()";
const LIVING: &str = "select node, epoch from rollcall_live.node where node <> $1 and lease_until > clock_timestamp()";
const OF_NODE: &str = "select connection, subject from rollcall_live.connection
    where node = $1 and epoch = $2 and connection > $3 order by connection limit $4";
const LAST_CHANGE: &str = "select coalesce(max(seq), 0) from rollcall_live.change";
/// A change with a lower number may be committed after one with a higher number, so that those of the last two seconds are
/// read again.
const CHANGES: &str = "select seq, node, subject, subscriber, at < clock_timestamp() - interval '2 s'
    from rollcall_live.change where seq > $1 order by seq limit $2";
const FORGET_CHANGES: &str = "delete from rollcall_live.change where at < clock_timestamp() - interval '1 minute'";
/// The row of a node that ended a minute ago, locked: nothing is written for it any more.
const ENDED: &str = "select node, epoch from rollcall_live.node
    where lease_until < clock_timestamp() - interval '1 minute' limit 1 for update skip locked";
const SWEEP: &str = "delete from rollcall_live.connection where ctid = any(array(
    select ctid from rollcall_live.connection where node = $1 and epoch = $2 limit $3))";
const REMOVE: &str = "delete from rollcall_live.node where node = $1 and epoch = $2";

/// Rows that one statement deletes at most.
const SWEEP_MAX: i64 = 10_000;

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

/// What a node writes at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) added: Vec<Connection>,
    pub(super) removed: Vec<ConnectionId>,
    pub(super) changes: Vec<Change>,
}

/// The changes after a place, as others wrote them.
pub(super) struct Changes {
    /// With their numbers, the lowest first.
    pub(super) found: Vec<(i64, Uuid, Change)>,
    /// No change with a number up to this one is still to come.
    pub(super) settled: Option<i64>,
}

/// The tables.
pub(super) struct Tables(pub(super) Reach);

fn array(of: &Type) -> Type {
    match *of {
        Type::UUID => Type::UUID_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        _ => Type::INT8_ARRAY,
    }
}

fn time(millis: i64) -> Result<DateTime<Utc>, Error> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| Error::Damaged(format!("the time {millis}")))
}

impl Tables {
    /// The time of the database; millisecond resolution.
    pub(super) async fn now(&self) -> Result<DateTime<Utc>, Error> {
        time(self.0.number(NOW, &[]).await?)
    }

    /// Renews a lease; `false`: there is none any more.
    pub(super) async fn renew(&self, of: NodeEpoch, lease: Duration) -> Result<bool, Error> {
        let seconds = lease.as_secs_f64();
        let params: Params<'_> = &[(&of.node, Type::UUID), (&of.epoch, Type::INT8), (&seconds, Type::FLOAT8)];
        Ok(self.0.execute(RENEW, params).await? > 0)
    }

    /// Begins an epoch of a node that is later than `before`.
    pub(super) async fn begin(&self, before: NodeEpoch, lease: Duration) -> Result<NodeEpoch, Error> {
        let seconds = lease.as_secs_f64();
        let params: Params<'_> = &[(&before.node, Type::UUID), (&seconds, Type::FLOAT8), (&before.epoch, Type::INT8)];
        Ok(NodeEpoch { node: before.node, epoch: self.0.number(BEGIN, params).await? })
    }

    /// Ends the epochs of a node before this one.
    pub(super) async fn end_before(&self, epoch: NodeEpoch) -> Result<(), Error> {
        self.0.execute(END, &[(&epoch.node, Type::UUID), (&epoch.epoch, Type::INT8)]).await?;
        Ok(())
    }

    /// Writes what a node has to say; `false`: its lease has ended, and nothing was added.
    pub(super) async fn write(&self, of: NodeEpoch, batch: &Batch) -> Result<bool, Error> {
        let connections: Vec<Uuid> = batch.added.iter().map(|added| added.id.0).collect();
        let subjects: Vec<Uuid> = batch.added.iter().map(|added| added.subject.0).collect();
        let platforms: Vec<i16> = batch.added.iter().map(|added| added.platform.number()).collect();
        let since: Vec<i64> = batch.added.iter().map(|added| added.since.timestamp_millis()).collect();
        let removed: Vec<Uuid> = batch.removed.iter().map(|id| id.0).collect();
        let changed: Vec<Uuid> = batch.changes.iter().map(|change| change.subject.0).collect();
        let told: Vec<Option<Uuid>> = batch.changes.iter().map(|change| change.to.map(|to| to.0)).collect();
        let params: Params<'_> = &[
            (&of.node, Type::UUID),
            (&of.epoch, Type::INT8),
            (&connections, array(&Type::UUID)),
            (&subjects, array(&Type::UUID)),
            (&platforms, array(&Type::INT2)),
            (&since, array(&Type::INT8)),
            (&removed, array(&Type::UUID)),
            (&changed, array(&Type::UUID)),
            (&told, array(&Type::UUID)),
        ];
        Ok(self.0.number(WRITE, params).await? > 0)
    }

    /// The connections of subjects on other nodes.
    pub(super) async fn connections(&self, node: Uuid, subjects: &[SubjectRef]) -> Result<Vec<Connection>, Error> {
        let subjects: Vec<Uuid> = subjects.iter().map(|subject| subject.0).collect();
        let rows = self.0.query(CONNECTIONS, &[(&subjects, Type::UUID_ARRAY), (&node, Type::UUID)]).await?;
        let connection = |row: &Row| {
            let number: i16 = row.try_get(2)?;
            let platform =
                Platform::of_number(number).ok_or_else(|| Error::Damaged(format!("the platform {number}")))?;
            let (subject, id) = (SubjectRef(row.try_get(0)?), ConnectionId(row.try_get(1)?));
            Ok(Connection { id, subject, platform, since: time(row.try_get(3)?)? })
        };
        rows.iter().map(connection).collect()
    }

    /// The other nodes whose lease lives.
    pub(super) async fn living(&self, node: Uuid) -> Result<HashSet<NodeEpoch>, Error> {
        let rows = self.0.query(LIVING, &[(&node, Type::UUID)]).await?;
        rows.iter().map(|row| Ok(NodeEpoch { node: row.try_get(0)?, epoch: row.try_get(1)? })).collect()
    }

    /// The next connections of a node, after one of them.
    pub(super) async fn of_node(
        &self,
        of: NodeEpoch,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<(Uuid, SubjectRef)>, Error> {
        let params: Params<'_> =
            &[(&of.node, Type::UUID), (&of.epoch, Type::INT8), (&after, Type::UUID), (&limit, Type::INT8)];
        let rows = self.0.query(OF_NODE, params).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, SubjectRef(row.try_get(1)?)))).collect()
    }

    /// The number of the last change.
    pub(super) async fn last_change(&self) -> Result<i64, Error> {
        Ok(self.0.number(LAST_CHANGE, &[]).await?)
    }

    /// The changes after a number.
    pub(super) async fn changes(&self, after: i64, limit: i64) -> Result<Changes, Error> {
        let rows = self.0.query(CHANGES, &[(&after, Type::INT8), (&limit, Type::INT8)]).await?;
        let mut changes = Changes { found: Vec::with_capacity(rows.len()), settled: None };
        for row in &rows {
            let (seq, to): (i64, Option<Uuid>) = (row.try_get(0)?, row.try_get(3)?);
            if row.try_get(4)? {
                changes.settled = Some(seq);
            }
            let change = Change { subject: SubjectRef(row.try_get(2)?), to: to.map(SubjectRef) };
            changes.found.push((seq, row.try_get(1)?, change));
        }
        Ok(changes)
    }

    /// Deletes what nodes left behind that ended a minute ago, and changes that are as old. Any node does, the others pass
    /// over what one is at.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        self.0.execute(FORGET_CHANGES, &[]).await?;
        let mut borrowed = self.0.borrow().await?;
        self.0.in_time(sweep_ended(borrowed.client()?)).await?;
        borrowed.give_back();
        Ok(())
    }
}

async fn sweep_ended(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    if let Some(row) = transaction.query_typed_opt(ENDED, &[]).await? {
        let (node, epoch): (Uuid, i64) = (row.try_get(0)?, row.try_get(1)?);
        let params: Params<'_> = &[(&node, Type::UUID), (&epoch, Type::INT8), (&SWEEP_MAX, Type::INT8)];
        let swept = transaction.execute_typed(SWEEP, params).await?;
        if i64::try_from(swept).is_ok_and(|swept| swept < SWEEP_MAX) {
            transaction.execute_typed(REMOVE, &[(&node, Type::UUID), (&epoch, Type::INT8)]).await?;
        }
    }
    transaction.commit().await
}
