//! The erasures of an app in one month, in figures.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_projections::erasure_ledger::{self, Erasure, Step};
use rollcall_projections::store::{Error, ReadStore};
use rollcall_schemas::plain::{LegalBasis, ReportStatus, Requester, Scope};
use serde::Serialize;
use uuid::Uuid;

use super::report::issue::retained;
use crate::engine::App;

const PAGE: u32 = 500;

/// How long something took, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Quantiles {
    /// Half of them took at most that long.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
}

/// What became of the erasures that were requested within a time.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Estate {
    /// From when they were requested.
    pub from: DateTime<Utc>,
    /// Until before when.
    pub to: DateTime<Utc>,
    /// How many.
    pub requested: u32,
    /// How many have come how far.
    pub by_status: BTreeMap<&'static str, u32>,
    /// How many were requested on which ground.
    pub by_legal_basis: BTreeMap<String, u32>,
    /// From the request until no command about the person landed any more: nothing while both stand in one append.
    pub seconds_to_fenced: Quantiles,
    /// From the request until the keys were destroyed.
    pub seconds_to_unreadable: Quantiles,
    /// From the request until every step was done.
    pub seconds_to_final: Quantiles,
    /// How many are not done although they are due.
    pub overdue: u32,
    /// How many are stuck: they could have gone on for five minutes and have not. The service's log says why.
    pub stuck: u32,
    /// How many a legal hold keeps waiting.
    pub held: u32,
    /// How many are done and not acknowledged by the app's callback; none where the app has none.
    pub not_acknowledged: u32,
    /// What those that were not called off keep, on which ground, and how many of them.
    pub retained: Vec<Kept>,
    /// The latest drill, of whatever month; drills are in no figure above.
    pub last_drill: Option<Drill>,
}

/// Something that erasures keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Kept {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// How many erasures keep it.
    pub erasures: u32,
}

/// An erasure of a person that was made up for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Drill {
    /// The erasure.
    pub erasure: Uuid,
    /// When it was begun.
    pub requested_at: DateTime<Utc>,
    /// How far it came.
    pub status: &'static str,
    /// When every step of it was done.
    pub finalised_at: Option<DateTime<Utc>>,
    /// What its report says.
    #[schema(value_type = Option<String>)]
    pub report: Option<ReportStatus>,
}

impl From<Erasure> for Drill {
    fn from(row: Erasure) -> Self {
        Self {
            erasure: row.erasure.0,
            requested_at: row.requested_at,
            status: row.step.as_str(),
            finalised_at: row.finalised_at,
            report: row.report.map(|(_, status)| status),
        }
    }
}

fn quantiles(mut times: Vec<TimeDelta>) -> Quantiles {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(index).map_or(0.0, |time| time.as_seconds_f64())
    };
    Quantiles { p50: at(50), p95: at(95), p99: at(99) }
}

fn word(basis: LegalBasis) -> String {
    serde_json::to_value(basis).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What so many erasures of each scope keep.
fn kept(by_scope: [(Scope, u32); 2]) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    for (scope, erasures) in by_scope.into_iter().filter(|(_, erasures)| *erasures > 0) {
        for entry in retained(scope) {
            match all.iter_mut().find(|kept| kept.what == entry.what) {
                Some(kept) => kept.erasures += erasures,
                None => all.push(Kept { what: entry.what, why: entry.why, erasures }),
            }
        }
    }
    all
}

/// Counts the erasures of an app that were requested from one time to before another.
///
/// # Errors
/// The read models are unavailable.
pub async fn report(
    read: &ReadStore,
    app: &App,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
) -> Result<Estate, Error> {
    let mut estate = Estate {
        from,
        to,
        requested: 0,
        by_status: BTreeMap::new(),
        by_legal_basis: BTreeMap::new(),
        seconds_to_fenced: Quantiles::default(),
        seconds_to_unreadable: Quantiles::default(),
        seconds_to_final: Quantiles::default(),
        overdue: 0,
        stuck: 0,
        held: 0,
        not_acknowledged: 0,
        retained: vec![],
        last_drill: erasure_ledger::latest_drill(read, &app.id).await?.map(Into::into),
    };
    let is_told = app.settings.erasure_callback_url.is_some();
    let (mut to_fenced, mut to_unreadable, mut to_final, mut after) = (vec![], vec![], vec![], 0);
    let (mut deactivated, mut forgotten) = (0, 0);
    loop {
        let page = erasure_ledger::requested_between(read, &app.id, (from, to), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.requested_position;
        for erasure in page.into_iter().filter(|erasure| erasure.requester != Requester::Drill) {
            estate.stuck += u32::from(erasure.stuck_since(now).is_some());
            let Erasure { requested_at, scrubbed_at, finalised_at, due_at, held, step, basis, notified_at, .. } =
                erasure;
            if step != Step::Cancelled {
                *(if erasure.scope == Scope::Forget { &mut forgotten } else { &mut deactivated }) += 1;
            }
            to_fenced.extend(erasure.fenced_at.map(|at| at - requested_at));
            estate.requested += 1;
            *estate.by_status.entry(step.as_str()).or_default() += 1;
            *estate.by_legal_basis.entry(word(basis)).or_default() += 1;
            estate.overdue += u32::from(!matches!(step, Step::Finalised | Step::Cancelled) && due_at < now);
            estate.held += u32::from(held);
            estate.not_acknowledged += u32::from(is_told && step == Step::Finalised && notified_at.is_none());
            to_unreadable.extend(scrubbed_at.map(|at| at - requested_at));
            to_final.extend(finalised_at.map(|at| at - requested_at));
        }
    }
    estate.retained = kept([(Scope::Deactivate, deactivated), (Scope::Forget, forgotten)]);
    estate.seconds_to_fenced = quantiles(to_fenced);
    estate.seconds_to_unreadable = quantiles(to_unreadable);
    estate.seconds_to_final = quantiles(to_final);
    Ok(estate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let of = |seconds: &[i64]| quantiles(seconds.iter().map(|s| TimeDelta::seconds(*s)).collect());
        assert_eq!(of(&[]), Quantiles::default());
        assert_eq!(of(&[7]), Quantiles { p50: 7.0, p95: 7.0, p99: 7.0 });
        let hundred: Vec<i64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), Quantiles { p50: 50.0, p95: 95.0, p99: 99.0 });
    }
}
