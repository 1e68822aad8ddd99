//! What events change about operations.

use rollcall_schemas::ids::BatchId;
use rollcall_schemas::operation::{ReasonGiven, Requested};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::OwnText;

use super::queries;
use crate::{Changes, Entry, Inconsistent, Value, projection, statements};

statements! {
    request = "INSERT INTO operations_v1 (batch, app, act, total, done, refused, ends_at, actor, is_open,
            requested_at, requested_position, begun_at, progressed_at)
        VALUES ($1, $2, $3, $4, 0, 0, $5, $6, $7, $8, $9, $10, $11)";
    add_item = "INSERT INTO operations_items_v1 (batch, number, subject) VALUES ($1, $2, $3)";
    give_reason = "UPDATE operations_items_v1 SET reason = $1 WHERE batch = $2 AND number = $3";
    progress = "UPDATE operations_v1 SET done = $1, is_open = CASE WHEN CAST($1 AS BIGINT) < total THEN 1 ELSE 0 END,
            refused = refused + $2, progressed_at = $3
        WHERE batch = $4";
    set_result = "UPDATE operations_items_v1 SET result = $1 WHERE batch = $2 AND number = $3";
    begin_undo = "UPDATE operations_v1 SET undone = 0, is_open = CASE WHEN total > 0 THEN 1 ELSE 0 END, undo_actor = $1,
            begun_at = $2, progressed_at = $3
        WHERE batch = $4";
    progress_undo = "UPDATE operations_v1 SET undone = $1, is_open = CASE WHEN CAST($1 AS BIGINT) < total THEN 1 ELSE 0 END,
            progressed_at = $2
        WHERE batch = $3";
    set_undo_result = "UPDATE operations_items_v1 SET undo_result = $1 WHERE batch = $2 AND number = $3";
    scrub_reasons = "UPDATE operations_items_v1 SET reason = NULL WHERE subject = $1 AND reason IS NOT NULL";
}

projection! {
    /// The bulk operations.
    Operations: "operations" version 1, tables ["operations_v1", "operations_items_v1"], remains queries::REMAINS;
    reads(entry, changes) {
        operation::Requested(e) => add(e, entry, changes)?,
        operation::ReasonGiven(e) => reason(e, entry, changes),
        operation::Progressed(e) => {
            let refused = e.results.iter().filter(|result| result.0.starts_with("refused")).count();
            let done = u64::from(e.from) + e.results.len() as u64;
            changes.push_must_change(
                progress,
                [done.into(), (refused as u64).into(), entry.at(), e.batch.into()],
            );
            results(set_result, e.batch, e.from, &e.results, changes);
        },
        operation::UndoRequested(e) =>
            changes.push_must_change(begin_undo, [actor(entry)?, entry.at(), entry.at(), e.batch.into()]),
        operation::UndoProgressed(e) => {
            let done = u64::from(e.from) + e.results.len() as u64;
            changes.push_must_change(progress_undo, [done.into(), entry.at(), e.batch.into()]);
            results(set_undo_result, e.batch, e.from, &e.results, changes);
        },
        user::Forgotten(e) => changes.push(scrub_reasons, [e.subject.into()]),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Moderation) {
            changes.push(scrub_reasons, [e.subject.into()]);
        },
    }
}

/// Who acted, as JSON.
fn actor(entry: &Entry<'_>) -> Result<Value, Inconsistent> {
    let actor = serde_json::to_string(&entry.recorded.metadata.actor);
    actor.map(Value::Text).map_err(|_| Inconsistent("its actor cannot be written"))
}

fn add(e: &Requested, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
    changes.push(
        request,
        [
            e.batch.into(),
            entry.app(),
            e.act.as_str().into(),
            (e.subjects.len() as u64).into(),
            e.ends_at.into(),
            actor(entry)?,
            u32::from(!e.subjects.is_empty()).into(),
            entry.at(),
            entry.position(),
            entry.at(),
            entry.at(),
        ],
    );
    for (number, subject) in e.subjects.iter().enumerate() {
        changes.push(add_item, [e.batch.into(), (number as u64).into(), (*subject).into()]);
    }
    Ok(())
}

fn reason(e: &ReasonGiven, entry: &Entry<'_>, changes: &mut Changes) {
    let stored = entry.recorded.stored("reason", &e.reason);
    changes.push(give_reason, [stored.into(), e.batch.into(), e.number.into()]);
}

fn results(sql: &'static str, batch: BatchId, from: u32, results: &[OwnText], changes: &mut Changes) {
    for (number, result) in (u64::from(from)..).zip(results) {
        changes.push(sql, [Value::Text(result.0.clone()), batch.into(), number.into()]);
    }
}
