//! Which subject a new userId gets, where several nodes may introduce it at the same time: the first one to claim its
//! tag decides. A claim is needed until the directory holds the user, and is deleted in the transaction that adds the user
//! there. One that is made after that is deleted in the transaction that deletes the user, so that whoever introduces the
//! userId again does not find it.
//!
//! Claims are sent together: while one batch is in flight, the next one gathers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use deadpool_postgres::{ClientWrapper, Pool};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::{Event, user};
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::connection::{by_index, open, open_with};
use super::deadline::{QUERY_MAX, within};
use super::schema::qualified;
use crate::store::Error;
use crate::store::shares::Share;
use crate::user_directory::UserDirectory;
use crate::{Arrival, Projection as _, Value};

// In the order of the tags: two nodes that claim the same ones do not wait for each other in a circle.
const claim_all: &str = "INSERT INTO store_claim AS c (tag, subject)
    SELECT * FROM unnest($1::bytea[], $2::bytea[]) AS a (tag, subject) ORDER BY tag
    ON CONFLICT (tag) DO UPDATE SET tag = excluded.tag RETURNING c.tag, c.subject, c.xmin::text::bigint";
// Whoever claimed the tag meanwhile has made another version of the row, and counts on its subject.
const give_back: &str =
    "DELETE FROM store_claim AS c USING unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS a (tag, subject, version)
    WHERE c.tag = a.tag AND c.subject = a.subject AND c.xmin::text::bigint = a.version RETURNING c.subject";
const settle: &str = "DELETE FROM store_claim WHERE subject = ANY ($1)";
const forget_old: &str = "DELETE FROM store_claim WHERE claimed_at < now() - interval '1 hour'";

type Tag = [u8; 16];

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The directory holds the user by now.
    Known(SubjectRef),
    /// Whoever introduces the user does it with this subject.
    By(SubjectRef, ClaimVersion),
}

/// Which of the calls that claimed a tag was the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimVersion(i64);

/// A claim on which nothing was sent to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnusedClaim {
    /// The userId's tag.
    pub tag: Tag,
    /// The subject.
    pub subject: SubjectRef,
    /// The call that made it.
    pub version: ClaimVersion,
}

/// The claims of a store.
pub struct Claims<'s> {
    pub(super) claiming: &'s Claiming,
    pub(super) pool: &'s Pool,
    pub(super) schema: &'static str,
}

/// Who waits for a claim.
struct Waiting {
    tag: Tag,
    subject: SubjectRef,
    answer: oneshot::Sender<Result<Claimed, Error>>,
}

/// A connection for claims, with its statements.
struct Connection {
    client: ClientWrapper,
    claim: Statement,
    look: Statement,
}

/// Claims that wait to be sent, and the connection for them.
#[derive(Default)]
pub(in crate::store) struct Claiming {
    /// Whether a claim must be on the disk before it is answered: not where what is recorded on it comes later in the same
    /// database.
    pub(in crate::store) flushed: bool,
    waiting: Mutex<Vec<Waiting>>,
    connection: tokio::sync::Mutex<Option<Connection>>,
}

