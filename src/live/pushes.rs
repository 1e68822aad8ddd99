//! Tells those who follow a user what changed: that it came or went, or that its profile is another one.
//!
//! Every node looks who of the followers is connected to it and tells only those. That a user came is told at once, that it
//! went only if it has not come back after three seconds, so that a connection that breaks and is opened again is told to
//! nobody. What was told last is remembered, as far as there is room: who is told twice is told the same.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use lru::LruCache;
use rollcall_schemas::ids::{AppId, SubjectRef};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::hidden::{ViewChange, hidden_from};
use super::newest;
use super::presence::{self, Change, Device, Platform, Presence, Sockets as _};
use super::registry::Registry;
use super::store::{self, Kind, Store};
use crate::engine::{self, Engine};

/// How often it is looked for changes.
const EVERY: Duration = Duration::from_millis(50);
/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a user must be gone before that is told.
const GONE_AFTER: Duration = Duration::from_secs(3);
/// How often subscriptions that have ended are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Users whose followers are looked up at once; each may have thousands.
const LOOK_UP_MAX: usize = 100;
/// Users of whom it is remembered what was told, and users of whom something waits to be told.
const REMEMBERED_MAX: usize = 100_000;

/// Why nothing can be told for now.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Presence(#[from] presence::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

/// What changes and is to be told.
pub struct Pushes {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    presence: Arc<dyn Presence>,
    store: Arc<dyn Store>,
    /// Users whose profile changed, with the position of the event.
    profiles: Mutex<HashMap<SubjectRef, u64>>,
    /// Who sees others with other eyes.
    views: Mutex<HashSet<ViewChange>>,
}

/// What is remembered between two looks.
struct Memory {
    /// The platforms that a user was last told to be online with.
    told: LruCache<SubjectRef, Vec<Platform>>,
    /// Users who went, and when that is told.
    gone: HashMap<SubjectRef, Instant>,
    /// What could not be told.
    left: HashSet<Change>,
}

/// A user, as its followers are told.
struct Seen {
    devices: Vec<Device>,
    followers: Vec<SubjectRef>,
    app: AppId,
}

