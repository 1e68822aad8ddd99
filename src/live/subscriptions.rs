//! Following others: whether they are online, and whether their profile changes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;

use super::presence::{Change, Presence};
use super::store::{self, Kind, Limits, Outcome, Store, Subscription, Wish};
use crate::domain::values::{Invalid, Problem, UserId};
use crate::engine::{self, App, Engine};

/// Users that one call may name.
pub const TARGETS_MAX: usize = 200;
/// How long a subscription may last, in seconds.
pub const SECONDS: std::ops::RangeInclusive<u32> = 60..=2_592_000;

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user would have more than [`store::OWN_MAX`] subscriptions; none was added.
    #[error("a user may have at most {} subscriptions", store::OWN_MAX)]
    OwnFull,
    /// As many follow some of them as may; the others are followed.
    #[error("as many follow some of these users as may, {}", store::OF_TARGET_MAX)]
    TargetsFull(Vec<UserId>),
    /// A parameter is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The engine refused or could not.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Engine(engine::Error::Unavailable(error.to_string()))
    }
}

/// Subscriptions of users.
pub struct Subscriptions {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    presence: Arc<dyn Presence>,
}

/// The users of a call, who is known.
struct Targets {
    known: Vec<(UserId, SubjectRef)>,
}

impl Subscriptions {
    /// Over a store; whoever is followed anew has its state pushed by way of `presence`.
    #[must_use]
    pub fn new(engine: Arc<Engine>, store: Arc<dyn Store>, presence: Arc<dyn Presence>) -> Self {
        Self { engine, store, presence }
    }

    async fn targets(&self, app: &App, user_ids: Vec<UserId>) -> Result<Targets, Error> {
        if user_ids.is_empty() {
            return Err(Invalid::missing("user_ids").into());
        }
        if user_ids.len() > TARGETS_MAX {
            return Err(Invalid::new("user_ids", Problem::TooMany { max: TARGETS_MAX }).into());
        }
        self.engine.caught_up(&app.id).await?;
        let found = self.engine.find_all(&app.id, &user_ids).await?;
        let known = user_ids.into_iter().zip(found).filter_map(|(id, subject)| Some((id, subject?)));
        // A user that is named twice is followed once.
        let mut seen = std::collections::HashSet::new();
        Ok(Targets { known: known.filter(|(_, subject)| seen.insert(*subject)).collect() })
    }

    /// Follows users for so many seconds, or renews that. Who was never registered is left out. The state of whoever is
    /// followed anew is pushed to the subscriber.
    ///
    /// # Errors
    /// [`Error::TargetsFull`] where some of them are not followed; a limit, a parameter, or a part is unavailable.
    pub async fn subscribe(
        &self,
        app: &App,
        subscriber: SubjectRef,
        kind: Kind,
        user_ids: Vec<UserId>,
        seconds: u32,
    ) -> Result<(), Error> {
        if !SECONDS.contains(&seconds) {
            let (min, max) = (i64::from(*SECONDS.start()), i64::from(*SECONDS.end()));
            return Err(Invalid::new("seconds", Problem::OutOfRange { min, max }).into());
        }
        let Targets { known } = self.targets(app, user_ids).await?;
        let targets = known.iter().map(|(_, subject)| *subject).collect();
        let wish = Wish { subscriber, kind, targets, now: self.now(), seconds, limits: Limits::default() };
        let Outcome::Done { full, new } = self.store.subscribe(wish).await? else { return Err(Error::OwnFull) };
        if kind == Kind::Presence {
            new.into_iter().for_each(|subject| self.presence.tell(Change { subject, to: Some(subscriber) }));
        }
        if full.is_empty() {
            return Ok(());
        }
        Err(Error::TargetsFull(known.into_iter().filter(|(_, at)| full.contains(at)).map(|(id, _)| id).collect()))
    }

    /// Follows users no more; repeating it changes nothing.
    ///
    /// # Errors
    /// A parameter, or a part is unavailable.
    pub async fn unsubscribe(
        &self,
        app: &App,
        subscriber: SubjectRef,
        kind: Kind,
        user_ids: Vec<UserId>,
    ) -> Result<(), Error> {
        let Targets { known } = self.targets(app, user_ids).await?;
        let targets = known.into_iter().map(|(_, subject)| subject).collect();
        Ok(self.store.unsubscribe(subscriber, kind, targets).await?)
    }

    /// The subscriptions of a user that have not ended, in one order, after one of them; and the last one of them where there
    /// are more.
    ///
    /// # Errors
    /// A part is unavailable.
    pub async fn page(
        &self,
        subscriber: SubjectRef,
        kind: Kind,
        after: Option<SubjectRef>,
        limit: u32,
    ) -> Result<(Vec<Subscription>, Option<SubjectRef>), Error> {
        let mut page = self.store.page(subscriber, kind, after, limit.saturating_add(1), self.now()).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| last.target);
        Ok((page, next))
    }

    fn now(&self) -> DateTime<Utc> {
        let now = self.engine.now();
        DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
    }
}