impl Claiming {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims<'_> {
    /// Claims a tag for a subject.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn claim(&self, tag: Tag, subject: SubjectRef) -> Result<Claimed, Error> {
        let (answer, mut answered) = oneshot::channel();
        let claiming = self.claiming;
        claiming.waiting().push(Waiting { tag, subject, answer });
        let mut connection = claiming.connection.lock().await;
        // Somebody else's connection may have taken it along; if not, this one takes all that wait by now.
        if let Ok(claimed) = answered.try_recv() {
            return claimed;
        }
        let waiting = std::mem::take(&mut *claiming.waiting());
        let claimed = within(QUERY_MAX, self.claim_all(&mut connection, &waiting)).await;
        // Where there is no answer a claim may be made: then it is found by whoever claims again.
        let claimed = claimed.map_err(Error::from).flatten();
        if claimed.is_err() {
            *connection = None;
        }
        drop(connection);
        for Waiting { tag, answer, .. } in waiting {
            let answered = match &claimed {
                Ok(claimed) => claimed.get(&tag).copied().ok_or(Error::Column(0)),
                Err(error) => Err(Error::Unavailable(error.to_string())),
            };
            // The caller may have gone away; its answer is dropped.
            let _ = answer.send(answered);
        }
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable("the claim was given up".into())))
    }

    async fn claim_all(
        &self,
        connection: &mut Option<Connection>,
        waiting: &[Waiting],
    ) -> Result<HashMap<Tag, Claimed>, Error> {
        if connection.as_ref().is_none_or(|connection| connection.client.is_closed()) {
            let client = open_with(self.pool, by_index).await?;
            if !self.claiming.flushed {
                client.batch_execute("set synchronous_commit = off").await?;
            }
            let claim = client.prepare(&qualified(claim_all, self.schema)).await?;
            let directory = UserDirectory.tables().first().copied().unwrap_or_default();
            // Where a userId has several subjects, it names the one that was introduced first: the last one told here.
            let known =
                format!("SELECT tag, subject FROM {directory} WHERE tag = ANY ($1) ORDER BY introduced_position DESC");
            let look = client.prepare(&known).await?;
            *connection = Some(Connection { client, claim, look });
        }
        let Some(Connection { client, claim, look }) = connection.as_ref() else { return Ok(HashMap::new()) };
        // The first of this node who wants a tag.
        let mut wanted: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        for one in waiting {
            wanted.entry(&one.tag).or_insert(one.subject.0.as_bytes());
        }
        let (tags, subjects): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        // A claim is deleted when the directory holds the user: who finds none may have come too late for it, and looks
        // there after the claim was made.
        let both: [&(dyn ToSql + Sync); 2] = [&tags, &subjects];
        let (claimed, known) =
            futures_util::future::try_join(client.query(claim, &both), client.query(look, &both[..1])).await?;
        let mut answers = HashMap::with_capacity(claimed.len());
        for row in &claimed {
            let (tag, subject) = read(row)?;
            answers.insert(tag, Claimed::By(subject, ClaimVersion(row.try_get(2)?)));
        }
        for row in &known {
            let (tag, subject) = read(row)?;
            answers.insert(tag, Claimed::Known(subject));
        }
        Ok(answers)
    }

    /// Gives claims back on which nothing was sent to the log, and answers whose subjects nobody counts on any more. A claim
    /// that somebody else has found meanwhile stays. None is given back where the log is in another place than the claims:
    /// a standby that takes over may bring back a claim whose subject the log has given to somebody else since.
    ///
    /// # Errors
    /// The store is unavailable; some may be given back.
    pub async fn give_back(&self, unused: &[UnusedClaim]) -> Result<Vec<SubjectRef>, Error> {
        if self.claiming.flushed || unused.is_empty() {
            return Ok(vec![]);
        }
        let tags: Vec<_> = unused.iter().map(|claim| &claim.tag[..]).collect();
        let subjects: Vec<_> = unused.iter().map(|claim| &claim.subject.0.as_bytes()[..]).collect();
        let versions: Vec<_> = unused.iter().map(|claim| claim.version.0).collect();
        let given_back = async {
            let client = open(self.pool).await?;
            let rows = client.query(&qualified(give_back, self.schema), &[&tags, &subjects, &versions]).await?;
            rows.iter().map(|row| subject_in(row, 0)).collect()
        };
        within(QUERY_MAX, given_back).await?
    }

    /// Forgets claims of users that never came: to be called only when everything the log holds was applied a moment
    /// ago. Returns how many.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn forget_old(&self) -> Result<u64, Error> {
        let client = open(self.pool).await?;
        Ok(within(QUERY_MAX, client.execute(&qualified(forget_old, self.schema), &[])).await??)
    }
}

fn read(row: &Row) -> Result<(Tag, SubjectRef), Error> {
    let tag = row.try_get::<_, &[u8]>(0)?.try_into().map_err(|_| Error::Column(0))?;
    Ok((tag, subject_in(row, 1)?))
}

fn subject_in(row: &Row, column: usize) -> Result<SubjectRef, Error> {
    Uuid::from_slice(row.try_get(column)?).map(SubjectRef).map_err(|_| Error::Column(column))
}

/// The statement that ends claims, and whose claims end with these events: who is in the directory or not any more.
pub(super) fn settled(shares: &[&Share<'_, '_>]) -> Option<(&'static str, Vec<Value>)> {
    let directory = shares.iter().find(|share| share.model.name() == UserDirectory.name())?;
    let ended = |arrival: &Arrival<'_>| {
        let Arrival::Decoded(entry) = arrival else { return None };
        match &entry.recorded.event {
            Event::User(user::Event::Named(e)) => Some(e.subject),
            Event::User(user::Event::Registered(e)) if e.user_id.is_some() => Some(e.subject),
            Event::User(user::Event::Forgotten(e)) => Some(e.subject),
            _ => None,
        }
    };
    let subjects: Vec<Value> = directory.arrivals.iter().filter_map(ended).map(Value::from).collect();
    (!subjects.is_empty()).then_some((settle, subjects))
}
