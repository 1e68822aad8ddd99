//! The batcher of a node: takes what is queued, commits it in one transaction under the log's lock, then answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Client;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::columns::{Columns, Guards, Param};
use super::presumed::Presumed;
use super::{AT, Error, Faults, SUPERSEDED, Shared, fingerprint, number, stored};
use crate::crash_point;
use crate::database::{Database, Unasked};
use crate::eventlog::plan::{self, Plan};
use crate::eventlog::{Damage, Item, Outcome, pipeline};

/// Most batches committed together.
const TASKS_MAX: usize = 64;
/// How long one batch may take, the wait for the lock included.
const BATCH_MAX: Duration = Duration::from_secs(20);
/// How long it is tried to find out what became of a commit whose answer was lost.
const SETTLE_MAX: Duration = Duration::from_secs(15);
const RETRY_AFTER: Duration = Duration::from_millis(250);

// A node that stands still with the lock held loses it: everybody else waits for it.
const BEGIN: &str = "begin isolation level read committed read write;
    set local lock_timeout = '10s'; set local idle_in_transaction_session_timeout = '10s';
    set local statement_timeout = '15s'; set local synchronous_commit = on";
/// Makes a transaction one that writes, so that its commit waits for the standby and shows that all before it is there.
pub(super) const BARRIER: &str = "select pg_logical_emit_message(true, 'rollcall', 'seen')";
/// "RLLC", the lock of the log within its database.
pub(super) const LOCK: &str = "select pg_advisory_xact_lock(1380731971)";
const HEAD: &str = "select coalesce(max(position), 0) from rollcall_log.event";
/// Whether another process alone may append; the same is asked in `rollcall_log.append`.
const IS_SUPERSEDED: &str = "select exists (select from rollcall_log.epoch where writer <> $1)";
/// The revision of each stream, 0 for one that does not exist: that of its last event, which the index finds at once.
const HEADS: &str = "select s.stream, coalesce((select e.revision from rollcall_log.event e
    where e.stream = s.stream order by e.revision desc limit 1), 0) from unnest($1) as s (stream)";
const OUTCOMES: &str = "select key, fingerprint, outcome from rollcall_log.outcome where key = any($1)";
/// All of a batch, under the lock, if what it presumes is so (`migrations/V6__append_alone.sql`).
const APPEND: &str =
    "select rollcall_log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
const INSERT: &str = "insert into rollcall_log.event
    (position, stream, revision, id, name, version, recorded_at, core, blobs)
    select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const KEEP: &str = "insert into rollcall_log.outcome (key, fingerprint, outcome, recorded_at)
    select * from unnest($1, $2, $3, $4)";
const OF_REVISION: &str = "select position, id from rollcall_log.event where stream = $1 and revision = $2";
/// Nobody waits to hear of it where one process alone may append; the same is in `rollcall_log.append`.
const NOTIFY: &str = "select pg_notify('rollcall_log', $1) from rollcall_log.epoch where writer is null";
const DETACH: &str = "update rollcall_log.event e set blobs = r.blobs from unnest($1, $2) as r (position, blobs)
    where e.position = r.position and e.blobs is distinct from r.blobs";
/// A bounded part of them: appends wait meanwhile.
const EXPIRE: &str = "delete from rollcall_log.outcome where key in
    (select key from rollcall_log.outcome where recorded_at < $1 order by recorded_at limit 1000)";

const END_SESSION: &str = "insert into rollcall_log.ended_session (session) values ($1) on conflict do nothing";
/// Nothing is on its way for so long.
const FORGET_SESSIONS: &str = "delete from rollcall_log.ended_session where ended_at < now() - interval '30 days'";

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the appender is asked.
pub(super) enum Task {
    Append(Vec<Item>, Answer<Vec<Outcome>>),
    Detach(Vec<(u64, Option<Bytes>)>, Answer<u64>),
    ExpireOutcomes(DateTime<Utc>, Answer<u64>),
}

/// Why a batch did not come to its end.
enum Failure {
    /// Nothing of it was kept.
    Nothing(Error),
    /// The answer to its commit was lost.
    Unknown(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Nothing(error.into())
    }
}

/// A connection, and what tells it from others that this node had before.
pub(super) struct Connection {
    pub(super) client: Client,
    session: Uuid,
    /// Whether the server warned. A commit whose wait for the standby is given up is answered like any other, behind a
    /// warning: from then on no answer of this connection shows that anything was kept.
    has_warned: Arc<AtomicBool>,
}

