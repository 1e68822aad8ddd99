//! Tells webhooks in the platform's shapes that a client of a user connected to this node or disconnected from it.
//!
//! That is no event of the log, so there is no cursor: what waits is in memory, bounded for each webhook, and lost when the
//! node ends. Each node tells of its own connections. A notice is tried three times, as the platform does, and then dropped.
//! The notices about one user are sent one after the other.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rollcall_projections::webhooks::Webhook;
use rollcall_schemas::ids::{AppId, SubjectRef, WebhookId};
use rollcall_schemas::webhook::Format;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::lane::Key;
use super::post::Failure;
use super::schedule::Breaker;
use super::{EVERY, PLATFORM_WAITS, Webhooks, disclosure, render};
use crate::delivery::event_type::PRESENCE_CHANGED;
use crate::engine;
use crate::engine::connection_notices::{ConnectionNotice, Follower};
use crate::metrics::Delivered;

/// Notices that wait for one webhook; where there are more, the oldest are dropped.
const QUEUED_MAX: usize = 1_024;
/// Notices of one webhook that are sent at the same time.
pub(super) const IN_FLIGHT_MAX: usize = 8;
/// For how long what waits is still sent when the node stops.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// Whether a webhook is told of presence.
fn is_told(webhook: &Webhook) -> bool {
    let is_chosen = || super::patterns(&webhook.endpoint).iter().any(|pattern| pattern.matches(PRESENCE_CHANGED));
    match webhook.endpoint.format {
        Format::Standard => false,
        Format::V1 | Format::V4 => webhook.enabled && is_chosen(),
    }
}

/// Passes each notice to the webhooks that want it, until `stop`.
pub(super) async fn run(webhooks: Arc<Webhooks>, mut notices: Follower, stop: CancellationToken) {
    let mut router = Router::new(webhooks);
    loop {
        tokio::select! {
            notice = notices.next() => match notice {
                Some(notice) => router.pass(&notice).await,
                None => break,
            },
            () = stop.cancelled() => break,
        }
    }
    stop.cancelled().await;
    while let Some(notice) = notices.next_waiting() {
        router.pass(&notice).await;
    }
    router.finish().await;
}

/// Notices that wait for one webhook.
#[derive(Default)]
struct Queue {
    notices: Mutex<VecDeque<ConnectionNotice>>,
    added: Notify,
}

impl Queue {
    fn notices(&self) -> MutexGuard<'_, VecDeque<ConnectionNotice>> {
        // It is whole after every statement: a panic elsewhere does not make it wrong.
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; answers whether the oldest was dropped for it.
    fn add(&self, notice: ConnectionNotice) -> bool {
        let mut notices = self.notices();
        let dropped = if notices.len() >= QUEUED_MAX { notices.pop_front() } else { None };
        notices.push_back(notice);
        drop(notices);
        self.added.notify_one();
        dropped.is_some()
    }

    /// Takes the oldest one that is about nobody of these.
    fn take(&self, besides: &HashSet<SubjectRef>) -> Option<ConnectionNotice> {
        let mut notices = self.notices();
        let first = notices.iter().position(|notice| !besides.contains(&notice.subject))?;
        notices.remove(first)
    }

    fn is_empty(&self) -> bool {
        self.notices().is_empty()
    }
}

/// One webhook that is sent to.
struct Lane {
    queue: Arc<Queue>,
    stop: CancellationToken,
    task: AbortHandle,
}

/// As of when the webhooks are known.
#[derive(Clone, Copy)]
struct Read {
    at: Instant,
    /// How often this node had changed a webhook.
    changes: u64,
    /// What the read models had applied; 0: it is to be read again.
    applied: u64,
}

/// Which webhooks are told, and what waits for each.
struct Router {
    webhooks: Arc<Webhooks>,
    /// The webhooks of each app that are told of presence.
    told: HashMap<AppId, Vec<WebhookId>>,
    /// When they were read.
    read: Option<Read>,
    lanes: HashMap<WebhookId, Lane>,
    tasks: JoinSet<()>,
}

impl Router {
    fn new(webhooks: Arc<Webhooks>) -> Self {
        Self { webhooks, told: HashMap::new(), read: None, lanes: HashMap::new(), tasks: JoinSet::new() }
    }

    async fn pass(&mut self, notice: &ConnectionNotice) {
        if let Err(error) = self.read(&notice.app).await {
            tracing::warn!(%error, "it is not known which webhooks are told of presence; those that were known are");
            // What comes next does not wait for it again.
            let changes = self.webhooks.changes.load(Ordering::Acquire);
            self.read = Some(Read { at: Instant::now(), changes, applied: 0 });
        }
        for webhook in self.told.get(&notice.app).cloned().unwrap_or_default() {
            if self.queue(&notice.app, webhook).add(notice.clone()) {
                self.webhooks.engine.metrics().presence_dropped(1);
            }
        }
    }

