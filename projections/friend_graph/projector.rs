//! What events change among friends.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use rollcall_schemas::{Event, erasure, friendship};

use super::queries::{self, REMARK};
use crate::{Changes, Entry, Inconsistent, Projection, statements};

statements! {
    /// Requests that had lapsed when an event was recorded. One event adds at most one request and deletes several, so
    /// that the lapsed ones become fewer, and none of them costs one event much.
    delete_lapsed = "DELETE FROM friend_graph_requests_v2 WHERE (asking, asked) IN
            (SELECT asking, asked FROM friend_graph_requests_v2 WHERE expires_at <= $1
                ORDER BY expires_at, asking, asked LIMIT 8)";
    /// A request that lapsed without an answer may stand where a new one is made.
    ask = "INSERT INTO friend_graph_requests_v2
            (asking, asked, requested_at, requested_position, expires_at, message) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (asking, asked) DO UPDATE SET requested_at = excluded.requested_at,
            requested_position = excluded.requested_position, expires_at = excluded.expires_at,
            message = excluded.message";
    end_requests = "DELETE FROM friend_graph_requests_v2
        WHERE (asking = $1 AND asked = $2) OR (asking = $2 AND asked = $1)";
    befriend = "INSERT INTO friend_graph_v2 (owner, friend, befriended_at, befriended_position)
        VALUES ($1, $2, $3, $4), ($2, $1, $3, $4)";
    end_friendship = "DELETE FROM friend_graph_v2
        WHERE (owner = $1 AND friend = $2) OR (owner = $2 AND friend = $1)";
    end_descriptions = "DELETE FROM friend_graph_descriptions_v2
        WHERE (owner = $1 AND about = $2) OR (owner = $2 AND about = $1)";
    describe = "INSERT INTO friend_graph_descriptions_v2 (owner, about, field, content) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner, about, field) DO UPDATE SET content = excluded.content";
    clear_description = "DELETE FROM friend_graph_descriptions_v2 WHERE owner = $1 AND about = $2 AND field = $3";
    scrub_descriptions = "DELETE FROM friend_graph_descriptions_v2 WHERE about = $1";
    scrub_messages = "UPDATE friend_graph_requests_v2 SET message = NULL WHERE asking = $1";
}

/// The read model.
pub struct FriendGraph;

impl Projection for FriendGraph {
    fn name(&self) -> &'static str {
        "friend_graph"
    }
    fn version(&self) -> u32 {
        2
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["friend_graph_v2", "friend_graph_requests_v2", "friend_graph_descriptions_v2"]
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
            Event::Friendship(event) => project_friendship(entry, event, changes),
            Event::Erasure(event) => project_erasure(event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Remarks(_)
            | Event::Access(_)
            | Event::DataRequest(_) => {}
        }
        Ok(())
    }
}

fn project_friendship(entry: &Entry<'_>, event: &friendship::Event, changes: &mut Changes) {
    let recorded = entry.recorded;
    match event {
        friendship::Event::Requested(e) => {
            let message = e.text.as_ref().and_then(|text| recorded.stored("text", text));
            let (at, position) = (recorded.recorded_at.into(), recorded.position.into());
            changes.push(delete_lapsed, [recorded.recorded_at.into()]);
            changes.push(ask, [e.from.into(), e.to.into(), at, position, e.expires_at.into(), message.into()]);
        }
        friendship::Event::Befriended(e) => {
            let (at, position) = (recorded.recorded_at.into(), recorded.position.into());
            changes.push(delete_lapsed, [recorded.recorded_at.into()]);
            changes.push(end_requests, [e.from.into(), e.to.into()]);
            changes.push(befriend, [e.from.into(), e.to.into(), at, position]);
        }
        friendship::Event::Ended(e) => {
            for end in [end_friendship, end_requests, end_descriptions] {
                changes.push(end, [e.by.into(), e.other.into()]);
            }
        }
        friendship::Event::Described(e) => {
            let mut set = |field: &str, content: Option<Vec<u8>>| {
                let key = [e.owner.into(), e.about.into(), field.into()];
                match (content, key) {
                    (Some(content), [owner, about, field]) => {
                        changes.push(describe, [owner, about, field, content.into()])
                    }
                    // Cleared, or its ciphertext is gone: it was erased.
                    (None, key) => changes.push(clear_description, key),
                }
            };
            if let Some(remark) = &e.remark {
                set(REMARK, recorded.stored("remark", remark));
            }
            if e.remark_cleared {
                set(REMARK, None);
            }
            for (field, value) in &e.fields {
                set(&field.0, recorded.stored(&format!("fields.{}", field.0), value));
            }
            for field in &e.cleared {
                set(&field.0, None);
            }
        }
    }
}

fn project_erasure(event: &erasure::Event, changes: &mut Changes) {
    match event {
        // From the fence on, not only once the keys are destroyed: that may take a while.
        erasure::Event::Begun(e) => scrub(e.subject, changes),
        erasure::Event::Scrubbed(e) if e.classes.contains(&Class::Profile) => scrub(e.subject, changes),
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

fn scrub(subject: SubjectRef, changes: &mut Changes) {
    changes.push(scrub_descriptions, [subject.into()]);
    changes.push(scrub_messages, [subject.into()]);
}