impl Connection {
    pub(super) async fn open(database: &Database) -> Result<Self, Error> {
        let has_warned = Arc::new(AtomicBool::new(false));
        let noted = has_warned.clone();
        let heard = move |unasked: Unasked<'_>| {
            if unasked == Unasked::Warning {
                noted.store(true, Ordering::Release);
            }
        };
        let client = database.connect(Some(Box::new(heard))).await?;
        Ok(Self { client, session: Uuid::new_v4(), has_warned })
    }

    /// What was answered to a commit, if it was kept wherever it must be.
    fn kept<T>(&self, answer: Result<T, tokio_postgres::Error>) -> Result<T, Failure> {
        match committed(answer) {
            Ok(_) if self.has_warned.load(Ordering::Acquire) => Err(Failure::Unknown(Error::Unavailable(
                "the database gave up waiting for its standby, or warned of something else".into(),
            ))),
            answer => answer,
        }
    }
}

/// What is appended together, and who is told what became of so many items of it.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    answers: Vec<(usize, Answer<Vec<Outcome>>)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    fn add(&mut self, items: Vec<Item>, answer: Answer<Vec<Outcome>>) {
        self.answers.push((items.len(), answer));
        self.items.extend(items);
    }
}

fn answer_all(answers: Vec<(usize, Answer<Vec<Outcome>>)>, outcomes: Result<Vec<Outcome>, Error>) {
    // The caller may have gone away; its answer is dropped.
    match outcomes {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for (size, answer) in answers {
                let _ = answer.send(Ok(outcomes.by_ref().take(size).collect()));
            }
        }
        Err(error) => answers.into_iter().for_each(|(_, answer)| drop(answer.send(Err(error.clone())))),
    }
}

/// A batch that was sent as it was planned, and behind which position the server kept it.
struct SentBatch {
    batch: Batch,
    plan: Plan,
    session: Uuid,
    kept: Result<u64, Failure>,
}

type Pipeline = pipeline::Pipeline<'static, SentBatch>;

pub(super) struct Appender {
    database: Database,
    connection: Option<Arc<Connection>>,
    shared: Arc<Shared>,
    faults: Faults,
}

impl Appender {
    pub(super) fn new(database: Database, connection: Connection, shared: Arc<Shared>, faults: Faults) -> Self {
        Self { database, connection: Some(Arc::new(connection)), shared, faults }
    }

