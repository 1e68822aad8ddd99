//! Queries that wait at the same moment are asked together: those that differ in their parameters alone are one statement.
//!
//! While one batch is in flight, the next one gathers; a query that comes alone is sent alone. Every query is answered from a
//! state of the store that is not older than the moment it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool_postgres::{ClientWrapper, Pool};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::connection::{by_index, open_with};
use super::deadline::{QUERY_MAX, Silent, within};
use super::unnest::{types, unnested};
use crate::Value;
use crate::store::Error;

/// Batches in flight at the same time: while one is answered, the other one is sent.
const WORKERS_MAX: usize = 2;
/// Most sets of parameters in one batch, unless one query alone has more.
const SETS_MAX: usize = 512;

/// The rows for each set of parameters.
type Answer = Result<Vec<Vec<Row>>, Error>;

/// A query that waits.
struct Query {
    sql: &'static str,
    sets: Vec<Vec<Value>>,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Queue {
    asked: VecDeque<Query>,
    running: usize,
    idle: Vec<Reader>,
}

/// The queries of a store.
pub(super) struct QueryCoalescer {
    queue: Arc<Mutex<Queue>>,
    pool: Pool,
    runtime: Handle,
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl QueryCoalescer {
    /// Works on the runtime that this is called on.
    pub(super) fn new(pool: Pool) -> Self {
        Self { queue: Arc::default(), pool, runtime: Handle::current() }
    }

    /// The rows that a statement finds for each set of parameters, all from one state of the store.
    pub(super) async fn ask(&self, sql: &'static str, sets: Vec<Vec<Value>>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let starts = {
            let mut queue = lock(&self.queue);
            queue.asked.push_back(Query { sql, sets, answer });
            let starts = queue.running < WORKERS_MAX;
            queue.running += usize::from(starts);
            starts
        };
        if starts {
            let worker = Worker { queue: self.queue.clone(), pool: self.pool.clone(), is_done: false };
            self.runtime.spawn(worker.run());
        }
        within(QUERY_MAX, answered).await?.unwrap_or_else(|_| Err(Error::Unavailable("the query was given up".into())))
    }
}

/// Takes what waits until nothing does.
struct Worker {
    queue: Arc<Mutex<Queue>>,
    pool: Pool,
    is_done: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.queue).running -= 1;
        }
    }
}

impl Worker {
    async fn run(mut self) {
        while let Some((asked, idle)) = self.next_batch() {
            let reader = match idle {
                Some(reader) => Ok(reader),
                None => Reader::open(&self.pool).await,
            };
            match reader {
                Ok(mut reader) => {
                    // One without an answer is closed: nobody is to wait behind that statement.
                    if reader.answer_all(asked).await.is_ok() && !reader.client.is_closed() {
                        lock(&self.queue).idle.push(reader);
                    }
                }
                Err(error) => refuse(asked, &error),
            }
        }
    }

    /// What waits, and a connection that nobody uses; nothing more to do where nothing waits.
    fn next_batch(&mut self) -> Option<(Vec<Query>, Option<Reader>)> {
        let mut queue = lock(&self.queue);
        if queue.asked.is_empty() {
            queue.running -= 1;
            self.is_done = true;
            return None;
        }
        let mut sets = 0;
        let mut batch = Vec::new();
        while let Some(next) = queue.asked.front()
            && (batch.is_empty() || sets + next.sets.len() <= SETS_MAX)
        {
            let next = queue.asked.pop_front().filter(|next| !next.answer.is_closed());
            sets += next.as_ref().map_or(0, |next| next.sets.len());
            batch.extend(next);
        }
        let idle = queue.idle.pop().filter(|reader| !reader.client.is_closed());
        Some((batch, idle))
    }
}

fn refuse(asked: impl IntoIterator<Item = Query>, error: &Error) {
    for asked in asked {
        // The caller may have gone away; its answer is dropped.
        let _ = asked.answer.send(Err(Error::Unavailable(error.to_string())));
    }
}

/// A statement for one set of parameters, and for many.
#[derive(Clone)]
struct Known {
    one: Statement,
    many: Option<Statement>,
}

/// A connection, with the statements it has prepared, by the address of their text.
struct Reader {
    client: ClientWrapper,
    known: HashMap<(usize, usize), Known>,
}

impl Reader {
    async fn open(pool: &Pool) -> Result<Self, Error> {
        // Every query is by key, over however many keys and rows.
        let by_key = "set plan_cache_mode = force_generic_plan; set enable_hashjoin = off; set enable_mergejoin = off;
            set enable_material = off; set jit = off";
        Ok(Self { client: open_with(pool, &format!("{by_index}; {by_key}")).await?, known: HashMap::new() })
    }

