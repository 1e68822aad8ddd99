//! What events change in the ledger.

use rollcall_schemas::erasure;
use rollcall_schemas::ids::ErasureId;

use super::queries::{self, Step};
use crate::{Changes, Entry, projection, statements};

statements! {
    request = "INSERT INTO erasure_ledger_v1 (erasure, app, subject, scope, operation, requested_position, requested_at,
            due_at, basis, requester, step, step_at, waits_until, held, ended)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $7, $12, $13, 0)";
    fence = "UPDATE erasure_ledger_v1 SET fenced_at = COALESCE(fenced_at, $1) WHERE erasure = $2";
    advance = "UPDATE erasure_ledger_v1 SET step = $1, step_at = $2 WHERE erasure = $3";
    cancel = "UPDATE erasure_ledger_v1 SET step = $1, step_at = $2, ended = 1 WHERE erasure = $3";
    begin = "UPDATE erasure_ledger_v1 SET step = $1, step_at = $2, begun_at = $2, waits_until = 0, held = 0
        WHERE erasure = $3";
    scrub = "UPDATE erasure_ledger_v1 SET step = $1, step_at = $2, scrubbed_at = $2 WHERE erasure = $3";
    report = "UPDATE erasure_ledger_v1 SET step = CASE WHEN ended = 1 THEN step ELSE $1 END, step_at = $2,
            report_position = $3, report_status = $4
        WHERE erasure = $5";
    finalise = "UPDATE erasure_ledger_v1 SET step = $1, step_at = $2, finalised_at = $2, ended = 1 WHERE erasure = $3";
    notify = "UPDATE erasure_ledger_v1 SET notified_at = $1 WHERE erasure = $2";
    hold = "UPDATE erasure_ledger_v1 SET held = $1 WHERE subject = $2 AND begun_at IS NULL AND ended = 0";
}

projection! {
    /// Every erasure and how far it is.
    ErasureLedger: "erasure_ledger" version 1, tables ["erasure_ledger_v1"];
    reads(entry, changes) {
        erasure::Requested(e) => add(e, entry, changes),
        erasure::Cancelled(e) => step(cancel, Step::Cancelled, e.erasure, entry, changes),
        erasure::Begun(e) => step(begin, Step::Begun, e.erasure, entry, changes),
        erasure::RelationsEnded(e) => step(advance, Step::RelationsEnded, e.erasure, entry, changes),
        erasure::Scrubbed(e) => step(scrub, Step::Scrubbed, e.erasure, entry, changes),
        erasure::ReadModelsScrubbed(e) => step(advance, Step::ReadModelsScrubbed, e.erasure, entry, changes),
        erasure::Verified(e) => step(advance, Step::Verified, e.erasure, entry, changes),
        erasure::ReportIssued(e) => {
            let (step, status) = (Step::Reported.as_str().into(), e.status.as_str().into());
            changes.push_must_change(report, [step, entry.at(), entry.position(), status, e.erasure.into()]);
        },
        erasure::Finalised(e) => step(finalise, Step::Finalised, e.erasure, entry, changes),
        erasure::Notified(e) => changes.push_must_change(notify, [entry.at(), e.erasure.into()]),
        user::HoldPlaced(e) => changes.push(hold, [1_u32.into(), e.subject.into()]),
        user::HoldReleased(e) => changes.push(hold, [0_u32.into(), e.subject.into()]),
        user::Deactivated(e) => changes.push_must_change(fence, [entry.at(), e.erasure.into()]),
        user::Restricted(e) => changes.push_must_change(fence, [entry.at(), e.erasure.into()]),
        user::Forgotten(e) => changes.push_must_change(fence, [entry.at(), e.erasure.into()]),
    }
}

fn add(e: &erasure::Requested, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push(
        request,
        [
            e.erasure.into(),
            entry.app(),
            e.subject.into(),
            e.scope.as_str().into(),
            e.operation.0.as_str().into(),
            entry.position(),
            entry.at(),
            e.due_at.into(),
            e.basis.as_str().into(),
            e.requester.as_str().into(),
            Step::Requested.as_str().into(),
            e.not_before.unwrap_or(entry.recorded.recorded_at).into(),
            u32::from(e.held).into(),
        ],
    );
}

fn step(sql: &'static str, step: Step, erasure: ErasureId, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push_must_change(sql, [step.as_str().into(), entry.at(), erasure.into()]);
}