    /// Runs until nobody can ask any more; what was asked before is done.
    pub(super) async fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
        let (mut taken, mut waiting) = (Vec::with_capacity(TASKS_MAX), Batch::default());
        let (mut pipeline, mut is_open) = (Pipeline::new(), true);
        while is_open || !pipeline.is_empty() || !waiting.is_empty() {
            let room = TASKS_MAX.saturating_sub(waiting.answers.len());
            tokio::select! {
                biased;
                Some(sent) = pipeline.next() => self.complete(sent, &mut pipeline).await,
                more = tasks.recv_many(&mut taken, room), if is_open && room > 0 => is_open = more > 0,
                // All that was asked waits already.
                else => {}
            }
            for task in taken.drain(..) {
                match task {
                    Task::Append(items, answer) => waiting.add(items, answer),
                    Task::Detach(remaining, answer) => {
                        self.begin(std::mem::take(&mut waiting), &mut pipeline).await;
                        self.complete_all(&mut pipeline).await;
                        let _ = answer.send(self.detach(&remaining).await);
                    }
                    Task::ExpireOutcomes(time, answer) => {
                        self.complete_all(&mut pipeline).await;
                        let time = time.timestamp_millis();
                        let _ = answer.send(self.execute(EXPIRE, &[(&time, Type::INT8)]).await);
                        if let Err(error) = self.execute(FORGET_SESSIONS, &[]).await {
                            tracing::debug!(%error, "sessions that ended long ago are forgotten later");
                        }
                    }
                }
            }
            if pipeline.takes(waiting.items.len()) {
                self.begin(std::mem::take(&mut waiting), &mut pipeline).await;
            }
        }
    }

    /// Sends a batch that can be planned without asking; otherwise asks, and has it done when this returns.
    async fn begin(&mut self, batch: Batch, pipeline: &mut Pipeline) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.shared.whole() {
            return answer_all(batch.answers, Err(error));
        }
        if !self.faults.stall_max.is_zero() {
            // Then it takes more than one statement, between which another batch's must not come.
            self.complete_all(pipeline).await;
        }
        let open = self.connection.clone().filter(|connection| !connection.client.is_closed());
        let Some((connection, presumed)) = open.zip(Presumed::of(&batch.items)) else {
            self.complete_all(pipeline).await;
            return answer_all(batch.answers, self.append(batch.items).await);
        };
        let (faults, shared) = (self.faults, self.shared.clone());
        pipeline.send(batch.items.len(), async move {
            let kept = tokio::time::timeout(BATCH_MAX, send(&connection, &shared, &faults, &presumed)).await;
            let kept = kept.unwrap_or_else(|_| Err(Failure::Unknown(no_answer())));
            SentBatch { batch, plan: presumed.plan, session: connection.session, kept }
        });
    }

    async fn complete_all(&mut self, pipeline: &mut Pipeline) {
        while let Some(sent) = pipeline.next().await {
            self.complete(sent, pipeline).await;
        }
    }

    /// Answers a batch that is durable. Where one is not, nothing is asked before all the others have come to their end: the
    /// connection hands out no answer before somebody takes those to them.
    async fn complete(&mut self, sent: SentBatch, pipeline: &mut Pipeline) {
        let mut completed = vec![sent];
        if completed.iter().any(|sent| sent.kept.is_err()) {
            completed.extend(pipeline.all().await);
        }
        // In the order of the log: one that is asked for comes behind all that were kept.
        completed.sort_by_key(|sent| sent.kept.is_err());
        for SentBatch { batch, mut plan, session, kept } in completed {
            let outcomes = match kept {
                Ok(behind) => {
                    plan.move_behind(behind);
                    Ok(self.publish(plan))
                }
                Err(Failure::Unknown(error)) => self.settle(plan, session, &error).await,
                Err(Failure::Nothing(error)) => {
                    tracing::debug!(%error, "a batch is appended after asking what there is");
                    self.append(batch.items).await
                }
            };
            answer_all(batch.answers, outcomes);
        }
    }

    /// Appends a batch after asking what there is.
    async fn append(&mut self, items: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        self.shared.whole()?;
        let connection = self.connection().await?;
        let mut plan = Plan::default();
        let committed = commit(&connection, &self.shared, &self.faults, items, &mut plan);
        let committed = match tokio::time::timeout(BATCH_MAX, committed).await {
            Ok(committed) => committed,
            // What is not planned yet nobody was asked to keep.
            Err(_) if plan.outcomes_told.is_empty() => Err(Failure::Nothing(no_answer())),
            Err(_) => Err(Failure::Unknown(no_answer())),
        };
        match committed {
            Ok(()) => Ok(self.publish(plan)),
            Err(Failure::Nothing(error)) => {
                // Whatever state the connection is in: the transaction ends with it.
                self.connection = None;
                Err(error)
            }
            Err(Failure::Unknown(error)) => {
                let session = connection.session;
                // A transaction that is still open ends with it.
                drop(connection);
                self.settle(plan, session, &error).await
            }
        }
    }

    /// Visible before acknowledged, so that whoever is answered can read it.
    fn publish(&self, plan: Plan) -> Vec<Outcome> {
        if let Some((position, id)) = plan.events.last().map(|event| (event.position, event.id)) {
            self.shared.tail.extend(plan.events);
            self.shared.advance(position, id);
        }
        plan.outcomes_told
    }

    /// Finds out what became of a batch. The lock is free only once its transaction has ended one way or the other, or has
    /// not begun: then it never may.
    async fn settle(&mut self, mut plan: Plan, session: Uuid, error: &Error) -> Result<Vec<Outcome>, Error> {
        if self.connection.as_ref().is_some_and(|connection| connection.session == session) {
            self.connection = None;
        }
        match tokio::time::timeout(SETTLE_MAX, self.find_out(&mut plan, session)).await {
            Ok(true) => {
                tracing::info!("a commit whose answer was lost is in the log");
                Ok(self.publish(plan))
            }
            Ok(false) => Err(Error::Unavailable(error.to_string())),
            Err(_) => {
                // It was left in the middle of asking.
                self.connection = None;
                Err(Error::Ambiguous(error.to_string()))
            }
        }
    }

    /// Asks until there is an answer; it may never come.
    async fn find_out(&mut self, plan: &mut Plan, session: Uuid) -> bool {
        loop {
            match self.was_kept(plan, session).await {
                Ok(kept) => return kept,
                Err(again) => tracing::debug!(error = %again, "what became of a commit is not known yet"),
            }
            self.connection = None;
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Where a batch was kept, the plan has its positions then.
    async fn was_kept(&mut self, plan: &mut Plan, session: Uuid) -> Result<bool, Error> {
        let connection = self.connection().await?;
        let client = &connection.client;
        client.batch_execute(&format!("{BEGIN}; {LOCK}")).await?;
        let kept = if let Some(event) = plan.events.first() {
            let revision = stored(event.revision);
            let of: [Param<'_>; 2] = [(&&*event.stream, Type::TEXT), (&revision, Type::INT8)];
            match client.query_typed_opt(OF_REVISION, &of).await? {
                Some(row) if row.try_get::<_, Uuid>(1)? == event.id => {
                    let behind = number(row.try_get(0)?)?.saturating_sub(event.position);
                    plan.move_behind(behind);
                    true
                }
                _ => false,
            }
        } else if let Some(guard) = plan.kept.first() {
            let keys = vec![&guard.key[..]];
            !client.query_typed(OUTCOMES, &[(&keys, Type::BYTEA_ARRAY)]).await?.is_empty()
        } else {
            true
        };
        if !kept {
            client.execute_typed(END_SESSION, &[(&session, Type::UUID)]).await?;
        }
        // What was found counts only behind a commit of this transaction: a server that lost its standby, or is not the
        // primary any more, holds what nobody else has.
        client.batch_execute(&format!("{BARRIER}; commit")).await?;
        match connection.kept(Ok(kept)) {
            Ok(kept) => Ok(kept),
            Err(Failure::Nothing(error) | Failure::Unknown(error)) => Err(error),
        }
    }

    async fn detach(&mut self, remaining: &[(u64, Option<Bytes>)]) -> Result<u64, Error> {
        let positions: Vec<_> = remaining.iter().map(|(position, _)| stored(*position)).collect();
        let blobs: Vec<_> = remaining.iter().map(|(_, blobs)| blobs.as_deref()).collect();
        crash_point::reach("detach.before");
        let changed = self.execute(DETACH, &[(&positions, Type::INT8_ARRAY), (&blobs, Type::BYTEA_ARRAY)]).await?;
        crash_point::reach("detach.committed");
        for (position, blobs) in remaining {
            self.shared.tail.detach(*position, blobs.as_ref());
        }
        Ok(changed)
    }

    async fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.shared.whole()?;
        let connection = self.connection().await?;
        let done = tokio::time::timeout(BATCH_MAX, connection.client.execute_typed(sql, params)).await;
        let done = done.map_or_else(|_| Err(Failure::Unknown(no_answer())), |done| connection.kept(done));
        if done.is_err() {
            self.connection = None;
        }
        done.map_err(|failure| match failure {
            Failure::Nothing(error) => error,
            Failure::Unknown(error) => Error::Ambiguous(error.to_string()),
        })
    }

    async fn connection(&mut self) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = self.connection.clone().filter(|connection| !connection.client.is_closed()) {
            return Ok(connection);
        }
        let connection = Connection::open(&self.database).await?;
        Ok(self.connection.insert(Arc::new(connection)).clone())
    }
}

