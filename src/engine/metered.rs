//! What is looked at of an engine when its metrics are asked for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use rollcall_projections::erasure_ledger::{self, Step};

use super::{Engine, Error, QUEUE_MAX, journal};
use crate::domain::DynCommand;
use crate::metrics::{Metrics, OpenErasures, Sampled};

/// How long the log and the read models may take to answer one question.
const ANSWER_MAX: Duration = Duration::from_millis(500);

impl Engine {
    /// What is counted and timed while it runs.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Looks at what is not counted as it happens. What is not answered within half a second is left out: the age of the
    /// lag, and the erasures.
    pub async fn sample(&self) -> Sampled {
        let (applied, head) = (*self.applied.borrow(), self.log.head());
        let lag = async {
            if applied >= head {
                return Ok(Duration::ZERO);
            }
            let first = self.log.read_all(applied, 1).await?;
            let recorded_at = first.first().and_then(|raw| journal::decode(raw).ok()).map(|event| event.recorded_at);
            Ok::<_, Error>(recorded_at.map_or(Duration::ZERO, |at| positive(self.now() - at)))
        };
        let erasures = erasure_ledger::open_by_step(&self.read);
        let (lag, erasures) =
            futures_util::join!(tokio::time::timeout(ANSWER_MAX, lag), tokio::time::timeout(ANSWER_MAX, erasures));
        let now = self.now();
        let open = |step: Step, found: &[erasure_ledger::Open]| {
            let there = found.iter().find(|open| open.step == step);
            OpenErasures {
                step: step.as_str(),
                count: there.map_or(0, |open| open.erasures),
                oldest: there.map_or(Duration::ZERO, |open| positive(now - open.first_requested_at)),
            }
        };
        Sampled {
            ready: self.ready.load(Ordering::Acquire),
            leads: self.leads(),
            log_broken: self.broken_log().map(|broken| broken.code),
            queued: u64::try_from(QUEUE_MAX - self.commands.capacity()).unwrap_or_default(),
            head,
            applied,
            lag: lag.ok().and_then(Result::ok),
            parked: 0,
            webhooks: vec![],
            clients: 0,
            nodes: None,
            waiting_replays: 0,
            search_users: self.search.users() as u64,
            erasures: erasures.ok().and_then(Result::ok).map_or_else(Vec::new, |found| {
                Step::ALL.into_iter().filter(|step| !step.is_end()).map(|step| open(step, &found)).collect()
            }),
        }
    }
}

/// What a command is called in a metric: its place in the domain.
pub(super) fn name(command: &dyn DynCommand) -> &'static str {
    let name = command.name();
    name.split_once("domain::").map_or(name, |(_, place)| place)
}

/// Clocks of nodes differ a little: what lies ahead has no age.
fn positive(time: TimeDelta) -> Duration {
    time.to_std().unwrap_or_default()
}