    /// Reads which webhooks there are, unless nothing has changed or it was done a moment ago.
    async fn read(&mut self, app: &AppId) -> Result<(), engine::Error> {
        let changes = self.webhooks.changes.load(Ordering::Acquire);
        if self.read.is_some_and(|read| read.changes == changes && read.at.elapsed() < EVERY) {
            return Ok(());
        }
        let engine = &self.webhooks.engine;
        // Whoever was answered by this node that a webhook is registered is told from then on.
        engine.caught_up(app).await?;
        let applied = *engine.watch_applied().borrow();
        if self.read.is_none_or(|read| read.applied != applied) {
            let wanted = self.webhooks.wanted().await?;
            self.told.clear();
            for webhook in wanted.values().filter(|webhook| is_told(webhook)) {
                self.told.entry(webhook.app.clone()).or_default().push(webhook.webhook);
            }
            self.lanes.retain(|id, lane| {
                let is_wanted = wanted.get(id).is_some_and(is_told);
                if !is_wanted {
                    lane.stop.cancel();
                }
                is_wanted
            });
        }
        self.read = Some(Read { at: Instant::now(), changes, applied });
        Ok(())
    }

    /// What waits for a webhook; begins to send to it.
    fn queue(&mut self, app: &AppId, webhook: WebhookId) -> &Queue {
        while self.tasks.try_join_next().is_some() {}
        if self.lanes.get(&webhook).is_some_and(|lane| lane.task.is_finished()) {
            tracing::error!(%webhook, "a webhook was not told of presence any further; it is begun again");
            self.lanes.remove(&webhook);
        }
        let lane = self.lanes.entry(webhook).or_insert_with(|| {
            let (queue, stop) = (Arc::new(Queue::default()), CancellationToken::new());
            let sender = Sender::new(self.webhooks.clone(), (app.clone(), webhook), queue.clone());
            let task = self.tasks.spawn(sender.run(stop.clone()).in_current_span().boxed());
            Lane { queue, stop, task }
        });
        &lane.queue
    }

