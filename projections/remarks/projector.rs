//! What events change in remarks.

use rollcall_schemas::personal::Class;
use rollcall_schemas::{Event, erasure, remarks};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, statements};

statements! {
    /// A remark that is replaced keeps its place in the list.
    make_remark = "INSERT INTO remarks_v1 (owner, target, remarked_position, remark) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner, target) DO UPDATE SET remark = excluded.remark";
    take_back = "DELETE FROM remarks_v1 WHERE owner = $1 AND target = $2";
    empty = "DELETE FROM remarks_v1 WHERE owner = $1";
    scrub_target = "DELETE FROM remarks_v1 WHERE target = $1";
}

/// The read model.
pub struct Remarks;

impl Projection for Remarks {
    fn name(&self) -> &'static str {
        "remarks"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["remarks_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn remains(&self) -> &'static [(Class, &'static str)] {
        queries::REMAINS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::Remarks(event) => project_remarks(entry, event, changes),
            Event::Erasure(event) => project_erasure(event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Access(_)
            | Event::DataRequest(_) => {}
        }
        Ok(())
    }
}

fn project_remarks(entry: &Entry<'_>, event: &remarks::Event, changes: &mut Changes) {
    let recorded = entry.recorded;
    match event {
        remarks::Event::Remarked(e) => match recorded.stored("remark", &e.remark) {
            Some(remark) => {
                changes.push(make_remark, [e.owner.into(), e.target.into(), recorded.position.into(), remark.into()])
            }
            None => changes.push(take_back, [e.owner.into(), e.target.into()]),
        },
        remarks::Event::Unremarked(e) => {
            changes.push(take_back, [e.owner.into(), e.target.into()]);
        }
        remarks::Event::Emptied(e) => {
            changes.push(empty, [e.owner.into()]);
        }
    }
}

fn project_erasure(event: &erasure::Event, changes: &mut Changes) {
    match event {
        // From the fence on, not only once the keys are destroyed: that may take a while.
        erasure::Event::Begun(e) => {
            changes.push(scrub_target, [e.subject.into()]);
        }
        erasure::Event::Scrubbed(e) if e.classes.contains(&Class::Profile) => {
            changes.push(scrub_target, [e.subject.into()]);
        }
        erasure::Event::RelationsEnded(_)
        | erasure::Event::Scrubbed(_)
        | erasure::Event::Requested(_)
        | erasure::Event::Cancelled(_)
        | erasure::Event::ReadModelsScrubbed(_)
        | erasure::Event::Verified(_)
        | erasure::Event::ReportIssued(_)
        | erasure::Event::Finalised(_)
        | erasure::Event::Notified(_) => {}
    }
}
