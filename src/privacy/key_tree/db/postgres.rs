//! The vault's tables in a `PostgreSQL` database that every node reaches, best one of its own with a role of its own.
//!
//! Whoever writes takes a lock on the vault's one row's table first: many may add keys at the same time, and whoever
//! replaces the tree is alone. The lock goes with the transaction, and a node that stands still with it loses it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::{Db, Hold, Row, Value};
use crate::background::Background;
use crate::database::{self, Database, Heard, Tables, Unasked};
use crate::privacy::Error;
use crate::supervision;

refinery::embed_migrations!("src/privacy/key_tree/db/migrations");

const TABLES: Tables = Tables {
    what: "vault",
    history: "rollcall_vault_history",
    migrations: migrations::runner,
    command: "prepare-vault",
};
/// How long what writes may take: a rotation rewrites many keys.
pub(in crate::privacy::key_tree) const WRITES_MAX: Duration = Duration::from_secs(25);
/// How long what is read is waited for.
pub(in crate::privacy::key_tree) const READS_MAX: Duration = Duration::from_secs(3);
/// Statements on their way together.
const ROWS_MAX: usize = 1_000;
const LIMITS: &str = "set search_path = rollcall_vault; set lock_timeout = '20s'; set statement_timeout = '24s';
    set idle_in_transaction_session_timeout = '30s'; set synchronous_commit = on;
    set default_transaction_isolation = 'read committed'";

const KEEP: &str = "set synchronous_commit = on; select pg_logical_emit_message(true, 'rollcall', 'seen')";

fn note_warnings(has_warned: Arc<AtomicBool>) -> Heard {
    Box::new(move |unasked| {
        if unasked == Unasked::Warning {
            has_warned.store(true, Ordering::Release);
        }
    })
}

fn given_up() -> Error {
    Error::Unavailable("its database gave up waiting for its standby".into())
}

fn failed(error: &tokio_postgres::Error) -> Error {
    Error::Unavailable(format!("its database: {}", database::describe(error)))
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        Self::Unavailable(format!("its database: {error}"))
    }
}

/// Makes the vault's tables where they are missing, which needs the right to make them.
///
/// # Errors
/// The database is unavailable, the role may not make tables, or they are of a newer version.
pub async fn prepare(database: &Database) -> Result<(), Error> {
    Ok(TABLES.prepare(&mut database.connect(None).await?).await?)
}

/// How the database is reached from any thread, one that runs asynchronous work included: on a runtime that does nothing
/// else.
#[derive(Clone)]
pub(in crate::privacy::key_tree) struct Reach {
    database: Database,
    background: Arc<Background>,
}

impl Reach {
    pub(in crate::privacy::key_tree) fn new(database: Database) -> Result<Self, Error> {
        let background = Background::start("vault-database", 1)
            .map_err(|error| Error::Unavailable(format!("its thread cannot be started: {error}")))?;
        background.spawn(supervision::unpanicking("database-probe", database.clone().probe()));
        let reach = Self { database, background: Arc::new(background) };
        let database = reach.database.clone();
        reach.wait(WRITES_MAX, async move { prepare(&database).await })?;
        Ok(reach)
    }

    /// Runs something there while the calling thread waits.
    fn wait<T: Send + Sync + 'static>(
        &self,
        at_most: Duration,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = Arc::new(OnceLock::new());
        let answered = answer.clone();
        self.drive(at_most, Box::pin(async move { drop(answer.set(work.await)) }));
        let silent = || Err(Error::Unavailable("its database does not answer".into()));
        Arc::into_inner(answered).and_then(OnceLock::into_inner).unwrap_or_else(silent)
    }

    /// Returns once `work` has ended there, or was given up.
    fn drive(&self, at_most: Duration, work: BoxFuture<'static, ()>) {
        let (ended, has_ended) = std::sync::mpsc::sync_channel::<()>(1);
        self.background.spawn(async move {
            // What lasts longer is dropped.
            let _ = tokio::time::timeout(at_most, work).await;
            drop(ended);
        });
        // The sender sends nothing: it is dropped at the end.
        let _ = has_ended.recv();
    }

    /// A connection whose answers are waited for so long at most.
    pub(in crate::privacy::key_tree) fn connection(&self, answer_max: Duration) -> Box<dyn Db> {
        let (reach, statements) = (self.clone(), HashMap::new());
        let has_warned = Arc::new(AtomicBool::new(false));
        Box::new(Postgres { reach, answer_max, open: None, statements, in_transaction: false, has_warned })
    }
}

/// A connection that is opened when it is needed, and again after it was lost.
struct Postgres {
    reach: Reach,
    answer_max: Duration,
    open: Option<Arc<Client>>,
    statements: HashMap<&'static str, Statement>,
    in_transaction: bool,
    /// Whether the server warned since the transaction was begun: a commit whose wait for the standby is given up is answered
    /// like any other, behind a warning.
    has_warned: Arc<AtomicBool>,
}

impl Postgres {
    fn client(&mut self) -> Result<Arc<Client>, Error> {
        if let Some(client) = self.open.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        self.forget();
        let (database, has_warned) = (self.reach.database.clone(), self.has_warned.clone());
        let client = self.reach.wait(self.answer_max, async move {
            let client = database.connect(Some(note_warnings(has_warned))).await?;
            client.batch_execute(LIMITS).await.map_err(|error| failed(&error))?;
            Ok(client)
        })?;
        Ok(self.open.insert(Arc::new(client)).clone())
    }

