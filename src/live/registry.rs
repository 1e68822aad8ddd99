//! The connections of this node: who they are of, how many there may be, and how to reach them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::plain::DeviceRule;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use super::change::Notice;
use super::close::Close;
use super::presence::{ConnectionId, Platform, Sockets};
use crate::domain::IssuedToken;
use crate::engine::App;

/// Notifications that wait for one connection; a client that lets more wait is closed.
pub const PUSHES_MAX: usize = 256;
/// Over how long the connections of a node that is cut off are closed.
const CUT_OFF_SPREAD: Duration = Duration::from_secs(3);

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// On this node.
    pub node: usize,
    /// Of one app, on this node.
    pub app: usize,
    /// Of one user, on this node.
    pub user: usize,
    /// From one address, on this node.
    pub address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { node: 20_000, app: 20_000, user: 16, address: 1_000 }
    }
}

/// What kind of device it is: by default a user is connected with one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Mobile,
    Web,
    Desktop,
}

impl Class {
    pub(super) fn of(platform: Platform) -> Self {
        match platform {
            Platform::Ios | Platform::Android | Platform::HarmonyOs => Self::Mobile,
            Platform::Web | Platform::MiniProgram => Self::Web,
            Platform::Desktop => Self::Desktop,
        }
    }
}

/// Something to tell a client.
#[derive(Debug, Clone)]
pub enum Push {
    /// What a recorded event changed.
    Notice(Arc<Notice>),
    /// Anything else: the name of the notification and what it says.
    Message(&'static str, Arc<Value>),
}

/// A client that was let in.
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Its app.
    pub app: Arc<App>,
    /// The token it showed.
    pub token: IssuedToken,
    /// What it runs on.
    pub platform: Platform,
    /// When it was let in, by the time that all nodes share; millisecond resolution, and later than every other connection
    /// that its user had on this node.
    pub since: DateTime<Utc>,
    pushes: mpsc::Sender<Push>,
    closing: Closing,
}

#[derive(Default)]
struct Closing {
    why: OnceLock<(Close, Duration)>,
    told: Notify,
}

impl Connection {
    /// Whose it is.
    #[must_use]
    pub fn subject(&self) -> SubjectRef {
        self.token.subject
    }

    /// Has it closed now. The first reason counts.
    pub fn close(&self, close: Close) {
        self.close_within(close, Duration::ZERO);
    }

    /// Has it closed at some moment within a time, so that not all come back at once.
    fn close_within(&self, close: Close, spread: Duration) {
        if self.closing.why.set((close, spread)).is_ok() {
            self.closing.told.notify_one();
        }
    }

    /// Waits until it is to be closed; answers why, and within what time.
    pub async fn to_be_closed(&self) -> (Close, Duration) {
        loop {
            let told = self.closing.told.notified();
            if let Some(why) = self.closing.why.get() {
                return *why;
            }
            told.await;
        }
    }

    /// Why it is to be closed; `None`: it is not.
    #[must_use]
    pub fn closes_with(&self) -> Option<Close> {
        self.closing.why.get().map(|(close, _)| *close)
    }

    /// Some share of a time, the same for this connection each time.
    #[must_use]
    pub fn share_of(&self, spread: Duration) -> Duration {
        spread.mul_f64(f64::from(u32::try_from(self.id.0.as_u128() & 0xffff).unwrap_or(0)) / 65_536.0)
    }

    fn push(&self, push: Push) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.pushes.try_send(push) {
            self.close(Close::TOO_SLOW);
        }
    }
}

#[derive(Default)]
struct State {
    of_subject: HashMap<SubjectRef, Vec<Arc<Connection>>>,
    of_app: HashMap<AppId, usize>,
    of_address: HashMap<IpAddr, usize>,
    /// Sockets that are open, let in or not.
    open: usize,
}

/// The connections of this node.
#[derive(Default)]
pub struct Registry {
    limits: Limits,
    state: Mutex<State>,
    /// How many were let in.
    connected: AtomicUsize,
}

/// The place of an open socket; given back when it is dropped.
pub struct Place {
    registry: Arc<Registry>,
    address: Option<IpAddr>,
}

/// Who is to be let in.
pub struct Newcomer {
    /// Its app.
    pub app: Arc<App>,
    /// The token it showed, which is good.
    pub token: IssuedToken,
    /// What it runs on.
    pub platform: Platform,
    /// Now, by the time that all nodes share.
    pub since: DateTime<Utc>,
}

/// A connection in the registry; it leaves it when this is dropped.
pub struct Entered {
    /// The connection.
    pub connection: Arc<Connection>,
    registry: Arc<Registry>,
}

