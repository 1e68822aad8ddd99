//! What events change in the ledger.

use rollcall_schemas::{Event, erasure, user};

use super::queries::{self, Step};
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements, words};

statements! {
    request = "INSERT INTO erasure_ledger_v2 (erasure, app, subject, scope, operation, requested_position, requested_at,
            due_at, basis, requester, step, step_at, waits_until, held, ended)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $7, $12, $13, 0)";
    fence = "UPDATE erasure_ledger_v2 SET fenced_at = COALESCE(fenced_at, $1) WHERE erasure = $2";
    advance = "UPDATE erasure_ledger_v2 SET step = $1, step_at = $2 WHERE erasure = $3";
    cancel = "UPDATE erasure_ledger_v2 SET step = $1, step_at = $2, ended = 1 WHERE erasure = $3";
    begin = "UPDATE erasure_ledger_v2 SET step = $1, step_at = $2, begun_at = $2, waits_until = 0, held = 0
        WHERE erasure = $3";
    scrub = "UPDATE erasure_ledger_v2 SET step = $1, step_at = $2, scrubbed_at = $2 WHERE erasure = $3";
    report = "UPDATE erasure_ledger_v2 SET step = CASE WHEN ended = 1 THEN step ELSE $1 END, step_at = $2,
            report_position = $3, report_status = $4
        WHERE erasure = $5";
    finalise = "UPDATE erasure_ledger_v2 SET step = $1, step_at = $2, finalised_at = $2, ended = 1 WHERE erasure = $3";
    notify = "UPDATE erasure_ledger_v2 SET notified_at = $1 WHERE erasure = $2";
    hold = "UPDATE erasure_ledger_v2 SET held = $1 WHERE subject = $2 AND begun_at IS NULL AND ended = 0";
}

/// The read model.
pub struct ErasureLedger;

impl Projection for ErasureLedger {
    fn name(&self) -> &'static str {
        "erasure_ledger"
    }
    fn version(&self) -> u32 {
        2
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["erasure_ledger_v2"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::Erasure(event) => project_erasure(entry, event, changes),
            Event::User(user::Event::HoldPlaced(e)) => changes.push(hold, [1_u32.into(), e.subject.into()]),
            Event::User(user::Event::HoldReleased(e)) => changes.push(hold, [0_u32.into(), e.subject.into()]),
            Event::User(
                user::Event::Deactivated(user::Deactivated { erasure, .. })
                | user::Event::Restricted(user::Restricted { erasure, .. })
                | user::Event::Forgotten(user::Forgotten { erasure, .. }),
            ) => changes.push_must_change(fence, [entry.recorded.recorded_at.into(), (*erasure).into()]),
            Event::User(_)
            | Event::App(_)
            | Event::Roster(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Access(_)
            | Event::DataRequest(_) => {}
        }
        Ok(())
    }
}

fn project_erasure(entry: &Entry<'_>, event: &erasure::Event, changes: &mut Changes) {
    let recorded = entry.recorded;
    let at = || Value::from(recorded.recorded_at);
    let mut step = |statement, step: Step, erasure: rollcall_schemas::ids::ErasureId| {
        changes.push_must_change(statement, [step.as_str().into(), at(), erasure.into()]);
    };
    match event {
        erasure::Event::Requested(e) => {
            let app = (&recorded.metadata.app).into();
            let waits_until = e.not_before.unwrap_or(recorded.recorded_at).into();
            changes.push(
                request,
                [
                    e.erasure.into(),
                    app,
                    e.subject.into(),
                    words::scope(e.scope).into(),
                    e.operation.0.as_str().into(),
                    recorded.position.into(),
                    at(),
                    e.due_at.into(),
                    words::basis(e.basis).into(),
                    words::requester(e.requester).into(),
                    Step::Requested.as_str().into(),
                    waits_until,
                    u32::from(e.held).into(),
                ],
            );
        }
        erasure::Event::Cancelled(e) => step(cancel, Step::Cancelled, e.erasure),
        erasure::Event::Begun(e) => step(begin, Step::Begun, e.erasure),
        erasure::Event::RelationsEnded(e) => step(advance, Step::RelationsEnded, e.erasure),
        erasure::Event::Scrubbed(e) => step(scrub, Step::Scrubbed, e.erasure),
        erasure::Event::ReadModelsScrubbed(e) => step(advance, Step::ReadModelsScrubbed, e.erasure),
        erasure::Event::Verified(e) => step(advance, Step::Verified, e.erasure),
        erasure::Event::ReportIssued(e) => {
            let (position, status) = (recorded.position.into(), words::report_status(e.status).into());
            let reported = Step::Reported.as_str().into();
            changes.push_must_change(report, [reported, at(), position, status, e.erasure.into()]);
        }
        erasure::Event::Finalised(e) => step(finalise, Step::Finalised, e.erasure),
        erasure::Event::Notified(e) => changes.push_must_change(notify, [at(), e.erasure.into()]),
    }
}
