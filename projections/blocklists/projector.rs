//! What events change in blocklists.

use rollcall_schemas::{Event, blocklist};

use super::queries;
use crate::changes::sequence;
use crate::{Changes, Entry, Inconsistent, Projection, statements};

statements! {
    block = "INSERT INTO blocklists_v1 (owner, target, sequence) VALUES ($1, $2, $3)
        ON CONFLICT (owner, target) DO UPDATE SET sequence = excluded.sequence";
    unblock = "DELETE FROM blocklists_v1 WHERE owner = $1 AND target = $2";
    empty = "DELETE FROM blocklists_v1 WHERE owner = $1";
}

/// The read model.
pub struct Blocklists;

impl Projection for Blocklists {
    fn name(&self) -> &'static str {
        "blocklists"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["blocklists_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::Blocklist(event) => project_blocklist(entry, event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Access(_)
            | Event::DataRequest(_)
            | Event::Erasure(_) => Ok(()),
        }
    }
}

fn project_blocklist(entry: &Entry<'_>, event: &blocklist::Event, changes: &mut Changes) -> Result<(), Inconsistent> {
    match event {
        blocklist::Event::Blocked(e) => {
            for (index, target) in e.targets.iter().enumerate() {
                let sequence = sequence(entry.recorded.position, index)?;
                changes.push(block, [e.subject.into(), (*target).into(), sequence]);
            }
        }
        blocklist::Event::Unblocked(e) => {
            for target in &e.targets {
                changes.push(unblock, [e.subject.into(), (*target).into()]);
            }
        }
        blocklist::Event::Emptied(e) => changes.push(empty, [e.subject.into()]),
    }
    Ok(())
}
