//! What events change in the ledger.

use rollcall_schemas::{Event, erasure};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements, words};

statements! {
    request = "INSERT INTO erasure_ledger_v1
            (erasure, app, subject, scope, operation, requested_position, requested_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    end_relations = "UPDATE erasure_ledger_v1 SET relations_ended_at = $1, friendships_ended = $2 WHERE erasure = $3";
    scrub = "UPDATE erasure_ledger_v1 SET scrubbed_at = $1, keys_destroyed = $2, generation_before = $3,
        generation_after = $4, events_detached = $5 WHERE erasure = $6";
    finish = "UPDATE erasure_ledger_v1 SET finished_at = $1 WHERE erasure = $2";
}

/// The read model.
pub struct ErasureLedger;

impl Projection for ErasureLedger {
    fn name(&self) -> &'static str {
        "erasure_ledger"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["erasure_ledger_v1"]
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
            Event::App(_)
            | Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_) => {}
        }
        Ok(())
    }
}

fn project_erasure(entry: &Entry<'_>, event: &erasure::Event, changes: &mut Changes) {
    let recorded = entry.recorded;
    let app = || Value::from(&entry.recorded.metadata.app);
    match event {
        erasure::Event::Requested(e) => {
            let (position, at) = (recorded.position.into(), recorded.recorded_at.into());
            changes.push(
                request,
                [
                    e.erasure.into(),
                    app(),
                    e.subject.into(),
                    words::scope(e.scope).into(),
                    e.operation.0.as_str().into(),
                    position,
                    at,
                ],
            );
        }
        erasure::Event::RelationsEnded(e) => {
            changes
                .push_must_change(end_relations, [recorded.recorded_at.into(), e.friendships.into(), e.erasure.into()]);
        }
        erasure::Event::Scrubbed(e) => {
            let generations = (e.generation_before.into(), e.generation_after.into());
            changes.push_must_change(
                scrub,
                [
                    recorded.recorded_at.into(),
                    e.keys_destroyed.into(),
                    generations.0,
                    generations.1,
                    e.events_detached.into(),
                    e.erasure.into(),
                ],
            );
        }
        erasure::Event::Finished(e) => {
            changes.push_must_change(finish, [recorded.recorded_at.into(), e.erasure.into()]);
        }
    }
}
