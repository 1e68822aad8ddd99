//! What a person is not given of the events that concern it, and why (GDPR, Article 15(4)).

use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::{Event, allowlist, blocklist, friendship, remarks};
use serde::Serialize;

/// Something that is left out of every export. Whether there was any of it is not told: that alone would say, for
/// example, that somebody has blocked the person.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Withheld {
    /// What.
    what: &'static str,
    /// Why.
    why: &'static str,
    /// On what ground.
    ground: &'static str,
    /// The names of the events.
    events: &'static [&'static str],
}

const GROUND: &str = "GDPR, Article 15(4)";

/// All that is left out.
pub(super) const WITHHELD: &[Withheld] = &[
    Withheld {
        what: "whether other users have this person on a blocklist or an allowlist of theirs",
        why: "each user's lists are that user's own; telling who blocks whom would put the other at risk",
        ground: GROUND,
        events: &["blocklist.blocked", "blocklist.unblocked", "allowlist.allowed", "allowlist.disallowed"],
    },
    Withheld {
        what: "remarks and descriptions that other users keep about this person for themselves",
        why: "they are private notes of the other user and part of that user's own data",
        ground: GROUND,
        events: &["remarks.remarked", "remarks.unremarked", "friendship.described"],
    },
    Withheld {
        what: "the text of friend requests that other users sent to this person",
        why: "it is personal data of the sender; the export says that there is a text, not which",
        ground: GROUND,
        events: &["friendship.requested"],
    },
];

/// Whose own list an event is about; `None`: it is about no list, or about one of two people.
pub(super) fn owner(event: &Event) -> Option<SubjectRef> {
    let owner = match event {
        Event::Blocklist(blocklist::Event::Blocked(e)) => e.subject,
        Event::Blocklist(blocklist::Event::Unblocked(e)) => e.subject,
        Event::Blocklist(blocklist::Event::Emptied(e)) => e.subject,
        Event::Allowlist(allowlist::Event::Allowed(e)) => e.subject,
        Event::Allowlist(allowlist::Event::Disallowed(e)) => e.subject,
        Event::Allowlist(allowlist::Event::Emptied(e)) => e.subject,
        Event::Allowlist(allowlist::Event::Enabled(e)) => e.subject,
        Event::Allowlist(allowlist::Event::Disabled(e)) => e.subject,
        Event::Remarks(remarks::Event::Remarked(e)) => e.owner,
        Event::Remarks(remarks::Event::Unremarked(e)) => e.owner,
        Event::Remarks(remarks::Event::Emptied(e)) => e.owner,
        Event::Friendship(friendship::Event::Described(e)) => e.owner,
        // Both sides of a friendship take part in these.
        Event::Friendship(
            friendship::Event::Requested(_) | friendship::Event::Befriended(_) | friendship::Event::Ended(_),
        ) => return None,
        // These are about one person only.
        Event::App(_)
        | Event::Roster(_)
        | Event::User(_)
        | Event::Token(_)
        | Event::Ban(_)
        | Event::Erasure(_)
        | Event::Access(_)
        | Event::DataRequest(_) => return None,
    };
    Some(owner)
}

/// The page for people: what the files are, and what is left out.
pub(super) fn page(made_at: DateTime<Utc>) -> String {
    let made_at = made_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let withheld: String =
        WITHHELD.iter().map(|entry| format!("<li>{}: {} ({}).</li>\n", entry.what, entry.why, entry.ground)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Your data</title></head>\n<body>\n\
         <h1>Your data</h1>\n<p>Made at {made_at}.</p>\n<ul>\n\
         <li><code>user.json</code>: you as you are now, with your profile, settings and lists.</li>\n\
         <li><code>friends.json</code>: your friends.</li>\n\
         <li><code>history.jsonl</code>: everything that happened, one event in each line, the earliest first.</li>\n\
         <li><code>schema.json</code>: the form of these files.</li>\n</ul>\n\
         <h2>What is left out, and why</h2>\n<ul>\n{withheld}</ul>\n\
         <p>It is left out of every export, whether there is any of it or not.</p>\n</body>\n</html>\n"
    )
}
