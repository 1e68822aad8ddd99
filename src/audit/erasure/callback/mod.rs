//! Tells an app that an erasure is done, as the platform does. It is told again until it answers 2xx, also after a
//! restart; the acknowledgement is an event, and a report that names the recipient replaces the one before (GDPR,
//! Article 19).
//!
//! Each app is told by a task of its own and has its own schedule. All of them share a bounded number of calls in flight,
//! which they are given in turn, one call at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_schemas::ids::{AppId, ErasureId};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use ureq::Agent;

use super::{Error, record};
use crate::audit::report::Recipient;
use crate::audit::report::issue::{Issued, issue};
use crate::audit::tree::Keeper;
use crate::domain::erasure::Step;
use crate::engine::{self, App, Engine};

mod call;
mod schedule;

use schedule::Schedule;

/// How often finished erasures that no app was told of are looked for.
const EVERY: Duration = Duration::from_secs(2);
/// An erasure that ended longer ago is not told any more.
const TOLD_WITHIN: TimeDelta = TimeDelta::days(7);
/// Calls in flight at the same time, over all apps.
const IN_FLIGHT_MAX: usize = 16;
/// Calls to one app before its task ends and others of its erasures are looked for.
const ROUND_MAX: usize = 50;
const PAGE: u32 = 500;

/// What every task works with.
struct Sender {
    engine: Arc<Engine>,
    keeper: Arc<Keeper>,
    client: Agent,
    in_flight: Semaphore,
    stop: CancellationToken,
}

/// Runs until `stop`; calls in flight by then are waited for.
pub async fn run(engine: Arc<Engine>, keeper: Arc<Keeper>, stop: CancellationToken) {
    let in_flight = Semaphore::new(IN_FLIGHT_MAX);
    let sender = Arc::new(Sender { engine, keeper, client: call::client(), in_flight, stop: stop.clone() });
    // The schedule of an app is absent while a task of the app works with it.
    let mut schedules: HashMap<AppId, Schedule> = HashMap::new();
    let mut tasks: JoinSet<Schedule> = JoinSet::new();
    let mut running: HashMap<Id, AppId> = HashMap::new();
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next_with_id() => {
                let (id, schedule) = match ended {
                    Ok((id, schedule)) => (id, schedule),
                    Err(died) => (died.id(), Schedule::default()),
                };
                if let Some(app) = running.remove(&id) {
                    schedules.insert(app, schedule);
                }
            }
            _ = every.tick(), if sender.engine.leads() && sender.keeper.is_proven() => {
                for app in sender.engine.apps() {
                    let Some(url) = app.settings.erasure_callback_url.clone() else { continue };
                    if running.values().any(|running| *running == app.id) {
                        continue;
                    }
                    let schedule = schedules.remove(&app.id).unwrap_or_default();
                    let id = app.id.clone();
                    let task = tasks.spawn(sender.clone().deliver(app, url, schedule));
                    running.insert(task.id(), id);
                }
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

impl Sender {
    /// Tells an app of erasures it was not told of, those that never failed first.
    async fn deliver(self: Arc<Self>, app: Arc<App>, url: String, mut schedule: Schedule) -> Schedule {
        let due = match self.due(&app.id, &mut schedule).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(app = %app.id, %error, "it is not known of which erasures an app was not told");
                return schedule;
            }
        };
        for erasure in due {
            // The semaphore is fair: an app that waits gets its call before another app gets its second one.
            let Some(Ok(_call)) = self.stop.run_until_cancelled(self.in_flight.acquire()).await else { break };
            if self.stop.is_cancelled() || !schedule.is_open(Instant::now()) {
                break;
            }
            match self.tell_one(&app, &erasure, &url).await {
                Ok(()) => schedule.delivered(erasure.erasure),
                Err(error) => {
                    schedule.failed(erasure.erasure, Instant::now());
                    let failures = schedule.failures(erasure.erasure);
                    let erasure = erasure.erasure.0;
                    tracing::warn!(app = %app.id, %erasure, failures, %error, "an app was not told of an erasure; it is told again");
                }
            }
        }
        schedule
    }

    /// The next erasures to tell an app of.
    async fn due(&self, app: &AppId, schedule: &mut Schedule) -> Result<Vec<Erasure>, Error> {
        let now = Instant::now();
        if !schedule.is_open(now) {
            return Ok(vec![]);
        }
        // Acknowledgements must be applied first, or an app would be told twice.
        self.engine.all_applied().await?;
        let since = self.engine.now() - TOLD_WITHIN;
        let (mut due, mut untold, mut after) = (Vec::new(), HashSet::<ErasureId>::new(), (since, 0));
        loop {
            let page = erasure_ledger::untold(self.engine.read(), app, after, PAGE).await?;
            let Some(last) = page.last() else {
                schedule.keep(|erasure| untold.contains(&erasure));
                break;
            };
            after = (last.finalised_at.unwrap_or(last.step_at), last.requested_position);
            untold.extend(page.iter().map(|erasure| erasure.erasure));
            due.extend(page.into_iter().filter(|erasure| schedule.is_due(erasure.erasure, now)));
            // Those that never failed come first: one page of them is enough.
            if due.iter().filter(|erasure| schedule.failures(erasure.erasure) == 0).count() >= ROUND_MAX {
                break;
            }
        }
        due.sort_by_key(|erasure| schedule.failures(erasure.erasure));
        due.truncate(ROUND_MAX);
        Ok(due)
    }

    async fn tell_one(&self, app: &App, erasure: &Erasure, url: &str) -> Result<(), Error> {
        let signed = call::signed(app, url, self.engine.now());
        let form = call::form(&self.engine, app, erasure).await?;
        let unanswered = |reason: String| engine::Error::Unavailable(format!("its callback failed: {reason}"));
        call::send(&self.client, signed, form).await.map_err(unanswered)?;
        self.acknowledged(erasure, url).await
    }

    /// Records that the app was told, and a report that says so.
    async fn acknowledged(&self, erasure: &Erasure, url: &str) -> Result<(), Error> {
        let recipient = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        let name = recipient.rsplit('@').next().unwrap_or_default().to_owned();
        let now = self.engine.now();
        let told = vec![Recipient { name: name.clone(), acknowledged_at: Some(now) }];
        let Issued { report, sha256, envelope } =
            issue(&self.keeper, self.engine.vault().as_ref(), erasure.erasure, now, told).await?;
        let step = Step::Notify { recipient: name, status: report.status, sha256, envelope };
        record(&self.engine, erasure, step, vec![]).await?;
        Ok(())
    }
}
