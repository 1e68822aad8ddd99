//! What events change among friends.

use chrono::Duration;
use rollcall_schemas::friendship;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::RequestState;

use super::queries::{self, REMARK};
use crate::{Changes, Entry, Value, projection, statements};

/// How long a request is shown after it ended.
const ENDED_FOR: Duration = Duration::days(90);

statements! {
    /// Requests that ended long ago. One event adds at most one request and deletes several, so that the old ones become
    /// fewer, and none of them costs one event much.
    delete_old = "DELETE FROM friend_graph_requests_v3 WHERE requested_position IN
            (SELECT requested_position FROM friend_graph_requests_v3 WHERE ended_at IS NOT NULL AND ended_at <= $1
                ORDER BY ended_at, requested_position LIMIT 8)";
    ask = "INSERT INTO friend_graph_requests_v3
            (requested_position, app, asking, asked, requested_at, expires_at, state, message)
        VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7)";
    /// That a request lapsed was not an event at first: what the two did next shows it.
    lapse = "UPDATE friend_graph_requests_v3 SET state = 'expired', ended_at = expires_at
        WHERE state = 'pending' AND expires_at <= $1 AND (asking = $2 AND asked = $3 OR asking = $3 AND asked = $2)";
    end_request = "UPDATE friend_graph_requests_v3 SET state = $1, ended_at = $2
        WHERE state = 'pending' AND (asking = $3 AND asked = $4 OR asking = $4 AND asked = $3)";
    delete_pending = "DELETE FROM friend_graph_requests_v3
        WHERE state = 'pending' AND (asking = $1 AND asked = $2 OR asking = $2 AND asked = $1)";
    delete_sent = "DELETE FROM friend_graph_requests_v3 WHERE asking = $1";
    delete_received = "DELETE FROM friend_graph_requests_v3 WHERE asked = $1";
    befriend = "INSERT INTO friend_graph_v3 (owner, friend, befriended_at, befriended_position)
        VALUES ($1, $2, $3, $4), ($2, $1, $3, $4)";
    end_friendship = "DELETE FROM friend_graph_v3
        WHERE (owner = $1 AND friend = $2) OR (owner = $2 AND friend = $1)";
    end_descriptions = "DELETE FROM friend_graph_descriptions_v3
        WHERE (owner = $1 AND about = $2) OR (owner = $2 AND about = $1)";
    describe = "INSERT INTO friend_graph_descriptions_v3 (owner, about, field, content) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner, about, field) DO UPDATE SET content = excluded.content";
    clear_description = "DELETE FROM friend_graph_descriptions_v3 WHERE owner = $1 AND about = $2 AND field = $3";
    scrub_descriptions = "DELETE FROM friend_graph_descriptions_v3 WHERE about = $1";
    scrub_messages = "UPDATE friend_graph_requests_v3 SET message = NULL WHERE asking = $1";
}

projection! {
    /// Friends, requests with how they ended, and what users wrote about their friends.
    FriendGraph: "friend_graph" version 3,
        tables ["friend_graph_v3", "friend_graph_requests_v3", "friend_graph_descriptions_v3"],
        remains queries::REMAINS;
    reads(entry, changes) {
        friendship::Requested(e) => request(e, entry, changes),
        friendship::Accepted(e) => end(RequestState::Accepted, entry.at(), [e.by, e.other], changes),
        friendship::Refused(e) => end(RequestState::Refused, entry.at(), [e.by, e.other], changes),
        friendship::Cancelled(e) => end(RequestState::Cancelled, entry.at(), [e.by, e.other], changes),
        friendship::Expired(e) => end(RequestState::Expired, e.expires_at.into(), [e.from, e.to], changes),
        friendship::Befriended(e) => {
            // An acceptance was not an event of its own at first.
            changes.push(lapse, [entry.at(), e.from.into(), e.to.into()]);
            end(RequestState::Accepted, entry.at(), [e.from, e.to], changes);
            changes.push(befriend, [e.from.into(), e.to.into(), entry.at(), entry.position()]);
        },
        friendship::Ended(e) => {
            for end in [end_friendship, delete_pending, end_descriptions] {
                changes.push(end, [e.by.into(), e.other.into()]);
            }
        },
        friendship::Described(e) => set_description(e, entry, changes),
        erasure::RelationsEnded(e) => {
            changes.push(delete_sent, [e.subject.into()]);
            changes.push(delete_received, [e.subject.into()]);
        },
        // From the fence on, not only once the keys are destroyed: that may take a while.
        erasure::Begun(e) => scrub(e.subject, changes),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Profile) { scrub(e.subject, changes) },
    }
}

fn request(e: &friendship::Requested, entry: &Entry<'_>, changes: &mut Changes) {
    let message = e.text.as_ref().and_then(|text| entry.recorded.stored("text", text));
    let (from, to, expires_at) = (e.from.into(), e.to.into(), e.expires_at.into());
    changes.push(delete_old, [Value::from(entry.recorded.recorded_at - ENDED_FOR)]);
    changes.push(lapse, [entry.at(), e.from.into(), e.to.into()]);
    changes.push(ask, [entry.position(), entry.app(), from, to, entry.at(), expires_at, message.into()]);
}

fn end(state: RequestState, ended_at: Value, [one, other]: [SubjectRef; 2], changes: &mut Changes) {
    changes.push(end_request, [state.as_str().into(), ended_at, one.into(), other.into()]);
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
