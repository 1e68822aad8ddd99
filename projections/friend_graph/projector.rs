//! What events change among friends.

use rollcall_schemas::friendship;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;

use super::queries::{self, REMARK};
use crate::{Changes, Entry, projection, statements};

statements! {
    /// A request that lapsed without an answer may stand where a new one is made.
    ask = "INSERT INTO friend_graph_requests_v1
            (asking, asked, requested_at, requested_position, expires_at, message) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (asking, asked) DO UPDATE SET requested_at = excluded.requested_at,
            requested_position = excluded.requested_position, expires_at = excluded.expires_at,
            message = excluded.message";
    end_requests = "DELETE FROM friend_graph_requests_v1
        WHERE (asking = $1 AND asked = $2) OR (asking = $2 AND asked = $1)";
    befriend = "INSERT INTO friend_graph_v1 (owner, friend, befriended_at, befriended_position)
        VALUES ($1, $2, $3, $4), ($2, $1, $3, $4)";
    end_friendship = "DELETE FROM friend_graph_v1
        WHERE (owner = $1 AND friend = $2) OR (owner = $2 AND friend = $1)";
    end_descriptions = "DELETE FROM friend_graph_descriptions_v1
        WHERE (owner = $1 AND about = $2) OR (owner = $2 AND about = $1)";
    describe = "INSERT INTO friend_graph_descriptions_v1 (owner, about, field, content) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner, about, field) DO UPDATE SET content = excluded.content";
    clear_description = "DELETE FROM friend_graph_descriptions_v1 WHERE owner = $1 AND about = $2 AND field = $3";
    scrub_descriptions = "DELETE FROM friend_graph_descriptions_v1 WHERE about = $1";
    scrub_messages = "UPDATE friend_graph_requests_v1 SET message = NULL WHERE asking = $1";
}

projection! {
    /// Friends, pending requests, and what users wrote about their friends.
    FriendGraph: "friend_graph" version 1,
        tables ["friend_graph_v1", "friend_graph_requests_v1", "friend_graph_descriptions_v1"],
        remains queries::REMAINS;
    reads(entry, changes) {
        friendship::Requested(e) => request(e, entry, changes),
        friendship::Befriended(e) => {
            changes.push(end_requests, [e.from.into(), e.to.into()]);
            changes.push(befriend, [e.from.into(), e.to.into(), entry.at(), entry.position()]);
        },
        friendship::Ended(e) => {
            for end in [end_friendship, end_requests, end_descriptions] {
                changes.push(end, [e.by.into(), e.other.into()]);
            }
        },
        friendship::Described(e) => set_description(e, entry, changes),
        // From the fence on, not only once the keys are destroyed: that may take a while.
        erasure::Begun(e) => scrub(e.subject, changes),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Profile) { scrub(e.subject, changes) },
    }
}

fn request(e: &friendship::Requested, entry: &Entry<'_>, changes: &mut Changes) {
    let message = e.text.as_ref().and_then(|text| entry.recorded.stored("text", text));
    let (from, to, expires_at) = (e.from.into(), e.to.into(), e.expires_at.into());
    changes.push(ask, [from, to, entry.at(), entry.position(), expires_at, message.into()]);
}

fn set_description(e: &friendship::Described, entry: &Entry<'_>, changes: &mut Changes) {
    let recorded = entry.recorded;
    let mut set = |field: &str, content: Option<Vec<u8>>| {
        let (owner, about) = (e.owner.into(), e.about.into());
        match content {
            Some(content) => changes.push(describe, [owner, about, field.into(), content.into()]),
            // Cleared, or its ciphertext is gone: it was erased.
            None => changes.push(clear_description, [owner, about, field.into()]),
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

fn scrub(subject: SubjectRef, changes: &mut Changes) {
    changes.push(scrub_descriptions, [subject.into()]);
    changes.push(scrub_messages, [subject.into()]);
}
