//! What events change in allowlists.

use rollcall_schemas::allowlist;

use super::queries;
use crate::changes::sequence;
use crate::{Changes, Entry, Inconsistent, projection, statements};

statements! {
    allow = "INSERT INTO allowlists_v3 (owner, target, sequence) VALUES ($1, $2, $3)
        ON CONFLICT (owner, target) DO UPDATE SET sequence = excluded.sequence";
    disallow = "DELETE FROM allowlists_v3 WHERE owner = $1 AND target = $2";
    empty = "DELETE FROM allowlists_v3 WHERE owner = $1";
    enable = "INSERT INTO allowlists_enabled_v3 (owner, enabled_position) VALUES ($1, $2)
        ON CONFLICT (owner) DO NOTHING";
    disable = "DELETE FROM allowlists_enabled_v3 WHERE owner = $1";
}

projection! {
    /// Whom each user allows.
    Allowlists: "allowlists" version 3, tables ["allowlists_v3", "allowlists_enabled_v3"];
    reads(entry, changes) {
        allowlist::Allowed(e) => allow_all(e, entry, changes)?,
        allowlist::Disallowed(e) => e.targets.iter().for_each(|t| changes.push(disallow, [e.subject.into(), (*t).into()])),
        allowlist::Emptied(e) => {
            changes.push(empty, [e.subject.into()]);
            changes.push(disable, [e.subject.into()]);
        },
        allowlist::Enabled(e) => changes.push(enable, [e.subject.into(), entry.position()]),
        allowlist::Disabled(e) => changes.push(disable, [e.subject.into()]),
    }
}

fn allow_all(e: &allowlist::Allowed, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
    for (index, target) in e.targets.iter().enumerate() {
        let sequence = sequence(entry.recorded.position, index)?;
        changes.push(allow, [e.subject.into(), (*target).into(), sequence]);
    }
    Ok(())
}