impl Pushes {
    /// Over the connections of this node.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        registry: Arc<Registry>,
        presence: Arc<dyn Presence>,
        store: Arc<dyn Store>,
    ) -> Self {
        Self { engine, registry, presence, store, profiles: Mutex::default(), views: Mutex::default() }
    }

    /// The profile of a user is another one since an event at this position. Never waits.
    pub fn profile_changed(&self, subject: SubjectRef, position: u64) {
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if profiles.len() < REMEMBERED_MAX {
            profiles.insert(subject, position);
        }
    }

    /// Users may see others now, or may not any more. Never waits.
    pub(super) fn views_changed(&self, changes: Vec<ViewChange>) {
        let here = |change: &ViewChange| change.by.is_none_or(|viewer| self.registry.has(viewer));
        let mut views = self.views();
        for change in changes.into_iter().filter(here) {
            if views.len() < REMEMBERED_MAX {
                views.insert(change);
            }
        }
    }

    fn views(&self) -> MutexGuard<'_, HashSet<ViewChange>> {
        // The set is whole after every statement.
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what changes until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let told = LruCache::new(NonZeroUsize::new(REMEMBERED_MAX).unwrap_or(NonZeroUsize::MIN));
        let mut memory = Memory { told, gone: HashMap::new(), left: HashSet::new() };
        let (mut failed, mut swept) = (false, Instant::now());
        loop {
            let looked = self.look(&mut memory).await;
            if let (Err(error), false) = (&looked, failed) {
                tracing::warn!(%error, "who follows others is not told what changes for now");
            }
            failed = looked.is_err();
            if !failed && swept.elapsed() >= SWEEP_EVERY && self.engine.leads() {
                match self.store.sweep(self.engine.now()).await {
                    // The next part a moment later.
                    Ok(true) => {}
                    Ok(false) => swept = Instant::now(),
                    Err(error) => tracing::debug!(%error, "subscriptions that have ended are not deleted for now"),
                }
            }
            tokio::select! {
                () = tokio::time::sleep(if failed { PAUSE } else { EVERY }) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&self, memory: &mut Memory) -> Result<(), Error> {
        memory.left.extend(self.presence.changes().await?);
        let changed = memory.left.iter().filter(|change| change.to.is_none()).map(|change| change.subject);
        newest::close_replaced(&self.engine, &self.registry, self.presence.as_ref(), changed).await?;
        let now = Instant::now();
        let due = memory.due(now);
        let told: HashSet<_> = memory.left.iter().filter(|change| change.to.is_none()).map(|c| c.subject).collect();
        let all: Vec<_> = told.union(&due).copied().collect();
        for some in all.chunks(LOOK_UP_MAX) {
            self.tell(some, &due, memory).await?;
            for subject in some {
                memory.left.remove(&Change { subject: *subject, to: None });
            }
        }
        self.tell_newcomers(memory).await?;
        self.tell_views().await?;
        self.tell_profiles().await
    }

    /// Those of the users' followers who are connected here, with the app of all of them.
    async fn followers(
        &self,
        kind: Kind,
        subjects: &[SubjectRef],
    ) -> Result<HashMap<SubjectRef, (AppId, Vec<SubjectRef>)>, Error> {
        let mut here: HashMap<SubjectRef, (AppId, Vec<SubjectRef>)> = HashMap::new();
        if self.registry.connected() == 0 {
            return Ok(here);
        }
        for (target, subscriber) in self.store.subscribers(kind, subjects.to_vec(), self.engine.now()).await? {
            let Some(app) = self.app_of(subscriber) else { continue };
            here.entry(target).or_insert_with(|| (app, vec![])).1.push(subscriber);
        }
        Ok(here)
    }

    /// The app of a subject that is connected here.
    fn app_of(&self, subject: SubjectRef) -> Option<AppId> {
        self.registry.of(subject).first().map(|connection| connection.app.id.clone())
    }

    /// Tells the followers of these users where they are online, if that is not what was told before.
    async fn tell(&self, subjects: &[SubjectRef], due: &HashSet<SubjectRef>, memory: &mut Memory) -> Result<(), Error> {
        let mut followers = self.followers(Kind::Presence, subjects).await?;
        let followed: Vec<_> = subjects.iter().filter(|subject| followers.contains_key(subject)).copied().collect();
        let devices = self.presence.devices(&followed).await?;
        for subject in subjects.iter().filter(|subject| !followers.contains_key(subject)) {
            memory.told.pop(subject);
            memory.gone.remove(subject);
        }
        let mut changed = Vec::new();
        for (subject, devices) in followed.into_iter().zip(devices) {
            if memory.is_told_now(subject, &devices, due.contains(&subject), Instant::now())
                && let Some((app, mut followers)) = followers.remove(&subject)
            {
                // For whom it blocks it was offline, and still is.
                let hidden = hidden_from(&self.engine, subject, &followers).await?;
                followers.retain(|follower| !hidden.contains(follower));
                changed.push((subject, Seen { devices, followers, app }));
            }
        }
        self.push(changed).await
    }

    /// Tells those who have just begun to follow somebody where that one is online.
    async fn tell_newcomers(&self, memory: &mut Memory) -> Result<(), Error> {
        let told: Vec<_> = memory.left.iter().filter(|change| change.to.is_some()).copied().collect();
        for some in told.chunks(LOOK_UP_MAX) {
            let here = |change: &&Change| change.to.is_some_and(|to| self.registry.has(to));
            let here: Vec<_> = some.iter().filter(here).copied().collect();
            let subjects: Vec<_> = here.iter().map(|change| change.subject).collect();
            let devices = self.presence.devices(&subjects).await?;
            let mut newcomers = Vec::with_capacity(here.len());
            for (change, mut devices) in here.iter().zip(devices) {
                let Some((follower, app)) = change.to.and_then(|to| Some((to, self.app_of(to)?))) else { continue };
                if !hidden_from(&self.engine, change.subject, &[follower]).await?.is_empty() {
                    devices.clear();
                }
                newcomers.push((change.subject, Seen { devices, followers: vec![follower], app }));
            }
            self.push(newcomers).await?;
            for change in some {
                memory.left.remove(change);
            }
        }
        Ok(())
    }

    /// Tells followers who were blocked that a user is offline, and those who are blocked no more where it is.
    async fn tell_views(&self) -> Result<(), Error> {
        let changed: Vec<_> = self.views().iter().take(LOOK_UP_MAX).copied().collect();
        for change in changed {
            let ViewChange { seen, by } = change;
            let followers = self.followers(Kind::Presence, &[seen]).await?.remove(&seen);
            let devices = self.presence.devices(&[seen]).await?.concat();
            // Of a user who is offline nobody is told anything: not even that there was something to tell.
            if let (Some((app, mut followers)), false) = (followers, devices.is_empty()) {
                followers.retain(|follower| by.is_none_or(|by| by == *follower));
                let hidden = hidden_from(&self.engine, seen, &followers).await?;
                let (hidden, shown) = followers.into_iter().partition(|follower| hidden.contains(follower));
                let to_hidden = Seen { devices: vec![], followers: hidden, app: app.clone() };
                self.push(vec![(seen, to_hidden), (seen, Seen { devices, followers: shown, app })]).await?;
            }
            self.views().remove(&change);
        }
        Ok(())
    }

    async fn push(&self, changed: Vec<(SubjectRef, Seen)>) -> Result<(), Error> {
        let at = time(self.engine.now());
        for (subject, seen) in changed {
            // Whoever was forgotten meanwhile has no name to be told by.
            let Some(user_id) = self.user_id(&seen.app, subject).await? else { continue };
            let params = json!({
                "user_id": user_id,
                "online": !seen.devices.is_empty(),
                "devices": devices_json(&seen.devices),
                "at": at,
            });
            for follower in seen.followers {
                self.registry.push(follower, "presence.changed", &params);
            }
        }
        Ok(())
    }

    async fn user_id(&self, app: &AppId, subject: SubjectRef) -> Result<Option<String>, Error> {
        Ok(self.engine.user_ids(app, &[subject]).await?.into_iter().next().flatten())
    }

    async fn tell_profiles(&self) -> Result<(), Error> {
        let changed: Vec<_> = {
            let profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
            profiles.iter().take(LOOK_UP_MAX).map(|(subject, position)| (*subject, *position)).collect()
        };
        if changed.is_empty() {
            return Ok(());
        }
        let subjects: Vec<_> = changed.iter().map(|(subject, _)| *subject).collect();
        let followers = self.followers(Kind::Profile, &subjects).await?;
        for (subject, position) in &changed {
            let Some((app, followers)) = followers.get(subject) else { continue };
            let Some(user_id) = self.user_id(app, *subject).await? else { continue };
            let params = json!({"user_id": user_id, "type": "profile", "position": position});
            followers.iter().for_each(|follower| self.registry.push(*follower, "subscription.changed", &params));
        }
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        for (subject, position) in changed {
            // What changed again meanwhile is told again.
            if profiles.get(&subject) == Some(&position) {
                profiles.remove(&subject);
            }
        }
        Ok(())
    }
}