    /// Answers every query; fails where the server leaves one without an answer.
    async fn answer_all(&mut self, asked: Vec<Query>) -> Result<(), Silent> {
        let mut groups: Vec<Vec<Query>> = Vec::new();
        for one in asked {
            match groups.iter_mut().find(|group| group.first().is_some_and(|first| std::ptr::eq(first.sql, one.sql))) {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        let mut prepared = Vec::with_capacity(groups.len());
        for group in groups {
            let Some(sql) = group.first().map(|first| first.sql) else { continue };
            let is_one = group.iter().map(|asked| asked.sets.len()).sum::<usize>() == 1;
            match within(QUERY_MAX, self.statement(sql, !is_one)).await? {
                Ok(known) => prepared.push((group, known)),
                Err(error) => refuse(group, &error),
            }
        }
        let client = &self.client;
        let answered = join_all(prepared.into_iter().map(|(group, known)| answer(client, known, group))).await;
        answered.into_iter().collect()
    }

    async fn statement(&mut self, sql: &'static str, many: bool) -> Result<Known, Error> {
        let key = (sql.as_ptr() as usize, sql.len());
        if let Some(known) = self.known.get(&key).filter(|known| !many || known.many.is_some()) {
            return Ok(known.clone());
        }
        let one = self.client.prepare(sql).await?;
        let many = match many {
            true => Some(self.client.prepare(&for_each(sql, &types(&one))).await?),
            false => None,
        };
        let known = Known { one, many };
        self.known.insert(key, known.clone());
        Ok(known)
    }
}

/// A statement for many sets of parameters; the number of the set is the last column.
fn for_each(sql: &str, types: &[&str]) -> String {
    let mut each = sql.to_owned();
    for at in (1..=types.len()).rev() {
        each = each.replace(&format!("${at}"), &format!("asked.p{at}"));
    }
    // The order of a set's rows is that of the inner statement: it is run once for each set.
    format!(
        "SELECT found.*, asked.n FROM {}, n) CROSS JOIN LATERAL ({each}) AS found",
        unnested(types, " WITH ORDINALITY")
    )
}

async fn answer(client: &ClientWrapper, known: Known, group: Vec<Query>) -> Result<(), Silent> {
    match within(QUERY_MAX, rows_of(client, &known, &group)).await? {
        Ok(mut rows) => {
            for Query { sets, answer, .. } in group {
                let rest = rows.split_off(sets.len());
                // The caller may have gone away; its answer is dropped.
                let _ = answer.send(Ok(std::mem::replace(&mut rows, rest)));
            }
        }
        // It may be about the values of one of them, for which the others must not suffer.
        Err(_) if group.len() > 1 && !client.is_closed() => {
            for asked in group {
                let rows = within(QUERY_MAX, rows_of(client, &known, std::slice::from_ref(&asked))).await?;
                let _ = asked.answer.send(rows);
            }
        }
        Err(error) => refuse(group, &error),
    }
    Ok(())
}

/// The rows for each set of parameters of these queries, which are the same but for them.
async fn rows_of(client: &ClientWrapper, known: &Known, group: &[Query]) -> Answer {
    let sets: Vec<&Vec<Value>> = group.iter().flat_map(|asked| &asked.sets).collect();
    if let [set] = sets.as_slice() {
        let params: Vec<&(dyn ToSql + Sync)> = set.iter().map(|value| value as _).collect();
        return Ok(vec![client.query(&known.one, &params).await?]);
    }
    let (Some(many), Some(first)) = (&known.many, sets.first()) else { return Ok(vec![]) };
    let columns: Vec<Vec<&Value>> =
        (0..first.len()).map(|at| sets.iter().filter_map(|set| set.get(at)).collect()).collect();
    let params: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| column as _).collect();
    let mut found: Vec<Vec<Row>> = sets.iter().map(|_| Vec::new()).collect();
    for row in client.query(many, &params).await? {
        let last = row.len() - 1;
        let number = usize::try_from(row.try_get::<_, i64>(last)?).map_err(|_| Error::Column(last))?;
        found.get_mut(number - 1).ok_or(Error::Column(last))?.push(row);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_written_for_many_sets_of_parameters() {
        assert_eq!(
            for_each("SELECT a FROM t WHERE b = $1 AND c = $2 AND d > $2", &["bytea", "text"]),
            "SELECT found.*, asked.n FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS asked (p1, p2, n) \
             CROSS JOIN LATERAL (SELECT a FROM t WHERE b = asked.p1 AND c = asked.p2 AND d > asked.p2) AS found"
        );
    }
}
