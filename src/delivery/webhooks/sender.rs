//! Sends to one webhook: reads the log behind its cursor, keeps several exchanges on their way, each about another subject,
//! and stores how far it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use rollcall_projections::webhooks::Webhook;
use rollcall_projections::{erasure_ledger, recipients};
use rollcall_schemas::envelope::{Actor, Recorded};
use rollcall_schemas::ids::{AppId, WebhookId};
use rollcall_schemas::webhook::{Cause, Format};
use rollcall_schemas::{Event, erasure};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lane::{Key, Lane, Missed, Next, QUEUED_MAX};
use super::post::Failure;
use super::render::Unsigned;
use super::schedule::{Breaker, Schedule};
use super::store::State;
use super::{CALLED_BACK_WITHIN, Error, Webhooks, callback_id, disclosure, is_same, platform, render};
use crate::crash_point;
use crate::delivery::event_type::{TypePattern, event_type};
use crate::domain::webhook::{Act, Action};
use crate::engine::{self, Caller, journal};
use crate::eventlog::RawEvent;
use crate::metrics::Delivered;

/// Exchanges of one webhook at the same time.
pub(super) const IN_FLIGHT_MAX: usize = 16;
/// Events that are read from the log at once.
const BATCH: usize = 256;
/// After so many changes, or so long, they are stored.
const CHANGES_MAX: usize = 256;
const STORED_EVERY: Duration = Duration::from_millis(200);
/// A cursor that passed only what is of no concern is stored after so many events, or so long.
const PASSED_MAX: u64 = 1_000;
const PASSED_STORED_EVERY: Duration = Duration::from_secs(5);
/// How often rows are looked for that somebody else has added.
const REPLAYS_EVERY: Duration = Duration::from_millis(500);
/// How long what is unavailable is left alone.
const UNAVAILABLE_WAIT: TimeDelta = TimeDelta::seconds(1);
/// Events of which it is kept what is sent, and bytes of each.
const RENDERED_MAX: usize = 1_024;
const RENDERED_BYTES_MAX: usize = 4_096;
/// How long exchanges on their way are waited for when nothing more is sent.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// Which events a webhook is told.
pub(super) struct Interest {
    app: AppId,
    patterns: Vec<TypePattern>,
    format: Format,
}

impl Interest {
    pub(super) fn of(webhook: &Webhook) -> Self {
        let patterns = super::patterns(&webhook.endpoint);
        Self { app: webhook.app.clone(), patterns, format: webhook.endpoint.format }
    }

