//! Whom an event is about: the subject whose doing or state it is, and the one other it concerns.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::{
    Event, access, allowlist, ban, blocklist, data_request, erasure, friendship, remarks, roster, token, user,
};

type About = (Option<SubjectRef>, Option<SubjectRef>);

/// The subject of an event and the one other it concerns.
pub(super) fn about(event: &Event) -> About {
    match event {
        Event::App(_) => (None, None),
        Event::Roster(event) => about_roster(event),
        Event::User(event) => about_user(event),
        Event::Token(event) => about_token(event),
        Event::Ban(event) => about_ban(event),
        Event::Blocklist(event) => about_blocklist(event),
        Event::Allowlist(event) => about_allowlist(event),
        Event::Friendship(event) => about_friendship(event),
        Event::Remarks(event) => about_remarks(event),
        Event::Erasure(event) => about_erasure(event),
        Event::Access(access::Event::Read(e)) => (Some(e.subject), None),
        Event::DataRequest(event) => about_data_request(event),
    }
}

/// The other, where the event names just one; a list of many is in the event itself.
fn only(targets: &[SubjectRef]) -> Option<SubjectRef> {
    match targets {
        [target] => Some(*target),
        _ => None,
    }
}

fn about_roster(event: &roster::Event) -> About {
    match event {
        roster::Event::Seated(e) => (Some(e.subject), None),
        roster::Event::Vacated(e) => (Some(e.subject), None),
    }
}

fn about_user(event: &user::Event) -> About {
    match event {
        user::Event::Named(e) => (Some(e.subject), None),
        user::Event::Registered(e) => (Some(e.subject), None),
        user::Event::Reregistered(e) => (Some(e.subject), None),
        user::Event::Modified(e) => (Some(e.subject), None),
        user::Event::ProfileSet(e) => (Some(e.subject), None),
        user::Event::ProfileCleaned(e) => (Some(e.subject), None),
        user::Event::Tagged(e) => (Some(e.subject), None),
        user::Event::DirectMessagesMuted(e) => (Some(e.subject), None),
        user::Event::DirectMessagesUnmuted(e) => (Some(e.subject), None),
        user::Event::PushQuieted(e) => (Some(e.subject), None),
        user::Event::PushUnquieted(e) => (Some(e.subject), None),
        user::Event::FriendPermissionSet(e) => (Some(e.subject), None),
        user::Event::Restricted(e) => (Some(e.subject), None),
        user::Event::Restored(e) => (Some(e.subject), None),
        user::Event::HoldPlaced(e) => (Some(e.subject), None),
        user::Event::HoldReleased(e) => (Some(e.subject), None),
        user::Event::Deactivated(e) => (Some(e.subject), None),
        user::Event::Reactivated(e) => (Some(e.subject), None),
        user::Event::Forgotten(e) => (Some(e.subject), None),
    }
}

fn about_token(event: &token::Event) -> About {
    match event {
        token::Event::Issued(e) => (Some(e.subject), None),
        token::Event::InvalidatedBefore(e) => (Some(e.subject), None),
    }
}

fn about_ban(event: &ban::Event) -> About {
    match event {
        ban::Event::Imposed(e) => (Some(e.subject), None),
        ban::Event::Replaced(e) => (Some(e.subject), None),
        ban::Event::Lifted(e) => (Some(e.subject), None),
        ban::Event::Expired(e) => (Some(e.subject), None),
    }
}

fn about_blocklist(event: &blocklist::Event) -> About {
    match event {
        blocklist::Event::Blocked(e) => (Some(e.subject), only(&e.targets)),
        blocklist::Event::Unblocked(e) => (Some(e.subject), only(&e.targets)),
        blocklist::Event::Emptied(e) => (Some(e.subject), None),
    }
}

fn about_allowlist(event: &allowlist::Event) -> About {
    match event {
        allowlist::Event::Allowed(e) => (Some(e.subject), only(&e.targets)),
        allowlist::Event::Disallowed(e) => (Some(e.subject), only(&e.targets)),
        allowlist::Event::Emptied(e) => (Some(e.subject), None),
        allowlist::Event::Enabled(e) => (Some(e.subject), None),
        allowlist::Event::Disabled(e) => (Some(e.subject), None),
    }
}

fn about_friendship(event: &friendship::Event) -> About {
    match event {
        friendship::Event::Requested(e) => (Some(e.from), Some(e.to)),
        friendship::Event::Befriended(e) => (Some(e.from), Some(e.to)),
        friendship::Event::Ended(e) => (Some(e.by), Some(e.other)),
        friendship::Event::Described(e) => (Some(e.owner), Some(e.about)),
    }
}

fn about_remarks(event: &remarks::Event) -> About {
    match event {
        remarks::Event::Remarked(e) => (Some(e.owner), Some(e.target)),
        remarks::Event::Unremarked(e) => (Some(e.owner), Some(e.target)),
        remarks::Event::Emptied(e) => (Some(e.owner), None),
    }
}

fn about_data_request(event: &data_request::Event) -> About {
    match event {
        data_request::Event::Received(e) => (Some(e.subject), None),
        data_request::Event::Extended(e) => (Some(e.subject), None),
        data_request::Event::Answered(e) => (Some(e.subject), None),
        data_request::Event::Refused(e) => (Some(e.subject), None),
    }
}

fn about_erasure(event: &erasure::Event) -> About {
    match event {
        erasure::Event::Requested(e) => (Some(e.subject), None),
        erasure::Event::RelationsEnded(e) => (Some(e.subject), None),
        erasure::Event::Scrubbed(e) => (Some(e.subject), None),
        erasure::Event::Cancelled(e) => (Some(e.subject), None),
        erasure::Event::Begun(e) => (Some(e.subject), None),
        erasure::Event::ReadModelsScrubbed(e) => (Some(e.subject), None),
        erasure::Event::Verified(e) => (Some(e.subject), None),
        erasure::Event::ReportIssued(e) => (Some(e.subject), None),
        erasure::Event::Finalised(e) => (Some(e.subject), None),
        erasure::Event::Notified(e) => (Some(e.subject), None),
    }
}