    fn forget(&mut self) {
        self.open = None;
        self.statements.clear();
    }

    /// Does something with the connection. Within a transaction it is the one that the transaction was begun on.
    fn with<T: Send + Sync + 'static, F: Future<Output = Result<T, tokio_postgres::Error>> + Send + 'static>(
        &mut self,
        work: impl FnOnce(Arc<Client>) -> F,
    ) -> Result<T, Error> {
        if self.in_transaction && self.open.as_ref().is_none_or(|client| client.is_closed()) {
            return Err(Error::Unavailable("its database cut the connection".into()));
        }
        let client = self.client()?;
        let work = work(client);
        let done = self.reach.wait(self.answer_max, async move { work.await.map_err(|error| failed(&error)) });
        if done.is_err() && !self.in_transaction && self.open.as_ref().is_some_and(|client| client.is_closed()) {
            self.forget();
        }
        done
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement, Error> {
        // A connection that was lost has taken its statements with it.
        self.client()?;
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.with(async move |client: Arc<Client>| client.prepare(sql).await)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    fn run(&mut self, sql: &'static str) -> Result<(), Error> {
        self.with(async move |client: Arc<Client>| client.batch_execute(sql).await)
    }
}

impl Db for Postgres {
    fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let (statement, params) = (self.statement(sql)?, params.to_vec());
        self.with(async move |client: Arc<Client>| read(&client.query(&statement, &referred(&params)).await?))
    }

    fn query_each(&mut self, sql: &'static str, all: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, Error> {
        let statement = self.statement(sql)?;
        let mut answers = Vec::with_capacity(all.len());
        for some in all.chunks(ROWS_MAX) {
            let (statement, some) = (statement.clone(), some.to_vec());
            answers.extend(self.with(async move |client: Arc<Client>| {
                let params: Vec<_> = some.iter().map(|params| referred(params)).collect();
                let found = try_join_all(params.iter().map(|params| client.query(&statement, params))).await?;
                found.iter().map(|rows| read(rows)).collect::<Result<Vec<_>, _>>()
            })?);
        }
        Ok(answers)
    }

    fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<(), Error> {
        let (statement, params) = (self.statement(sql)?, params.to_vec());
        self.with(async move |client: Arc<Client>| client.execute(&statement, &referred(&params)).await.map(|_| ()))
    }

    fn execute_each(&mut self, sql: &'static str, all: &[Vec<Value>]) -> Result<(), Error> {
        let statement = self.statement(sql)?;
        for some in all.chunks(ROWS_MAX) {
            let (statement, some) = (statement.clone(), some.to_vec());
            self.with(async move |client: Arc<Client>| {
                let params: Vec<_> = some.iter().map(|params| referred(params)).collect();
                try_join_all(params.iter().map(|params| client.execute(&statement, params))).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    fn begin(&mut self, hold: Hold) -> Result<(), Error> {
        self.has_warned.store(false, Ordering::Release);
        let begun = self.run(match hold {
            Hold::Shared => "begin; lock table rollcall_vault.vault in row share mode",
            Hold::Alone => "begin; lock table rollcall_vault.vault in exclusive mode",
        });
        self.in_transaction = true;
        if begun.is_err() {
            self.roll_back();
        }
        begun
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.run("commit")?;
        self.in_transaction = false;
        if self.has_warned.load(Ordering::Acquire) {
            self.forget();
            return Err(given_up());
        }
        Ok(())
    }

    fn keep_what_was_read(&mut self) -> Result<(), Error> {
        let (database, has_warned) = (self.reach.database.clone(), Arc::new(AtomicBool::new(false)));
        self.reach.wait(self.answer_max, async move {
            // On another connection, which writes: its commit waits for the standby, which then has all before it.
            let client = database.connect(Some(note_warnings(has_warned.clone()))).await?;
            client.batch_execute(KEEP).await.map_err(|error| failed(&error))?;
            if has_warned.load(Ordering::Acquire) { Err(given_up()) } else { Ok(()) }
        })
    }

    fn roll_back(&mut self) {
        if std::mem::take(&mut self.in_transaction) && self.run("rollback").is_err() {
            // The server undoes it once it sees that nobody is there.
            self.forget();
        }
    }

    fn now(&mut self) -> Result<i64, Error> {
        let row = self.query("select floor(extract(epoch from now()))::bigint", &[])?.into_iter().next();
        row.ok_or_else(|| Row::odd(0))?.number(0)
    }
}

fn read(rows: &[tokio_postgres::Row]) -> Result<Vec<Row>, tokio_postgres::Error> {
    let row = |row: &tokio_postgres::Row| (0..row.len()).map(|column| row.try_get(column)).collect();
    rows.iter().map(row).map(|row: Result<_, _>| row.map(Row)).collect()
}

fn referred(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Number(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }

    to_sql_checked!();
}

impl<'r> FromSql<'r> for Value {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Number(i64::from_sql(ty, raw)?),
            Type::TEXT => Self::Text(String::from_sql(ty, raw)?),
            _ => Self::Bytes(<Vec<u8>>::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        <Self as ToSql>::accepts(ty)
    }
}
