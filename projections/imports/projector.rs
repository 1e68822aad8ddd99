//! What events change about imports.

use rollcall_schemas::ids::ImportId;
use rollcall_schemas::import::{Kind, OnConflict, Progressed};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Value, projection, statements};

statements! {
    begin = "INSERT INTO imports_v1 (import, app, kind, on_conflict, length, bytes, done, skipped, refused, is_ended,
            actor, begun_at, begun_position, progressed_at)
        VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, 0, $6, $7, $8, $9)";
    progress = "UPDATE imports_v1 SET done = done + $1, skipped = skipped + $2, refused = refused + $3, bytes = $4,
            progressed_at = $5
        WHERE import = $6";
    refuse = "INSERT INTO imports_refused_v1 (import, number, reason) VALUES ($1, $2, $3)";
    end = "UPDATE imports_v1 SET is_ended = 1, progressed_at = $1 WHERE import = $2";
}

projection! {
    /// The imports.
    Imports: "imports" version 1, tables ["imports_v1", "imports_refused_v1"];
    reads(entry, changes) {
        import::Begun(e) => add(e.import, (e.kind.into(), e.on_conflict, e.length), entry, changes)?,
        import::BegunV2(e) => add(e.import, (e.kind, e.on_conflict, e.length), entry, changes)?,
        import::Progressed(e) => advance(e, entry, changes),
        import::Ended(e) => changes.push_must_change(end, [entry.at(), e.import.into()]),
    }
}

fn add(
    import: ImportId,
    (kind, on_conflict, length): (Kind, OnConflict, Option<u64>),
    entry: &Entry<'_>,
    changes: &mut Changes,
) -> Result<(), Inconsistent> {
    let actor = serde_json::to_string(&entry.recorded.metadata.actor);
    let actor = actor.map_err(|_| Inconsistent("its actor cannot be written"))?;
    changes.push(
        begin,
        [
            import.into(),
            entry.app(),
            kind.as_str().into(),
            on_conflict.as_str().into(),
            length.into(),
            Value::Text(actor),
            entry.at(),
            entry.position(),
            entry.at(),
        ],
    );
    Ok(())
}

fn advance(e: &Progressed, entry: &Entry<'_>, changes: &mut Changes) {
    let refused = e.refused.len() as u64;
    changes.push_must_change(
        progress,
        [e.done.into(), e.skipped.into(), refused.into(), e.bytes.into(), entry.at(), e.import.into()],
    );
    for (number, reason) in e.refused.iter().zip(&e.reasons) {
        changes.push(refuse, [e.import.into(), (*number).into(), Value::Text(reason.0.clone())]);
    }
}
