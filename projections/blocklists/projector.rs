//! What events change in blocklists.

use rollcall_schemas::blocklist;

use super::queries;
use crate::changes::sequence;
use crate::{Changes, Entry, Inconsistent, projection, statements};

statements! {
    block = "INSERT INTO blocklists_v2 (owner, target, sequence) VALUES ($1, $2, $3)
        ON CONFLICT (owner, target) DO UPDATE SET sequence = excluded.sequence";
    unblock = "DELETE FROM blocklists_v2 WHERE owner = $1 AND target = $2";
    empty = "DELETE FROM blocklists_v2 WHERE owner = $1";
}

projection! {
    /// Whom each user blocks.
    Blocklists: "blocklists" version 2, tables ["blocklists_v2"];
    reads(entry, changes) {
        blocklist::Blocked(e) => block_all(e, entry, changes)?,
        blocklist::Unblocked(e) => e.targets.iter().for_each(|t| changes.push(unblock, [e.subject.into(), (*t).into()])),
        blocklist::Emptied(e) => changes.push(empty, [e.subject.into()]),
    }
}

fn block_all(e: &blocklist::Blocked, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
    for (index, target) in e.targets.iter().enumerate() {
        let sequence = sequence(entry.recorded.position, index)?;
        changes.push(block, [e.subject.into(), (*target).into(), sequence]);
    }
    Ok(())
}
