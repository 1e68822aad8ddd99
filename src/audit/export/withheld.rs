//! What a person is not given of the events that concern it, and why (GDPR, Article 15(4)).

use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_schemas::Event;
use rollcall_schemas::ids::SubjectRef;
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
        what: "in which groups of friends other users keep this person",
        why: "how a user sorts friends is private to that user and part of that user's own data",
        ground: GROUND,
        events: &["friend_groups.added", "friend_groups.taken_out"],
    },
    Withheld {
        what: "the text of friend requests that other users sent to this person",
        why: "it is personal data of the sender; the export says that there is a text, not which",
        ground: GROUND,
        events: &["friendship.requested"],
    },
    Withheld {
        what: "which other users follow whether this person is online, or its profile",
        why: "whom somebody follows is that user's own data",
        ground: GROUND,
        events: &[],
    },
];

/// The events that both people they name take part in. Each is given the event, without the personal values of the other.
const SHARED: &[&str] = &[
    "friendship.requested",
    "friendship.accepted",
    "friendship.refused",
    "friendship.cancelled",
    "friendship.expired",
    "friendship.befriended",
    "friendship.ended",
];

/// The only person who is given an event: the first one it names. `None`: everybody it concerns is given it.
pub(super) fn owner(event: &Event) -> Option<SubjectRef> {
    // An event that nobody decided on is withheld from the others it names: to tell too little can be made good.
    if SHARED.contains(&event.declaration().name) { None } else { event.about().0 }
}

/// The page for people: what the files are, and what is left out.
pub(super) fn page(made_at: DateTime<Utc>) -> String {
    let made_at = made_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let withheld: String =
        WITHHELD.iter().map(|entry| format!("<li>{}: {} ({}).</li>\n", entry.what, entry.why, entry.ground)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Your data</title></head>\n<body>\n\
         <h1>Your data</h1>\n<p>Made at {made_at}.</p>\n<ul>\n\
         <li><code>user.json</code>: you as you are now, with your profile, settings, lists and groups of friends.</li>\n\
         <li><code>friends.json</code>: your friends.</li>\n\
         <li><code>connections.json</code>: when you were last connected, and whom you follow.</li>\n\
         <li><code>history.jsonl</code>: everything that happened, one event in each line, the earliest first.</li>\n\
         <li><code>schema.json</code>: the form of these files.</li>\n</ul>\n\
         <h2>What is left out, and why</h2>\n<ul>\n{withheld}</ul>\n\
         <p>It is left out of every export, whether there is any of it or not.</p>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use rollcall_schemas::friendship::{Befriended, Event as Friendship};
    use rollcall_schemas::remarks::{Event as Remarks, Unremarked};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn for_every_event_that_names_others_it_is_decided_whether_they_are_given_it() {
        let withheld = WITHHELD.iter().flat_map(|entry| entry.events);
        let decided: BTreeSet<_> = withheld.chain(SHARED).copied().collect();
        let names_others = Event::declarations().filter(|event| event.names_others());
        let to_decide: BTreeSet<_> = names_others.map(|event| event.name).collect();
        let missing: Vec<_> = to_decide.difference(&decided).collect();
        assert!(
            missing.is_empty(),
            "name these in SHARED, or in WITHHELD with the reason; then only the first person an event names is given it: \
             {missing:?}"
        );
        let unknown: Vec<_> = decided.difference(&to_decide).collect();
        assert!(unknown.is_empty(), "no published event of this name names others: {unknown:?}");
    }

    #[test]
    fn an_event_is_given_to_the_first_person_it_names_unless_both_take_part() {
        let (ada, bob) = (SubjectRef(Uuid::from_u128(1)), SubjectRef(Uuid::from_u128(2)));
        let unremarked = Remarks::from(Unremarked { owner: ada, target: bob });
        assert_eq!(owner(&unremarked.into()), Some(ada));
        let befriended = Friendship::from(Befriended { from: ada, to: bob });
        assert_eq!(owner(&befriended.into()), None);
    }
}
