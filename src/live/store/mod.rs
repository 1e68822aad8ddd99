//! What connections leave behind and a restart must not lose: who follows whom, when a user was last seen, and when an API key
//! was last used. The port, and its adapters.
//!
//! None of it is a fact. The first two are about persons, so an erasure deletes them ([`Store::forget`]) and counts what is left
//! ([`Store::remains`]). Times come from the caller, so that both databases count alike.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};

use crate::engine;
use crate::engine::beside::{Follows, KeptBeside, Own};

mod postgres;
mod sqlite;

pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// Subscriptions that one user may have.
pub const OWN_MAX: usize = 1_000;
/// Users that may have subscribed to one, for each kind.
pub const OF_TARGET_MAX: usize = 5_000;

/// How many subscriptions there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one user.
    pub own: usize,
    /// To one user, for each kind.
    pub of_target: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { own: OWN_MAX, of_target: OF_TARGET_MAX }
    }
}

/// What of another user is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Whether it is online.
    Presence,
    /// Its name, portrait and hosted profile.
    Profile,
}

impl Kind {
    /// Its number, as the platform counts them.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::Presence => 1,
            Self::Profile => 2,
        }
    }

    /// The kind of that number.
    #[must_use]
    pub const fn of_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Presence),
            2 => Some(Self::Profile),
            _ => None,
        }
    }
}

/// A wish to follow others.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Who.
    pub subscriber: SubjectRef,
    /// What.
    pub kind: Kind,
    /// Whom; each once.
    pub targets: Vec<SubjectRef>,
    /// Now; millisecond resolution.
    pub now: DateTime<Utc>,
    /// For how long.
    pub seconds: u32,
    /// How many there may be.
    pub limits: Limits,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The subscriber would have more than it may; nothing was changed.
    OwnFull,
    /// Done, but for some.
    Done {
        /// Whom as many follow as may; the others are followed.
        full: Vec<SubjectRef>,
        /// Who was not followed before.
        new: Vec<SubjectRef>,
    },
}

/// A subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// Who is followed.
    pub target: SubjectRef,
    /// Since when, or since it was renewed.
    pub since: DateTime<Utc>,
    /// For how long from then on.
    pub seconds: u32,
}

impl Subscription {
    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.since + chrono::Duration::seconds(self.seconds.into())
    }
}

/// When an API key was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The app's.
    pub app: AppId,
    /// Its number.
    pub key: u32,
    /// When; millisecond resolution.
    pub at: DateTime<Utc>,
}

/// Why it cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Try again.
    #[error("subscriptions cannot be read or written: {0}")]
    Unavailable(String),
    /// It holds what no version of this program has written.
    #[error("what is stored of subscriptions is not understood: {0}")]
    Damaged(String),
}

/// Keeps subscriptions, when users were last seen and when API keys were last used. No call blocks the thread.
#[async_trait]
pub trait Store: Send + Sync {
    /// Follows others, or renews that. Durable when it returns.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn subscribe(&self, wish: Wish) -> Result<Outcome, Error>;

    /// Follows others no more; repeating it changes nothing.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn unsubscribe(&self, subscriber: SubjectRef, kind: Kind, targets: Vec<SubjectRef>) -> Result<(), Error>;

    /// The subscriptions of a user that have not ended, in the order of their targets, after one of them.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn page(
        &self,
        subscriber: SubjectRef,
        kind: Kind,
        after: Option<SubjectRef>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Subscription>, Error>;

    /// Who follows these users now, as target and subscriber.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn subscribers(
        &self,
        kind: Kind,
        targets: Vec<SubjectRef>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(SubjectRef, SubjectRef)>, Error>;

    /// Remembers when users were last seen, sealed.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn set_last_seen(&self, seen: Vec<(SubjectRef, Vec<u8>)>) -> Result<(), Error>;

    /// When users were last seen, sealed, in their order.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn last_seen(&self, subjects: Vec<SubjectRef>) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Remembers when API keys were used; an earlier time than is known changes nothing.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn set_key_uses(&self, uses: Vec<KeyUse>) -> Result<(), Error>;

    /// When the API keys of an app were last used, in the order of their numbers.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn key_uses(&self, app: AppId) -> Result<Vec<KeyUse>, Error>;

    /// Deletes all that is about a user: its subscriptions, those of others to it, when it was last seen.
    ///
    /// # Errors
    /// The store cannot be written; what is left is deleted by the next call.
    async fn forget(&self, subject: SubjectRef) -> Result<(), Error>;

    /// How much there is about a user.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn remains(&self, subject: SubjectRef) -> Result<u32, Error>;

    /// Deletes some of the subscriptions that have ended; answers whether there may be more.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn sweep(&self, now: DateTime<Utc>) -> Result<bool, Error>;
}

/// Rows that one statement deletes at most.
const SWEEP_MAX: i64 = 5_000;

fn time(millis: i64) -> Result<DateTime<Utc>, Error> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| Error::Damaged(format!("the time {millis}")))
}

fn seconds(number: i64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::Damaged(format!("{number} seconds")))
}

fn key(number: i64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::Damaged(format!("the API key {number}")))
}

/// The stored values, in the order of those who were asked about.
fn in_order(subjects: &[SubjectRef], found: Vec<(SubjectRef, Vec<u8>)>) -> Vec<Option<Vec<u8>>> {
    let mut found: std::collections::HashMap<_, _> = found.into_iter().collect();
    subjects.iter().map(|subject| found.remove(subject)).collect()
}

/// What an erasure has to reach.
pub struct Kept(pub std::sync::Arc<dyn Store>);

#[async_trait]
impl KeptBeside for Kept {
    fn name(&self) -> &'static str {
        "subscriptions"
    }

    async fn forget(&self, subject: SubjectRef) -> Result<(), engine::Error> {
        Ok(self.0.forget(subject).await?)
    }

    async fn remains(&self, subject: SubjectRef) -> Result<u32, engine::Error> {
        Ok(self.0.remains(subject).await?)
    }

    async fn own(&self, subject: SubjectRef, now: DateTime<Utc>) -> Result<Own, engine::Error> {
        let mut own = Own { last_seen: self.0.last_seen(vec![subject]).await?.pop().flatten(), follows: vec![] };
        let limit = u32::try_from(OWN_MAX).unwrap_or(u32::MAX);
        for (kind, what) in [(Kind::Presence, "presence"), (Kind::Profile, "profile")] {
            let page = self.0.page(subject, kind, None, limit, now).await?;
            own.follows.extend(page.into_iter().map(|one| Follows {
                other: one.target,
                what,
                since: one.since,
                expires_at: one.expires_at(),
            }));
        }
        Ok(own)
    }
}

impl From<Error> for engine::Error {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