async fn commit(
    connection: &Connection,
    shared: &Shared,
    faults: &Faults,
    items: Vec<Item>,
    plan: &mut Plan,
) -> Result<(), Failure> {
    let (client, begin) = (&connection.client, begin(faults));
    let (known, id) = *shared.last.borrow();
    let known_stored = stored(known);
    let (streams, keys) = (plan::streams(&items), plan::keys(&items));
    let (at, heads, used): ([Param<'_>; 1], [Param<'_>; 1], [Param<'_>; 1]) =
        ([(&known_stored, Type::INT8)], [(&streams, Type::TEXT_ARRAY)], [(&keys, Type::BYTEA_ARRAY)]);
    // In one sent; the server does them in this order, each in a snapshot of its own.
    let node: [Param<'_>; 1] = [(&shared.node, Type::TEXT)];
    let (begun, head, superseded, at, heads, used) = tokio::join!(
        client.batch_execute(&begin),
        client.query_typed_one(HEAD, &[]),
        client.query_typed_one(IS_SUPERSEDED, &node),
        client.query_typed_opt(AT, &at),
        client.query_typed(HEADS, &heads),
        some(client, OUTCOMES, &used, keys.is_empty()),
    );
    // The first that failed says why; behind it, everything fails.
    begun?;
    let (head, superseded, at, heads, used) = (head?, superseded?, at?, heads?, used?);
    let at = at.map(|row| row.try_get::<_, Uuid>(0)).transpose()?;
    if known > 0 && at != Some(id) {
        return Err(shared.missing(client, at).await.into());
    }
    if superseded.try_get(0)? {
        return Err(shared.integrity.condemn(known, Damage::Superseded.because(SUPERSEDED)).await.into());
    }
    plan.head = number(head.try_get(0)?)?;
    for row in heads {
        plan.revisions.insert(row.try_get::<_, &str>(0)?.into(), number(row.try_get(1)?)?);
    }
    for row in used {
        let key = fingerprint(row.try_get(0)?)?;
        plan.outcomes.insert(key, (fingerprint(row.try_get(1)?)?, row.try_get(2)?));
    }
    plan.outcomes_told = items.iter().map(|item| plan.add(item)).collect();
    faults.stall(plan.head).await;
    insert(client, shared, plan).await?;
    connection.kept(client.batch_execute("commit").await)
}

/// Of a commit that failed with an error nothing was kept. A server that gives up the connection, or itself, says so with
/// more than an error: it may do that when the commit is on its disk.
fn committed<T>(answer: Result<T, tokio_postgres::Error>) -> Result<T, Failure> {
    answer.map_err(|error| match error.as_db_error().and_then(DbError::parsed_severity) {
        Some(Severity::Error) => Failure::Nothing(error.into()),
        _ => Failure::Unknown(error.into()),
    })
}

fn begin(faults: &Faults) -> String {
    format!("{BEGIN}; {}", if faults.takes_lock() { LOCK } else { "select 1" })
}

fn no_answer() -> Error {
    Error::Unavailable("the database does not answer in time".into())
}

fn not_as_presumed() -> Failure {
    Failure::Nothing(Error::Unavailable("the log is not what it was presumed to be".into()))
}

/// Appends in one statement what was planned without asking; answers behind which position.
async fn send(
    connection: &Connection,
    shared: &Shared,
    faults: &Faults,
    Presumed { plan, seen, seen_at }: &Presumed,
) -> Result<u64, Failure> {
    let Connection { client, session, .. } = connection;
    let (last, last_id) = *shared.last.borrow();
    let (last, columns, guards) = (stored(last), Columns::of(plan), Guards::of(plan));
    let mut params: Vec<Param<'_>> =
        vec![(&last, Type::INT8), (&last_id, Type::UUID), (seen, Type::TEXT_ARRAY), (seen_at, Type::INT8_ARRAY)];
    params.extend(columns.params());
    params.extend(guards.params());
    params.extend([(&shared.node as &(dyn ToSql + Sync), Type::TEXT), (session, Type::UUID)]);
    if faults.stall_max.is_zero() {
        let row = connection.kept(client.query_typed_one(APPEND, &params).await)?;
        return behind(&row).map_err(Failure::Unknown)?.ok_or_else(not_as_presumed);
    }
    // For a test: the same, with time between it and its commit.
    client.batch_execute("begin").await?;
    let kept = async { behind(&client.query_typed_one(APPEND, &params).await?)?.ok_or_else(not_as_presumed) };
    let behind = match kept.await {
        Ok(behind) => behind,
        Err(failure) => {
            client.batch_execute("rollback").await?;
            return Err(failure);
        }
    };
    faults.stall(behind).await;
    connection.kept(client.batch_execute("commit").await)?;
    Ok(behind)
}

fn behind(row: &tokio_postgres::Row) -> Result<Option<u64>, Error> {
    row.try_get::<_, Option<i64>>(0)?.map(number).transpose()
}

async fn some(
    client: &Client,
    sql: &str,
    params: &[Param<'_>],
    is_empty: bool,
) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    if is_empty { Ok(vec![]) } else { client.query_typed(sql, params).await }
}

async fn insert(client: &Client, shared: &Shared, plan: &Plan) -> Result<(), tokio_postgres::Error> {
    let Plan { events, kept, .. } = plan;
    let positions: Vec<_> = events.iter().map(|event| stored(event.position)).collect();
    let columns = Columns::of(plan);
    let mut insert = vec![(&positions as &(dyn ToSql + Sync), Type::INT8_ARRAY)];
    insert.extend(columns.params());
    let guards = Guards::of(plan);
    let keep = guards.params();
    let last = events.last().map_or_else(String::new, |last| shared.note(last.position, last.id));
    let notice: [Param<'_>; 1] = [(&last, Type::TEXT)];
    let written = tokio::join!(
        write(client, INSERT, &insert, events.is_empty()),
        write(client, KEEP, &keep, kept.is_empty()),
        write(client, NOTIFY, &notice, events.is_empty()),
    );
    [written.0, written.1, written.2].into_iter().collect()
}

async fn write(client: &Client, sql: &str, params: &[Param<'_>], is_empty: bool) -> Result<(), tokio_postgres::Error> {
    if !is_empty {
        client.execute_typed(sql, params).await?;
    }
    Ok(())
}
