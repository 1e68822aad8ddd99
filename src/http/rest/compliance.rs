//! What a data-protection officer and an auditor ask.

use actix_web::http::header::ACCEPT;
use chrono::{DateTime, Months, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::Call;
use super::problem::{Answer, Problem};
use crate::audit::{data_map, estate, proof, tree};
use crate::domain::values::Invalid;
use crate::engine::journal;

/// Every personal field.
#[derive(Serialize, ToSchema)]
pub(super) struct DataMap {
    fields: Vec<data_map::Entry>,
}

/// `GET /compliance/data-map`.
pub(super) async fn data_map(call: &Call<'_>) -> Result<Answer, Problem> {
    let accepts = call.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        return Ok(Answer::of_type("text/html; charset=utf-8", data_map::page()));
    }
    Answer::query(&DataMap { fields: data_map::data_map() })
}

/// When the month `YYYY-MM` begins, and when the next one begins.
fn month(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let first = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok()?;
    let next = first.checked_add_months(Months::new(1))?;
    Some((first.and_hms_opt(0, 0, 0)?.and_utc(), next.and_hms_opt(0, 0, 0)?.and_utc()))
}

/// `GET /compliance/estate?month=YYYY-MM`; the running month where none is given.
pub(super) async fn estate(call: &Call<'_>) -> Result<Answer, Problem> {
    let now = call.engine.now();
    let asked = call.value("month").unwrap_or_else(|| now.format("%Y-%m").to_string());
    let malformed = || Problem::Invalid("?month", Invalid::malformed("month", "a month such as 2026-01"));
    let time = month(&asked).ok_or_else(malformed)?;
    call.engine.caught_up(&call.app.id).await?;
    Answer::query(&estate::report(call.engine.read(), &call.app, time, now).await?)
}

/// `GET /audit/proof?position=&since=`.
pub(super) async fn proof(call: &Call<'_>) -> Result<Answer, Problem> {
    let number = |name: &'static str, at: &'static str| {
        let malformed = || Problem::Invalid(at, Invalid::malformed(name, "a number"));
        call.value(name).map(|text| text.parse::<u64>().map_err(|_| malformed())).transpose()
    };
    let missing = || Problem::Invalid("?position", Invalid::missing("position"));
    let position = number("position", "?position")?.ok_or_else(missing)?;
    let since = number("since", "?since")?.unwrap_or(0);
    let events = call.engine.log().read_all(position.max(1) - 1, 1).await.map_err(|e| Problem::unavailable(&e))?;
    let event = events.first().filter(|event| event.position == position).ok_or(Problem::NoSuchEvent)?;
    // What another app's events are is none of the caller's business.
    let recorded = journal::decode(event).map_err(|error| Problem::unavailable(&error))?;
    if recorded.metadata.app != call.app.id {
        return Err(Problem::NoSuchEvent);
    }
    match proof::Proof::of(call.keeper, event, since).await {
        Err(tree::Error::Beyond { .. }) => Err(Problem::NoSuchEvent),
        proof => Answer::query(&proof.map_err(|error| Problem::unavailable(&error))?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_one_begins() {
        assert_eq!(month("2026-12").unwrap().1, month("2027-01").unwrap().0);
        for bad in ["", "2026", "2026-13", "2026-1-1", "x"] {
            assert!(month(bad).is_none(), "{bad}");
        }
    }
}
