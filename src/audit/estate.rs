//! The erasures of an app in one month, in figures.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rollcall_projections::erasure_ledger::{self, Erasure, Step, Tally};
use rollcall_projections::store::{Error, ReadStore};
use rollcall_schemas::plain::{LegalBasis, ReportStatus, Scope};
use serde::Serialize;
use uuid::Uuid;

use super::report::issue::retained;
use crate::engine::App;

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

impl From<erasure_ledger::Quantiles> for Quantiles {
    fn from(took: erasure_ledger::Quantiles) -> Self {
        let [p50, p95, p99] = [took.p50, took.p95, took.p99].map(|took| took.as_seconds_f64());
        Self { p50, p95, p99 }
    }
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
    let took = erasure_ledger::durations(read, &app.id, (from, to)).await?;
    let mut estate = Estate {
        from,
        to,
        requested: 0,
        by_status: BTreeMap::new(),
        by_legal_basis: BTreeMap::new(),
        seconds_to_fenced: took.to_fenced.into(),
        seconds_to_unreadable: took.to_scrubbed.into(),
        seconds_to_final: took.to_finalised.into(),
        overdue: 0,
        stuck: 0,
        held: 0,
        not_acknowledged: 0,
        retained: vec![],
        last_drill: erasure_ledger::latest_drill(read, &app.id).await?.map(Into::into),
    };
    let is_told = app.settings.erasure_callback_url.is_some();
    let (mut deactivated, mut forgotten) = (0, 0);
    for alike in erasure_ledger::tally(read, &app.id, (from, to), now).await? {
        let Tally { scope, step, basis, held, erasures, due, notified, stuck } = alike;
        let only_if = |counts: bool, erasures: u32| if counts { erasures } else { 0 };
        estate.requested += erasures;
        *estate.by_status.entry(step.as_str()).or_default() += erasures;
        *estate.by_legal_basis.entry(word(basis)).or_default() += erasures;
        estate.overdue += only_if(!matches!(step, Step::Finalised | Step::Cancelled), due);
        estate.stuck += stuck;
        estate.held += only_if(held, erasures);
        estate.not_acknowledged += only_if(is_told && step == Step::Finalised, erasures - notified);
        match scope {
            Scope::Deactivate => deactivated += only_if(step != Step::Cancelled, erasures),
            Scope::Forget => forgotten += only_if(step != Step::Cancelled, erasures),
        }
    }
    estate.retained = kept([(Scope::Deactivate, deactivated), (Scope::Forget, forgotten)]);
    Ok(estate)
}