    /// What the delivery of an event is in order of, and the event; `None`: it is of no concern.
    pub(super) fn in_event(&self, raw: &RawEvent) -> Option<(Key, Recorded<Event>)> {
        let r#type = event_type(&raw.name, raw.version);
        let is_chosen = self.patterns.iter().any(|pattern| pattern.matches(&r#type));
        let is_told = match self.format {
            Format::Standard => is_chosen,
            // A recipient of personal data is told of its erasure, whatever else it wants to be told.
            Format::V1 | Format::V4 => platform::tells(&raw.name) && (is_chosen || raw.name == "erasure.finalised"),
        };
        if !is_told {
            return None;
        }
        match journal::decode(raw) {
            Ok(recorded) if recorded.metadata.app == self.app => Some((key(&recorded), recorded)),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(position = raw.position, %error, "an event is not readable; no webhook is told of it");
                None
            }
        }
    }
}

fn key(recorded: &Recorded<Event>) -> Key {
    Key(recorded.event.about().0.map_or(Uuid::nil(), |subject| subject.0))
}

/// What became of a delivery.
enum Outcome {
    Acknowledged,
    /// There was nothing to tell, or not any more.
    NoConcern,
    Failed(Failure),
    /// A part of this service was not there.
    Unavailable(String),
}

/// Sends until `stop`.
pub(super) async fn run(webhooks: Arc<Webhooks>, webhook: Webhook, stop: CancellationToken) -> WebhookId {
    let id = webhook.webhook;
    let opened = loop {
        let opening = Sender::open(webhooks.clone(), webhook.clone());
        match stop.run_until_cancelled(opening).await {
            None => return id,
            Some(Ok(sender)) => break sender,
            Some(Err(error)) => tracing::warn!(webhook = %id, %error, "a webhook cannot be sent for now"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_none() {
            return id;
        }
    };
    opened.run(stop).await;
    id
}

struct Sender {
    webhooks: Arc<Webhooks>,
    webhook: Arc<Webhook>,
    interest: Interest,
    lane: Lane,
    breaker: Breaker,
    schedule: Schedule,
    in_flight: JoinSet<(Next, Outcome)>,
    /// What is sent of the events that were read last, by position, so that they are not read once more. Nothing personal.
    rendered: BTreeMap<u64, Unsigned>,
    /// Where the stored cursor is, and when it was stored.
    stored: (u64, Instant),
    replays_looked_for: Instant,
    /// Whether it is recorded that the receiver acknowledges nothing.
    is_failing: bool,
    unavailable_until: Option<DateTime<Utc>>,
    /// What the clock showed last.
    shown: DateTime<Utc>,
    /// Whether it is to be begun again: the webhook is another one by now, or a delivery ended without an outcome.
    begins_again: bool,
}

impl Sender {
    async fn open(webhooks: Arc<Webhooks>, webhook: Webhook) -> Result<Self, Error> {
        let (id, store) = (webhook.webhook, &webhooks.store);
        let cursor = match store.cursor(id).await? {
            Some(cursor) => cursor,
            None => begin(&webhooks, &webhook).await?,
        };
        let most = u32::try_from(QUEUED_MAX).unwrap_or(u32::MAX);
        let mut rows = store.rows(id, Some(State::Waiting), 0, most).await?;
        rows.extend(store.rows(id, Some(State::Dead), cursor, most).await?);
        let interest = Interest::of(&webhook);
        let schedule = webhooks.schedule(webhook.endpoint.format);
        Ok(Self {
            interest,
            lane: Lane::new(cursor, rows),
            breaker: Breaker::default(),
            schedule,
            in_flight: JoinSet::new(),
            rendered: BTreeMap::new(),
            stored: (cursor, Instant::now()),
            replays_looked_for: Instant::now() - REPLAYS_EVERY,
            is_failing: webhook.failing_since.is_some(),
            unavailable_until: None,
            shown: webhooks.engine.now(),
            begins_again: false,
            webhook: Arc::new(webhook),
            webhooks,
        })
    }

    async fn run(mut self, stop: CancellationToken) {
        // Behind the read models and not behind the log: whoever waits for them has them write each append by itself, which
        // takes from everybody what they save by writing many together.
        let mut applied = self.webhooks.engine.watch_applied();
        while !stop.is_cancelled() {
            let up_to = *applied.borrow_and_update();
            if let Err(error) = self.advance(up_to).await {
                tracing::warn!(webhook = %self.webhook.webhook, %error, "a webhook cannot be sent for now");
                self.unavailable_until = Some(self.webhooks.engine.now() + UNAVAILABLE_WAIT);
            }
            if self.begins_again {
                break;
            }
            let wait = self.wait();
            tokio::select! {
                Some(ended) = self.in_flight.join_next() => {
                    self.ended(ended).await;
                    while let Some(ended) = self.in_flight.try_join_next() {
                        self.ended(ended).await;
                    }
                }
                changed = applied.changed(), if self.lane.has_room() && self.unavailable_until.is_none() => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        let finish = async {
            while let Some(ended) = self.in_flight.join_next().await {
                self.ended(ended).await;
            }
        };
        // What is not waited for is sent once more.
        let _ = tokio::time::timeout(FINISH_MAX, finish).await;
        let _ = self.store().await;
    }

    /// Reads what can be read of the log up to a position that the read models have applied, sends what can be sent, stores what
    /// should be stored.
    async fn advance(&mut self, up_to: u64) -> Result<(), Error> {
        let now = self.look_at_clock();
        if self.unavailable_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        self.unavailable_until = None;
        if self.replays_looked_for.elapsed() >= REPLAYS_EVERY && self.lane.has_room() {
            self.replays_looked_for = Instant::now();
            let replays = self.webhooks.store.rows(self.webhook.webhook, Some(State::Replay), 0, 500).await?;
            self.lane.adopt(replays);
        }
        while self.lane.has_room() && self.lane.scanned() < up_to {
            let left = usize::try_from(up_to - self.lane.scanned()).unwrap_or(usize::MAX);
            let read = self.webhooks.engine.log().read_all(self.lane.scanned(), left.min(BATCH));
            let events = read.await.map_err(engine::Error::from)?;
            if events.is_empty() {
                break;
            }
            // A change of the webhook holds for every event that comes after it.
            if events.iter().any(|raw| self.may_change(raw)) {
                let webhook = self.webhooks.current(&self.webhook).await?;
                if !webhook.is_some_and(|webhook| is_same(&webhook, &self.webhook)) {
                    self.begins_again = true;
                    return Ok(());
                }
            }
            events.iter().for_each(|raw| self.read(raw));
            self.send();
        }
        self.send();
        if self.should_store() {
            self.store().await?;
        }
        // Whoever asks counts rows: a cursor that has passed rows which are not stored yet would hide them.
        if self.lane.changes() == 0 {
            self.webhooks.cursors().insert(self.webhook.webhook, self.lane.cursor());
        }
        Ok(())
    }

    /// Takes the next event of the log.
    fn read(&mut self, raw: &RawEvent) {
        let Some((key, recorded)) = self.interest.in_event(raw) else { return self.lane.read(raw.position, None) };
        self.lane.read(raw.position, Some(key));
        if self.webhook.endpoint.format != Format::Standard {
            return;
        }
        // Whoever sends it says why it cannot be rendered.
        if let Ok(rendered) = render::standard(recorded)
            && rendered.len() <= RENDERED_BYTES_MAX
        {
            self.rendered.insert(raw.position, rendered);
            if self.rendered.len() > RENDERED_MAX {
                self.rendered.pop_first();
            }
        }
    }

    /// The time now. Where the clock was put back, whatever waits for a time waits no longer than it would have.
    fn look_at_clock(&mut self) -> DateTime<Utc> {
        let now = self.webhooks.engine.now();
        let back = self.shown - now;
        self.shown = now;
        if back > TimeDelta::zero() {
            self.lane.turn_back(back);
            self.breaker.turn_back(back);
            self.unavailable_until = self.unavailable_until.map(|until| until - back);
        }
        now
    }

    /// Whether an event may change where this webhook is sent to, and what.
    fn may_change(&self, raw: &RawEvent) -> bool {
        // The callback of an app's settings is one of them.
        let changes = if self.webhook.webhook == callback_id(&self.webhook.app) { "app." } else { "webhook." };
        raw.name.starts_with(changes)
    }

    /// Sends what may be sent now.
    fn send(&mut self) {
        let now = self.webhooks.engine.now();
        let max = if self.breaker.is_down() { 1 } else { IN_FLIGHT_MAX };
        while self.in_flight.len() < max && self.breaker.paused_until().is_none_or(|until| until <= now) {
            let Some(next) = self.lane.next(now) else { break };
            let (webhooks, webhook) = (self.webhooks.clone(), self.webhook.clone());
            let rendered = self.rendered.remove(&next.position);
            let delivery = async move { (next, deliver(&webhooks, &webhook, next, rendered).await) };
            self.in_flight.spawn(delivery.boxed());
        }
    }

    async fn ended(&mut self, ended: Result<(Next, Outcome), tokio::task::JoinError>) {
        let Ok((next, outcome)) = ended else {
            // Whose it was is not known: the webhook is begun again from what is stored.
            tracing::error!(webhook = %self.webhook.webhook, "a delivery ended without an outcome");
            self.begins_again = true;
            return;
        };
        let now = self.webhooks.engine.now();
        match outcome {
            Outcome::Acknowledged => {
                crash_point::reach("webhook.acknowledged");
                self.webhooks.engine.metrics().delivered(Delivered::Acknowledged);
                self.lane.settled(next.key);
                self.breaker.acknowledged();
                if self.is_failing {
                    self.is_failing = !self.act(Action::Recover).await;
                }
            }
            Outcome::NoConcern => self.lane.settled(next.key),
            Outcome::Unavailable(reason) => {
                tracing::warn!(webhook = %self.webhook.webhook, reason, "a delivery cannot be made for now");
                self.lane.postpone(next.key, now + UNAVAILABLE_WAIT);
            }
            Outcome::Failed(failure) => self.failed(next, failure, now).await,
        }
    }

    async fn failed(&mut self, next: Next, failure: Failure, now: DateTime<Utc>) {
        let Failure { status, ref reason, retry_after } = failure;
        let webhook = self.webhook.webhook;
        tracing::debug!(%webhook, position = next.position, attempt = next.attempt, ?status, reason, "not acknowledged");
        let chance = Uuid::new_v4().as_bytes()[0];
        let next_at = self.schedule.next(next.attempt, retry_after, now, chance);
        if next_at.is_none() {
            tracing::warn!(%webhook, position = next.position, ?status, reason, "a delivery is given up");
        }
        let outcome = if next_at.is_some() { Delivered::Failed } else { Delivered::GivenUp };
        self.webhooks.engine.metrics().delivered(outcome);
        self.lane.missed(next.key, Missed { status, reason: reason.clone(), next_at });
        self.breaker.failed(next.key, retry_after, now);
        crash_point::reach("webhook.missed");
        if failure.is_gone() {
            self.act(Action::Disable(Cause::Gone)).await;
            return;
        }
        let since = self.breaker.failing_since().unwrap_or(now);
        let since = self.webhook.failing_since.filter(|_| self.is_failing).map_or(since, |earlier| earlier.min(since));
        let age = (now - since).to_std().unwrap_or_default();
        if age >= self.webhooks.options.disabled_after {
            self.act(Action::Disable(Cause::Failing)).await;
        } else if !self.is_failing && age >= self.webhooks.options.failing_after {
            self.is_failing = self.act(Action::Fail(since)).await;
        }
    }

    /// Records what became of the webhook; answers whether it is recorded. It may be tried again with the next delivery.
    async fn act(&self, action: Action) -> bool {
        if self.webhook.webhook == callback_id(&self.webhook.app) {
            return true;
        }
        let caller = Caller::internal(self.webhook.app.clone(), Actor::System);
        let act = Act { webhook: self.webhook.webhook, action };
        match self.webhooks.engine.execute(&caller, act).await {
            Ok(_) | Err(engine::Error::Refused(_)) => true,
            Err(error) => {
                tracing::warn!(webhook = %self.webhook.webhook, %error, "what became of a webhook was not recorded");
                false
            }
        }
    }

    fn should_store(&self) -> bool {
        let (cursor, at) = self.stored;
        let passed = self.lane.cursor().saturating_sub(cursor);
        let is_idle = self.in_flight.is_empty() && !self.lane.is_ready();
        match self.lane.changes() {
            0 if passed == 0 => false,
            0 if is_idle => passed >= PASSED_MAX || at.elapsed() >= PASSED_STORED_EVERY,
            changes => changes >= CHANGES_MAX || at.elapsed() >= STORED_EVERY,
        }
    }

    async fn store(&mut self) -> Result<(), Error> {
        let progress = self.lane.take_progress();
        crash_point::reach("webhook.saving");
        if let Err(error) = self.webhooks.store.save(self.webhook.webhook, &progress).await {
            self.lane.restore(progress);
            return Err(error.into());
        }
        crash_point::reach("webhook.saved");
        self.stored = (progress.cursor, Instant::now());
        Ok(())
    }

    /// How long there is nothing to do unless something happens.
    fn wait(&self) -> Duration {
        let now = self.webhooks.engine.now();
        let until = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
        let mut wait = REPLAYS_EVERY;
        if self.lane.changes() > 0 || self.lane.cursor() != self.stored.0 {
            wait = wait.min(STORED_EVERY);
        }
        if let Some(at) = self.unavailable_until {
            return until(at).max(Duration::from_millis(1));
        }
        let may_send = self.in_flight.len() < IN_FLIGHT_MAX;
        if let Some(due) = self.lane.due_at().filter(|_| may_send) {
            wait = wait.min(until(due));
        }
        if let Some(pause) = self.breaker.paused_until().filter(|_| self.in_flight.is_empty()) {
            // Nothing is sent before, whatever is due.
            let has_work = self.lane.is_ready() || self.lane.due_at().is_some();
            wait = if has_work { until(pause).min(REPLAYS_EVERY) } else { wait };
        }
        wait.max(Duration::from_millis(5))
    }
}

/// Behind which position a webhook begins that was never sent anything.
async fn begin(webhooks: &Webhooks, webhook: &Webhook) -> Result<u64, Error> {
    if webhook.webhook != callback_id(&webhook.app) {
        return Ok(webhook.registered_position);
    }
    // A callback is told of erasures that ended before it was set, as long as they are not long ago.
    let engine = &webhooks.engine;
    engine.all_applied().await?;
    let since = engine.now() - CALLED_BACK_WITHIN;
    let untold = erasure_ledger::untold(engine.read(), &webhook.app, (since, 0), 500).await;
    let untold = untold.map_err(engine::Error::from)?;
    let first = untold.iter().map(|erasure| erasure.requested_position).min();
    Ok(first.map_or_else(|| engine.log().head(), |first| first.saturating_sub(1)))
}

async fn deliver(webhooks: &Webhooks, webhook: &Webhook, next: Next, rendered: Option<Unsigned>) -> Outcome {
    // Turns are taken in order: a webhook that waits gets its turn before another one of its app gets its second.
    let Some(_turn) = webhooks.turns.take(&webhook.app).await else {
        return Outcome::Unavailable("too many deliveries of the app wait".into());
    };
    let exchanged = match rendered {
        Some(unsigned) => post(webhooks, webhook, unsigned, Notice::None).await,
        None => exchange(webhooks, webhook, next).await,
    };
    match exchanged {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Unavailable(error.to_string()),
    }
}

async fn exchange(webhooks: &Webhooks, webhook: &Webhook, next: Next) -> Result<Outcome, engine::Error> {
    let engine = &webhooks.engine;
    let events = engine.log().read_all(next.position.saturating_sub(1), 1).await?;
    let Some(raw) = events.first() else { return Err(engine::Error::Unavailable("the event is not there".into())) };
    let recorded = journal::decode(raw)?;
    // What is told of it is asked of the read models.
    if webhook.endpoint.format != Format::Standard {
        engine.applied_up_to(next.position).await?;
    }
    let notice = notice(webhooks, webhook, &recorded).await?;
    if notice == Notice::Told {
        return Ok(Outcome::NoConcern);
    }
    let (one, other) = recorded.event.about();
    let discloses = webhook.endpoint.format != Format::Standard && !matches!(recorded.event, Event::Erasure(_));
    let Some(unsigned) = render::event(engine, webhook, recorded).await? else { return Ok(Outcome::NoConcern) };
    if discloses {
        disclosure::record(webhooks, webhook, one.into_iter().chain(other)).await?;
    }
    post(webhooks, webhook, unsigned, notice).await
}

async fn post(
    webhooks: &Webhooks,
    webhook: &Webhook,
    unsigned: Unsigned,
    notice: Notice,
) -> Result<Outcome, engine::Error> {
    crash_point::reach("webhook.before");
    match webhooks.post(webhook, unsigned).await? {
        Err(failure) => Ok(Outcome::Failed(failure)),
        Ok(_) => {
            if let Notice::Due(erasure) = notice {
                let recipient = super::recipient(&webhook.endpoint.url);
                webhooks.notices.acknowledged(&webhook.app, erasure, &recipient).await?;
            }
            Ok(Outcome::Acknowledged)
        }
    }
}

/// Whether a delivery tells a recipient of personal data that it was erased.
#[derive(PartialEq, Eq)]
enum Notice {
    /// It does not.
    None,
    /// It was told already, or need not be.
    Told,
    /// It is told now, and its acknowledgement is recorded.
    Due(rollcall_schemas::ids::ErasureId),
}

/// What a delivery about the end of an erasure is. Who was sent personal data of the subject is told of it, whatever else it
/// wants to be told, and what it acknowledges is recorded.
async fn notice(webhooks: &Webhooks, webhook: &Webhook, recorded: &Recorded<Event>) -> Result<Notice, engine::Error> {
    let Event::Erasure(erasure::Event::Finalised(finalised)) = &recorded.event else { return Ok(Notice::None) };
    let read = webhooks.engine.read();
    if webhook.webhook == callback_id(&webhook.app) {
        let ledger = erasure_ledger::by_id(read, &webhook.app, finalised.erasure).await?;
        let is_told = ledger.is_none_or(|erasure| {
            let ended_at = erasure.finalised_at.unwrap_or(erasure.step_at);
            erasure.notified_at.is_some() || ended_at < webhooks.engine.now() - CALLED_BACK_WITHIN
        });
        return Ok(if is_told { Notice::Told } else { Notice::Due(finalised.erasure) });
    }
    if webhook.endpoint.format == Format::Standard {
        return Ok(Notice::None);
    }
    let recipients = recipients::of(read, finalised.subject).await?;
    if recipients.iter().any(|recipient| recipient.webhook == webhook.webhook) {
        return Ok(Notice::Due(finalised.erasure));
    }
    let r#type = event_type(recorded.name, recorded.version);
    let is_chosen = super::patterns(&webhook.endpoint).iter().any(|pattern| pattern.matches(&r#type));
    Ok(if is_chosen { Notice::None } else { Notice::Told })
}