impl Registry {
    /// Without any connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// How many connections there may be.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole whenever the lock is free: a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many clients were let in and have not left.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Acquire)
    }

    /// How many sockets are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.state().open
    }

    /// Takes a place for a socket from an address; `None`: all are taken, of the node or of that address.
    #[must_use]
    pub fn place(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let mut state = self.state();
        if state.open >= self.limits.node {
            return None;
        }
        if let Some(address) = address {
            let of_address = state.of_address.entry(address).or_default();
            if *of_address >= self.limits.address {
                return None;
            }
            *of_address += 1;
        }
        state.open += 1;
        Some(Place { registry: self.clone(), address })
    }

    /// Lets a client in; answers what it is told, too. By the rule of its app it takes the place of another device of the same
    /// class, which is closed.
    ///
    /// # Errors
    /// Its app or its user has as many connections as it may.
    pub fn enter(self: &Arc<Self>, newcomer: Newcomer) -> Result<(Entered, mpsc::Receiver<Push>), Close> {
        let Newcomer { app, token, platform, since } = newcomer;
        let (subject, id) = (token.subject, ConnectionId::fresh());
        let (sender, pushes) = mpsc::channel(PUSHES_MAX);
        let one_per_class = app.client.devices == DeviceRule::OnePerClass;
        let mut state = self.state();
        if state.of_app.get(&app.id).is_some_and(|count| *count >= self.limits.app) {
            return Err(Close::TOO_MANY);
        }
        let of_user = state.of_subject.get(&subject).map_or(&[][..], Vec::as_slice);
        let replaced = |other: &&Arc<Connection>| one_per_class && Class::of(other.platform) == Class::of(platform);
        if of_user.iter().filter(|other| !replaced(other)).count() >= self.limits.user {
            return Err(Close::TOO_MANY_DEVICES);
        }
        of_user.iter().filter(replaced).for_each(|other| other.close(Close::SIGNED_IN_ELSEWHERE));
        // Other nodes see the same order, whatever the clock does between two connections.
        let last = of_user.iter().map(|other| other.since + TimeDelta::milliseconds(1)).max();
        let since = last.map_or(since, |last| last.max(since));
        let since = DateTime::from_timestamp_millis(since.timestamp_millis()).unwrap_or(since);
        let connection =
            Arc::new(Connection { id, app, token, platform, since, pushes: sender, closing: Closing::default() });
        *state.of_app.entry(connection.app.id.clone()).or_default() += 1;
        state.of_subject.entry(subject).or_default().push(connection.clone());
        self.connected.fetch_add(1, Ordering::AcqRel);
        drop(state);
        Ok((Entered { connection, registry: self.clone() }, pushes))
    }

    /// Whether a subject is connected here.
    #[must_use]
    pub fn has(&self, subject: SubjectRef) -> bool {
        self.state().of_subject.contains_key(&subject)
    }

    /// The connections of a subject.
    #[must_use]
    pub fn of(&self, subject: SubjectRef) -> Vec<Arc<Connection>> {
        self.state().of_subject.get(&subject).cloned().unwrap_or_default()
    }

    /// All connections, those of a subject one after the other.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.state().of_subject.values().flatten().cloned().collect()
    }

    /// Tells the clients of a subject what has changed.
    pub fn tell(&self, subject: SubjectRef, notice: Notice) {
        let connections = self.of(subject);
        let notice = Arc::new(notice);
        connections.iter().for_each(|connection| connection.push(Push::Notice(notice.clone())));
    }
}

impl Sockets for Registry {
    fn close_all(&self) {
        self.all().iter().for_each(|connection| connection.close_within(Close::NODE_CUT_OFF, CUT_OFF_SPREAD));
    }

    fn push(&self, subject: SubjectRef, method: &'static str, params: &Value) {
        let connections = self.of(subject);
        if connections.is_empty() {
            return;
        }
        let params = Arc::new(params.clone());
        connections.iter().for_each(|connection| connection.push(Push::Message(method, params.clone())));
    }
}

/// Takes one from a count, and the count away once it is zero.
fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() = count.get().saturating_sub(1);
        if *count.get() == 0 {
            count.remove();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        state.open = state.open.saturating_sub(1);
        if let Some(address) = self.address {
            count_down(&mut state.of_address, address);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let (subject, id) = (self.connection.subject(), self.connection.id);
        let mut state = self.registry.state();
        count_down(&mut state.of_app, self.connection.app.id.clone());
        if let Entry::Occupied(mut of_subject) = state.of_subject.entry(subject) {
            of_subject.get_mut().retain(|connection| connection.id != id);
            if of_subject.get().is_empty() {
                of_subject.remove();
            }
        }
        self.registry.connected.fetch_sub(1, Ordering::AcqRel);
    }
}
