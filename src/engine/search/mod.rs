//! Finding users by the beginning of their userId and by a part of their name.
//!
//! Both are sealed wherever they are kept, so that no table can be asked for them. A node opens them once and keeps them in memory: an
//! index for each app that is searched, made when somebody asks for it, kept current from the log while it is there, and dropped
//! when nobody has asked for an hour. An app that never searches pays nothing for it. What is found is only who to look at: whether
//! somebody is still there, and what is told, is read from the read models.
//! (docs/decisions/0037-users-and-tokens-on-rest.md)

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rollcall_projections::user_directory::{self, User};
use rollcall_projections::{Order, Seek};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Engine, Error, journal};
use crate::eventlog::RawEvent;
use crate::tasks;

mod fold;
mod index;

use index::{Index, Person, Query};

/// Most users of all indexes together, unless the operator says otherwise: at about 70 bytes each.
pub const USERS_MAX: usize = 2_000_000;
/// Users that are read at once.
const PAGE: u32 = 500;
/// Most events looked at together.
const BATCH_MAX: usize = 1_000;
/// How often what has changed is looked at while nobody asks: an erased name stays in memory no longer than this.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How long an index is kept that nobody asks for.
const KEPT_FOR: Duration = Duration::from_hours(1);
/// How long a search waits for its index.
const WAIT_MAX: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unsearchable {
    /// The index is being made.
    #[error("the index of the app's users is being made ({percent} % done)")]
    Building {
        /// How far it is, from 0 to 99.
        percent: u8,
    },
    /// The app has more users than this node keeps an index of.
    #[error("the app has more users than this node may keep in memory for searches; list them instead")]
    TooMany,
    /// A part of the service is unavailable.
    #[error(transparent)]
    Unavailable(#[from] Error),
}

/// Who is looked for; what is absent matters not.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// With what the userId begins; case matters.
    pub prefix: Option<String>,
    /// What the name holds; neither case nor accents matter.
    pub name: Option<String>,
}

/// The index of one app.
struct Kept {
    index: Index,
    /// Registrations up to there are in it; `None`: all of them.
    built_up_to: Option<u64>,
    /// How many users the app had when it was begun.
    expected: usize,
    asked_at: Instant,
}

/// What this node keeps of the apps that are searched.
pub(super) struct Search {
    kept: Mutex<HashMap<AppId, Kept>>,
    users_max: AtomicUsize,
    /// Up to which position of the log the indexes are current.
    followed: watch::Sender<u64>,
    asked: Notify,
}

impl Default for Search {
    fn default() -> Self {
        let (kept, users_max) = (Mutex::default(), AtomicUsize::new(0));
        Self { kept, users_max, followed: watch::channel(0).0, asked: Notify::new() }
    }
}

impl Search {
    fn kept(&self) -> MutexGuard<'_, HashMap<AppId, Kept>> {
        // Each index is whole after every statement: a panic elsewhere does not make one wrong.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the index of an app that has so many users: it is made where there is none.
    fn ask(&self, app: &AppId, expected: usize) -> Result<(), Unsearchable> {
        let max = self.users_max.load(Ordering::Relaxed);
        let mut kept = self.kept();
        if let Some(kept) = kept.get_mut(app) {
            kept.asked_at = Instant::now();
            return Ok(());
        }
        if expected > max {
            return Err(Unsearchable::TooMany);
        }
        let size = |kept: &Kept| kept.expected.max(kept.index.users());
        while kept.values().map(size).sum::<usize>() + expected > max {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.asked_at).map(|(app, _)| app.clone());
            let Some(oldest) = oldest else { break };
            kept.remove(&oldest);
        }
        let index = Index::default();
        kept.insert(app.clone(), Kept { index, built_up_to: Some(0), expected, asked_at: Instant::now() });
        Ok(())
    }

    /// The index of an app, once all its users are in it; otherwise how far it is.
    fn index(&self, app: &AppId) -> Result<Index, u8> {
        match self.kept().get(app) {
            Some(Kept { index, built_up_to: None, .. }) => Ok(index.clone()),
            Some(Kept { index, expected, .. }) => {
                let percent = index.users().saturating_mul(100) / (*expected).max(1);
                Err(u8::try_from(percent.min(99)).unwrap_or(99))
            }
            None => Err(0),
        }
    }

    /// Users in all indexes.
    pub(super) fn users(&self) -> usize {
        self.kept().values().map(|kept| kept.index.users()).sum()
    }

    /// Drops what nobody asks for, and what has grown too large.
    fn shrink(&self) {
        let max = self.users_max.load(Ordering::Relaxed);
        self.kept().retain(|_, kept| kept.asked_at.elapsed() < KEPT_FOR && kept.index.users() <= max);
    }

    /// The apps with an index; where there is none, everything up to `applied` is followed.
    fn searched(&self, applied: u64) -> BTreeSet<AppId> {
        let kept = self.kept();
        if kept.is_empty() {
            self.followed.send_replace(applied);
        }
        kept.keys().cloned().collect()
    }

    /// Puts users in or takes them out.
    fn edit(&self, app: &AppId, edits: &BTreeMap<u64, Option<Person>>) {
        let before = self.kept().get(app).map(|kept| kept.index.clone());
        let Some(before) = before else { return };
        // Only one task changes indexes, and nobody waits for the lock while it does.
        let after = before.with(edits);
        if let Some(kept) = self.kept().get_mut(app) {
            kept.index = after;
        }
    }
}