impl Memory {
    /// Users who went so long ago that it is told now.
    fn due(&self, now: Instant) -> HashSet<SubjectRef> {
        self.gone.iter().filter(|(_, at)| **at <= now).map(|(subject, _)| *subject).collect()
    }

    /// Whether followers are told now that a user is online with these devices. That it went, with all devices or with some,
    /// is told only where it is `due`.
    fn is_told_now(&mut self, subject: SubjectRef, devices: &[Device], is_due: bool, now: Instant) -> bool {
        let mut platforms: Vec<_> = devices.iter().map(|device| device.platform).collect();
        platforms.sort_unstable();
        platforms.dedup();
        let told = self.told.get(&subject);
        if told == Some(&platforms) {
            self.gone.remove(&subject);
            return false;
        }
        let went = match told {
            Some(told) => told.iter().any(|platform| !platforms.contains(platform)),
            None => platforms.is_empty(),
        };
        let came = platforms.iter().any(|platform| told.is_none_or(|told| !told.contains(platform)));
        if went && !came && !is_due {
            if self.gone.len() < REMEMBERED_MAX {
                self.gone.entry(subject).or_insert_with(|| now + GONE_AFTER);
            }
            return false;
        }
        self.gone.remove(&subject);
        self.told.put(subject, platforms);
        true
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The devices of a user as clients are told.
#[must_use]
pub fn devices_json(devices: &[Device]) -> Value {
    let devices =
        devices.iter().map(|device| json!({"platform": device.platform.as_str(), "since": time(device.since)}));
    devices.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WHO: SubjectRef = SubjectRef(uuid::Uuid::from_u128(1));

    fn memory() -> Memory {
        let told = LruCache::new(NonZeroUsize::new(4).unwrap());
        Memory { told, gone: HashMap::new(), left: HashSet::new() }
    }

    fn start() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    fn on(platforms: &[Platform]) -> Vec<Device> {
        platforms.iter().map(|platform| Device { platform: *platform, since: DateTime::UNIX_EPOCH }).collect()
    }

    #[test]
    fn a_user_who_comes_back_within_the_wait_is_told_to_nobody() {
        let mut memory = memory();
        assert!(memory.is_told_now(WHO, &on(&[Platform::Web]), false, start()));
        assert!(!memory.is_told_now(WHO, &[], false, start()));
        assert!(memory.gone.contains_key(&WHO));
        assert!(!memory.is_told_now(WHO, &on(&[Platform::Web]), false, start()));
        assert!(memory.gone.is_empty());
    }

    #[test]
    fn that_a_user_went_is_told_once_after_the_wait() {
        let mut memory = memory();
        assert!(memory.is_told_now(WHO, &on(&[Platform::Web, Platform::Ios]), false, start()));
        assert!(!memory.is_told_now(WHO, &on(&[Platform::Ios]), false, start()));
        assert!(memory.is_told_now(WHO, &on(&[Platform::Ios]), true, start()));
        assert!(!memory.is_told_now(WHO, &[], false, start()));
        assert!(memory.is_told_now(WHO, &[], true, start()));
        assert!(!memory.is_told_now(WHO, &[], true, start()));
        assert!(memory.gone.is_empty());
    }

    #[test]
    fn another_device_is_told_at_once() {
        let mut memory = memory();
        assert!(memory.is_told_now(WHO, &on(&[Platform::Web]), false, start()));
        assert!(memory.is_told_now(WHO, &on(&[Platform::Ios, Platform::Web]), false, start()));
        assert!(!memory.is_told_now(WHO, &on(&[Platform::Web, Platform::Ios, Platform::Ios]), false, start()));
    }

    #[test]
    fn that_a_user_went_is_due_after_the_wait_counted_from_when_it_went_first() {
        let mut memory = memory();
        assert!(memory.is_told_now(WHO, &on(&[Platform::Web, Platform::Ios]), false, start()));
        assert!(!memory.is_told_now(WHO, &on(&[Platform::Ios]), false, start()));
        let later = start() + GONE_AFTER - Duration::from_millis(1);
        assert!(!memory.is_told_now(WHO, &[], false, later), "the second device does not make it longer");
        assert!(memory.due(later).is_empty());
        assert_eq!(memory.due(start() + GONE_AFTER), HashSet::from([WHO]));
    }
}
