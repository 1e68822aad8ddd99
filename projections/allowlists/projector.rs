//! What events change in allowlists.

use rollcall_schemas::{Event, allowlist};

use super::queries;
use crate::changes::sequence;
use crate::{Changes, Entry, Inconsistent, Projection, statements};

statements! {
    allow = "INSERT INTO allowlists_v1 (owner, target, sequence) VALUES ($1, $2, $3)
        ON CONFLICT (owner, target) DO UPDATE SET sequence = excluded.sequence";
    disallow = "DELETE FROM allowlists_v1 WHERE owner = $1 AND target = $2";
    empty = "DELETE FROM allowlists_v1 WHERE owner = $1";
    enable = "INSERT INTO allowlists_enabled_v1 (owner) VALUES ($1) ON CONFLICT (owner) DO NOTHING";
    disable = "DELETE FROM allowlists_enabled_v1 WHERE owner = $1";
}

/// The read model.
pub struct Allowlists;

impl Projection for Allowlists {
    fn name(&self) -> &'static str {
        "allowlists"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["allowlists_v1", "allowlists_enabled_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::Allowlist(event) => project_allowlist(entry, event, changes)?,
            Event::App(_)
            | Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Erasure(_)
            | Event::Access(_)
            | Event::DataRequest(_) => {}
        }
        Ok(())
    }
}

fn project_allowlist(entry: &Entry<'_>, event: &allowlist::Event, changes: &mut Changes) -> Result<(), Inconsistent> {
    match event {
        allowlist::Event::Allowed(e) => {
            for (index, target) in e.targets.iter().enumerate() {
                let sequence = sequence(entry.recorded.position, index)?;
                changes.push(allow, [e.subject.into(), (*target).into(), sequence]);
            }
        }
        allowlist::Event::Disallowed(e) => {
            for target in &e.targets {
                changes.push(disallow, [e.subject.into(), (*target).into()]);
            }
        }
        allowlist::Event::Emptied(e) => {
            changes.push(empty, [e.subject.into()]);
            changes.push(disable, [e.subject.into()]);
        }
        allowlist::Event::Enabled(e) => {
            changes.push(enable, [e.subject.into()]);
        }
        allowlist::Event::Disabled(e) => {
            changes.push(disable, [e.subject.into()]);
        }
    }
    Ok(())
}
