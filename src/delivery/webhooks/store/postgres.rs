//! Cursors and rows in the database of log and read models, where every node finds them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use deadpool_postgres::{Pool, PoolError};
use futures_util::FutureExt as _;
use rollcall_schemas::ids::WebhookId;
use tokio_postgres::Row;

use super::{Delivery, Error, Progress, State, Store};
use crate::database::{self, Database, Tables};

mod tables {
    refinery::embed_migrations!("src/delivery/webhooks/store/migrations");
    pub(super) use migrations::runner;
}

const TABLES: Tables = Tables {
    what: "webhook deliveries",
    history: "rollcall_delivery_history",
    migrations: tables::runner,
    command: "prepare",
};
const CONNECTIONS_MAX: usize = 4;
/// How long the database may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

const CURSOR: &str = "select position from rollcall_delivery.webhook_cursor where webhook = $1";
const ROWS: &str = "select position, subject, state, attempts, next_at, status, reason
    from rollcall_delivery.webhook_delivery where webhook = $1 and position > $2 order by position limit $3";
const ROWS_IN_STATE: &str = "select position, subject, state, attempts, next_at, status, reason
    from rollcall_delivery.webhook_delivery where webhook = $1 and position > $2 and state = $4 order by position limit $3";
const COUNT: &str = "select count(*) from rollcall_delivery.webhook_delivery where webhook = $1 and state = $2";
const MOVE: &str = "insert into rollcall_delivery.webhook_cursor as c (webhook, position) values ($1, $2)
    on conflict (webhook) do update set position = greatest(c.position, excluded.position)";
const UPSERT: &str = "insert into rollcall_delivery.webhook_delivery
        (webhook, position, subject, state, attempts, next_at, status, reason)
    select $1, r.position, subject, state, attempts, next_at, status, reason
    from unnest($2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
        as r (position, subject, state, attempts, next_at, status, reason)
    on conflict (webhook, position) do update set subject = excluded.subject, state = excluded.state,
        attempts = excluded.attempts, next_at = excluded.next_at, status = excluded.status, reason = excluded.reason";
const DELETE: &str = "delete from rollcall_delivery.webhook_delivery where webhook = $1 and position = any ($2)";
const REMOVE_CURSOR: &str = "delete from rollcall_delivery.webhook_cursor where webhook = $1";
const REMOVE_ROWS: &str = "delete from rollcall_delivery.webhook_delivery where webhook = $1";

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(database::describe(&error))
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self(error.to_string())
    }
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        Self(error.to_string())
    }
}

/// The tables of a database.
pub struct Postgres(Pool);

impl Postgres {
    /// Opens the tables, making them if they do not exist and the role may.
    ///
    /// # Errors
    /// The server is unavailable, or the role may not make them.
    pub async fn open(database: &Database) -> Result<Self, Error> {
        prepare(database).await?;
        Ok(Self(database.pool(CONNECTIONS_MAX)?))
    }
}

/// Makes the tables, if they do not exist.
///
/// # Errors
/// The server is unavailable, or the role may not make them.
pub async fn prepare(database: &Database) -> Result<(), Error> {
    Ok(TABLES.prepare(&mut database.connect(None).await?).await?)
}

// No `async fn`: that would have room for `answer` twice.
fn in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> impl Future<Output = Result<T, Error>> {
    let silent = |_| Err(Error("the database does not answer".into()));
    tokio::time::timeout(ANSWER_MAX, answer).map(move |answered| answered.unwrap_or_else(silent))
}

/// A number that the service has stored as what it is.
fn number<T: TryFrom<i64> + Default>(stored: i64) -> T {
    T::try_from(stored).unwrap_or_default()
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read(row: &Row) -> Result<Delivery, Error> {
    Ok(Delivery {
        position: number(row.try_get(0)?),
        subject: row.try_get(1)?,
        // A word that is not known is one of a later version.
        state: row.try_get::<_, &str>(2)?.parse().unwrap_or(State::Dead),
        attempts: number(row.try_get(3)?),
        next_at: row.try_get::<_, Option<i64>>(4)?.and_then(DateTime::from_timestamp_millis),
        status: row.try_get::<_, Option<i64>>(5)?.map(number),
        reason: row.try_get(6)?,
    })
}

/// The columns of rows, each position once: the last one counts.
#[derive(Default)]
struct Columns {
    positions: Vec<i64>,
    subjects: Vec<uuid::Uuid>,
    states: Vec<&'static str>,
    attempts: Vec<i64>,
    next_at: Vec<Option<i64>>,
    statuses: Vec<Option<i64>>,
    reasons: Vec<String>,
}

impl Columns {
    fn of(rows: &[Delivery]) -> Self {
        let last: BTreeMap<u64, &Delivery> = rows.iter().map(|row| (row.position, row)).collect();
        let mut columns = Self::default();
        for row in last.into_values() {
            columns.positions.push(stored(row.position));
            columns.subjects.push(row.subject);
            columns.states.push(row.state.as_str());
            columns.attempts.push(row.attempts.into());
            columns.next_at.push(row.next_at.map(|at| at.timestamp_millis()));
            columns.statuses.push(row.status.map(Into::into));
            columns.reasons.push(row.reason.clone());
        }
        columns
    }
}

#[async_trait]
impl Store for Postgres {
    async fn cursor(&self, webhook: WebhookId) -> Result<Option<u64>, Error> {
        in_time(async {
            let row = self.0.get().await?.query_opt(CURSOR, &[&webhook.0]).await?;
            row.map(|row| Ok(number(row.try_get(0)?))).transpose()
        })
        .await
    }

    async fn rows(
        &self,
        webhook: WebhookId,
        state: Option<State>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        in_time(async {
            let (client, after, limit) = (self.0.get().await?, stored(after), i64::from(limit));
            let rows = match state {
                None => client.query(ROWS, &[&webhook.0, &after, &limit]).await?,
                Some(state) => client.query(ROWS_IN_STATE, &[&webhook.0, &after, &limit, &state.as_str()]).await?,
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    async fn count(&self, webhook: WebhookId, state: State) -> Result<u64, Error> {
        in_time(async {
            let row = self.0.get().await?.query_one(COUNT, &[&webhook.0, &state.as_str()]).await?;
            Ok(number(row.try_get(0)?))
        })
        .await
    }

    async fn save(&self, webhook: WebhookId, progress: &Progress) -> Result<(), Error> {
        in_time(async {
            let mut client = self.0.get().await?;
            let transaction = client.transaction().await?;
            // What a crash takes back is sent once more.
            transaction.batch_execute("set local synchronous_commit = off").await?;
            transaction.execute(MOVE, &[&webhook.0, &stored(progress.cursor)]).await?;
            if !progress.upserts.is_empty() {
                let Columns { positions, subjects, states, attempts, next_at, statuses, reasons } =
                    Columns::of(&progress.upserts);
                let id = &webhook.0;
                transaction
                    .execute(UPSERT, &[id, &positions, &subjects, &states, &attempts, &next_at, &statuses, &reasons])
                    .await?;
            }
            if !progress.deletes.is_empty() {
                let positions: Vec<i64> = progress.deletes.iter().map(|position| stored(*position)).collect();
                transaction.execute(DELETE, &[&webhook.0, &positions]).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    async fn remove(&self, webhook: WebhookId) -> Result<(), Error> {
        in_time(async {
            let mut client = self.0.get().await?;
            let transaction = client.transaction().await?;
            transaction.execute(REMOVE_CURSOR, &[&webhook.0]).await?;
            transaction.execute(REMOVE_ROWS, &[&webhook.0]).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}