    async fn finish(mut self) {
        self.lanes.values().for_each(|lane| lane.stop.cancel());
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What became of a notice.
enum Outcome {
    Acknowledged,
    /// There was nothing to tell, or nobody any more.
    NoConcern,
    /// It is not tried again. How long the receiver wants to be left alone.
    GivenUp(Option<Duration>),
}

/// Sends to one webhook.
struct Sender {
    webhooks: Arc<Webhooks>,
    /// Its app and its id.
    to: (AppId, WebhookId),
    queue: Arc<Queue>,
    breaker: Breaker,
    in_flight: JoinSet<Outcome>,
    /// Whom each exchange is about.
    about: HashMap<Id, SubjectRef>,
}

impl Sender {
    fn new(webhooks: Arc<Webhooks>, to: (AppId, WebhookId), queue: Arc<Queue>) -> Self {
        let (breaker, in_flight, about) = (Breaker::default(), JoinSet::new(), HashMap::new());
        Self { webhooks, to, queue, breaker, in_flight, about }
    }

    async fn run(mut self, stop: CancellationToken) {
        let queue = self.queue.clone();
        while !stop.is_cancelled() {
            self.send();
            let pause = self.pause();
            tokio::select! {
                Some(ended) = self.in_flight.join_next_with_id() => self.ended(ended),
                () = queue.added.notified() => {}
                () = tokio::time::sleep(pause), if !pause.is_zero() => {}
                () = stop.cancelled() => {}
            }
        }
        let finish = async {
            self.send();
            while let Some(ended) = self.in_flight.join_next_with_id().await {
                self.ended(ended);
                self.send();
            }
        };
        // What is left is lost with this node.
        let _ = tokio::time::timeout(FINISH_MAX, finish).await;
        let left = u64::try_from(self.queue.notices().len()).unwrap_or(u64::MAX);
        self.webhooks.engine.metrics().presence_dropped(left);
    }

    /// Sends what may be sent now.
    fn send(&mut self) {
        let max = if self.breaker.is_down() { 1 } else { IN_FLIGHT_MAX };
        while self.in_flight.len() < max && self.pause().is_zero() {
            let besides: HashSet<SubjectRef> = self.about.values().copied().collect();
            let Some(notice) = self.queue.take(&besides) else { break };
            let subject = notice.subject;
            let delivery = deliver(self.webhooks.clone(), self.to.clone(), notice).in_current_span();
            let task = self.in_flight.spawn(delivery.boxed());
            self.about.insert(task.id(), subject);
        }
    }

    /// How long the receiver is left alone although something waits for it.
    fn pause(&self) -> Duration {
        let now = self.webhooks.engine.now();
        let until = self.breaker.paused_until().filter(|_| !self.queue.is_empty());
        until.and_then(|until| (until - now).to_std().ok()).unwrap_or_default()
    }

    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(subject) = self.about.remove(&id) else { return };
        match ended {
            Ok((_, Outcome::Acknowledged)) => self.breaker.acknowledged(),
            Ok((_, Outcome::NoConcern)) => {}
            Ok((_, Outcome::GivenUp(asked))) => {
                self.breaker.failed(Key(subject.0), asked, self.webhooks.engine.now());
            }
            Err(error) => tracing::error!(webhook = %self.to.1, %error, "a notice ended without an outcome"),
        }
    }
}

/// Tries to send a notice as often as the platform does.
async fn deliver(webhooks: Arc<Webhooks>, (app, webhook): (AppId, WebhookId), notice: ConnectionNotice) -> Outcome {
    let (metrics, id) = (webhooks.engine.metrics(), Uuid::new_v4());
    let mut waits = PLATFORM_WAITS.iter();
    loop {
        let asked = match exchange(&webhooks, (&app, webhook), &notice, id).await {
            Ok(None) => return Outcome::NoConcern,
            Ok(Some(Ok(_))) => {
                metrics.delivered(Delivered::Acknowledged);
                return Outcome::Acknowledged;
            }
            Ok(Some(Err(Failure { status, reason, retry_after }))) => {
                tracing::debug!(%webhook, ?status, reason, "a change of presence was not acknowledged");
                retry_after
            }
            Err(error) => {
                tracing::warn!(%webhook, %error, "a change of presence cannot be told for now");
                None
            }
        };
        let Some(wait) = waits.next() else {
            metrics.delivered(Delivered::GivenUp);
            return Outcome::GivenUp(asked);
        };
        metrics.delivered(Delivered::Failed);
        tokio::time::sleep(*wait).await;
    }
}

/// One attempt; `None`: there is nothing to tell, or nobody any more whom to tell or of whom.
async fn exchange(
    webhooks: &Webhooks,
    (app, webhook): (&AppId, WebhookId),
    notice: &ConnectionNotice,
    id: Uuid,
) -> Result<Option<Result<u16, Failure>>, engine::Error> {
    let engine = &webhooks.engine;
    engine.caught_up(app).await?;
    let row = rollcall_projections::webhooks::by_id(engine.read(), app, webhook).await?;
    let Some(webhook) = row.filter(is_told) else { return Ok(None) };
    let standing = engine.standing(app, notice.subject).await?;
    let is_active = standing.is_some_and(|standing| !standing.deactivated);
    // A recipient is told of an erasure. Whoever becomes one when it has begun might not be.
    if !is_active && !disclosure::is_recorded(webhooks, &webhook, notice.subject).await? {
        return Ok(None);
    }
    let Some(unsigned) = render::presence(engine, &webhook, notice, id).await? else { return Ok(None) };
    disclosure::record(webhooks, &webhook, [notice.subject]).await?;
    let too_many = || engine::Error::Unavailable("too many deliveries of the app wait".into());
    let _turn = webhooks.presence_turns.take(&webhook.app).await.ok_or_else(too_many)?;
    webhooks.post(&webhook, unsigned).await.map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::DateTime;

    use super::*;
    use crate::engine::client_platform::Platform;
    use crate::engine::connection_notices::ConnectionStatus;

    fn notice(subject: u128, second: i64) -> ConnectionNotice {
        ConnectionNotice {
            app: "app".parse().unwrap(),
            subject: SubjectRef(Uuid::from_u128(subject)),
            platform: Platform::Web,
            connection: Uuid::nil(),
            status: ConnectionStatus::Connected,
            at: DateTime::from_timestamp(second, 0).unwrap(),
        }
    }

    #[test]
    fn a_queue_drops_its_oldest_notices_and_passes_over_who_is_being_told_of() {
        let queue = Queue::default();
        for second in 0..i64::try_from(QUEUED_MAX).unwrap() {
            assert!(!queue.add(notice(1, second)));
        }
        assert!(queue.add(notice(2, 9_999)), "the oldest is dropped");
        assert_eq!(queue.take(&HashSet::new()).unwrap().at.timestamp(), 1);
        let one = [SubjectRef(Uuid::from_u128(1))].into();
        assert_eq!(queue.take(&one).unwrap().at.timestamp(), 9_999);
        assert!(queue.take(&one).is_none() && !queue.is_empty());
    }
}
