//! What events change in remarks.

use rollcall_schemas::personal::Class;
use rollcall_schemas::remarks;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    /// A remark that is replaced keeps its place in the list.
    make_remark = "INSERT INTO remarks_v2 (owner, target, remarked_position, remark) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner, target) DO UPDATE SET remark = excluded.remark";
    take_back = "DELETE FROM remarks_v2 WHERE owner = $1 AND target = $2";
    empty = "DELETE FROM remarks_v2 WHERE owner = $1";
    scrub_target = "DELETE FROM remarks_v2 WHERE target = $1";
}

projection! {
    /// What users call others.
    Remarks: "remarks" version 2, tables ["remarks_v2"], remains queries::REMAINS;
    reads(entry, changes) {
        remarks::Remarked(e) => set_remark(e, entry, changes),
        remarks::Unremarked(e) => changes.push(take_back, [e.owner.into(), e.target.into()]),
        remarks::Emptied(e) => changes.push(empty, [e.owner.into()]),
        // From the fence on, not only once the keys are destroyed: that may take a while.
        erasure::Begun(e) => changes.push(scrub_target, [e.subject.into()]),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Profile) {
            changes.push(scrub_target, [e.subject.into()]);
        },
    }
}

fn set_remark(e: &remarks::Remarked, entry: &Entry<'_>, changes: &mut Changes) {
    let (owner, target) = (e.owner.into(), e.target.into());
    match entry.recorded.stored("remark", &e.remark) {
        Some(remark) => changes.push(make_remark, [owner, target, entry.position(), remark.into()]),
        None => changes.push(take_back, [owner, target]),
    }
}
