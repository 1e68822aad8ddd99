//! What events add to the trail: a row for each subject they concern.

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    trace = "INSERT INTO audit_trail_v2 (subject, position) VALUES ($1, $2)";
}

projection! {
    /// Every event that concerns a subject.
    AuditTrail: "audit_trail" version 2, tables ["audit_trail_v2"];
    reads every(entry, changes) => record(entry, changes);
}

fn record(entry: &Entry<'_>, changes: &mut Changes) {
    let (subject, other) = entry.recorded.event.about();
    for concerned in subject.into_iter().chain(other.filter(|other| Some(*other) != subject)) {
        changes.push(trace, [concerned.into(), entry.position()]);
    }
}