/// Whether an event of that name may change how a user is found.
fn concerns(raw: &RawEvent) -> bool {
    matches!(
        &*raw.name,
        "user.registered"
            | "user.reregistered"
            | "user.modified"
            | "user.deactivated"
            | "user.restricted"
            | "user.restored"
            | "user.reactivated"
            | "user.forgotten"
    )
}

/// Makes indexes of at most so many users and keeps them current until `stop`. They may be asked for from now on, and not only once
/// what this returns is polled.
pub fn run(engine: Arc<Engine>, users_max: usize, stop: CancellationToken) -> impl Future<Output = ()> {
    engine.search.users_max.store(users_max, Ordering::Relaxed);
    keep(engine, stop)
}

async fn keep(engine: Arc<Engine>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match engine.work_on_indexes().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "users cannot be indexed for searches for now; trying again");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        }
        tokio::select! {
            () = engine.search.asked.notified() => {}
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Engine {
    /// At most `limit` users (from 1) of an app, in the order of their registration, each with the position of that, which is its
    /// place. Who left meanwhile may be among them.
    ///
    /// # Errors
    /// The index is not there yet or cannot be made, or a part of the service is unavailable.
    pub async fn search(
        &self,
        app: &AppId,
        wanted: Wanted,
        seek: Seek<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, SubjectRef)>, Unsearchable> {
        self.caught_up(app).await?;
        let applied = *self.applied.borrow();
        let users = user_directory::registered_count(&self.read, app).await.map_err(Error::from)?;
        self.search.ask(app, usize::try_from(users).unwrap_or(usize::MAX))?;
        let mut followed = self.search.followed.subscribe();
        self.search.asked.notify_one();
        let current = async {
            loop {
                let reached = *followed.borrow_and_update();
                match self.search.index(app) {
                    Ok(index) if reached >= applied => return Ok(index),
                    _ => {}
                }
                if followed.changed().await.is_err() {
                    return Err(Error::Behind);
                }
            }
        };
        let index = match tokio::time::timeout(WAIT_MAX, current).await {
            Ok(index) => index?,
            Err(_) => {
                return Err(match self.search.index(app) {
                    Ok(_) => Error::Behind.into(),
                    Err(percent) => Unsearchable::Building { percent },
                });
            }
        };
        let name = wanted.name.as_deref().map(fold::fold);
        let query = Query::new(wanted.prefix.as_deref(), name.as_ref().map(|name| name.as_str()));
        // It looks at every name: not on a thread that answers requests.
        let found = tasks::spawn_blocking(move || match seek {
            Seek::After(after) => index.find(&query, after.unwrap_or_default(), limit),
            Seek::UpTo(position) => index.find_back(&query, position, limit),
        });
        let found = found.await;
        found.map_err(|error| Error::Unavailable(error.to_string()).into())
    }

    /// Follows some events and reads some users; answers whether there may be more to do.
    async fn work_on_indexes(&self) -> Result<bool, Error> {
        self.search.shrink();
        let applied = *self.applied.borrow();
        let apps = self.search.searched(applied);
        if apps.is_empty() {
            return Ok(false);
        }
        let followed = *self.search.followed.borrow();
        let follows = followed < applied;
        if follows {
            let left = usize::try_from(applied - followed).unwrap_or(usize::MAX);
            let events = self.log.read_all(followed, left.min(BATCH_MAX)).await?;
            self.follow_users(&apps, &events).await?;
            self.search.followed.send_replace(events.last().map_or(applied, |last| last.position));
        }
        let mut builds = false;
        for app in &apps {
            builds |= self.build_index(app).await?;
        }
        Ok(follows || builds)
    }

    /// Looks again at the users whom events concern.
    async fn follow_users(&self, apps: &BTreeSet<AppId>, events: &[RawEvent]) -> Result<(), Error> {
        let mut changed: BTreeMap<&AppId, BTreeSet<SubjectRef>> = BTreeMap::new();
        for raw in events.iter().filter(|raw| concerns(raw)) {
            if let Ok(Stream::User(subject)) = raw.stream.parse()
                && let Ok(app) = journal::app(raw)
                && let Some(app) = apps.iter().find(|searched| searched.as_str() == app)
            {
                changed.entry(app).or_default().insert(subject);
            }
        }
        for (app, subjects) in changed {
            let subjects: Vec<_> = subjects.into_iter().collect();
            let built_up_to = self.search.kept().get(app).map_or(0, |kept| kept.built_up_to.unwrap_or(u64::MAX));
            let rows = user_directory::by_subjects(&self.read, app, &subjects).await?;
            let (mut edits, mut active) = (BTreeMap::new(), vec![]);
            for (subject, row) in subjects.into_iter().zip(rows) {
                match row {
                    Some(row) if row.is_active() => active.push(row),
                    Some(row) => edits.extend(row.registered_position.map(|position| (position, None))),
                    None => {
                        // Where it stood is not told by anybody else any more.
                        let kept = self.search.kept();
                        let position = kept.get(app).and_then(|kept| kept.index.position_of(subject));
                        edits.extend(position.map(|position| (position, None)));
                    }
                }
            }
            // Who registered later is read when the index gets there.
            active.retain(|row| row.registered_position.is_some_and(|position| position <= built_up_to));
            edits.extend(self.people(app, &active).await?);
            self.search.edit(app, &edits);
        }
        Ok(())
    }

    /// Reads the next users of an app whose index is not whole; answers whether there may be more.
    async fn build_index(&self, app: &AppId) -> Result<bool, Error> {
        let after = self.search.kept().get(app).and_then(|kept| kept.built_up_to);
        let Some(after) = after else { return Ok(false) };
        let rows = user_directory::listed(&self.read, app, Some(after), PAGE, Order::OldestFirst).await?;
        let last = rows.last().and_then(|row| row.registered_position);
        let people = self.people(app, &rows).await?;
        self.search.edit(app, &people.into_iter().collect());
        if let Some(kept) = self.search.kept().get_mut(app) {
            kept.built_up_to = last;
        }
        if last.is_none() {
            // Whoever waits for the index looks again.
            self.search.followed.send_modify(|_| {});
        }
        Ok(last.is_some())
    }

    /// How these users are found, each by the position of its registration.
    async fn people(&self, app: &AppId, rows: &[User]) -> Result<Vec<(u64, Option<Person>)>, Error> {
        let subjects: Vec<_> = rows.iter().map(|row| row.subject).collect();
        self.vault.load(&subjects).await?;
        let mut people = Vec::with_capacity(rows.len());
        for row in rows {
            let text = |sealed: Option<&[u8]>| match sealed {
                Some(sealed) => Ok::<_, Error>(self.open_text(app, row.subject, sealed)?.map(Zeroizing::new)),
                None => Ok(None),
            };
            let Some(position) = row.registered_position else { continue };
            // Who has no userId any more is forgotten.
            let Some(user_id) = text(row.user_id.as_deref())? else { continue };
            let name = text(row.name.as_deref())?.map_or_else(Default::default, |name| fold::fold(&name));
            people.push((position, Some(Person { subject: row.subject, user_id, name })));
        }
        Ok(people)
    }
}
