//! Users against whom nothing stands that one look at the read models has to find, for the admission of messages.
//!
//! Most users are not banned, not muted, and block nobody. Who was found to be clear is remembered until an event that may change
//! it is applied, on whichever node it was recorded (`memory.rs`); a denial is never remembered. So whoever asks once the read
//! models hold an event is answered over that event.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;

use crate::eventlog::RawEvent;

/// Users that are remembered of each kind; one takes about 80 bytes.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 17) - 1);

/// What a user is clear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clear {
    /// It may send: it is registered, and not deactivated, banned or muted.
    Sender,
    /// It may receive from anybody whom it does not block: it is not deactivated, and its allowlist is not in force.
    Receiver,
    /// It blocks nobody.
    Blocklist,
}

/// Users that are clear.
pub(super) struct Cleared(Mutex<Known>);

struct Known {
    senders: LruCache<SubjectRef, ()>,
    receivers: LruCache<SubjectRef, ()>,
    blocklists: LruCache<SubjectRef, ()>,
    /// How many events have changed something: what was read before the last of them may be older than it.
    changes: u64,
}

impl Known {
    fn of(&mut self, clear: Clear) -> &mut LruCache<SubjectRef, ()> {
        match clear {
            Clear::Sender => &mut self.senders,
            Clear::Receiver => &mut self.receivers,
            Clear::Blocklist => &mut self.blocklists,
        }
    }
}

impl Default for Cleared {
    fn default() -> Self {
        let empty = || LruCache::new(KNOWN_MAX);
        Self(Mutex::new(Known { senders: empty(), receivers: empty(), blocklists: empty(), changes: 0 }))
    }
}

/// What an event may take from the user of its stream.
fn taken(raw: &RawEvent) -> &'static [Clear] {
    match &*raw.name {
        "user.deactivated" | "user.restricted" | "user.forgotten" => &[Clear::Sender, Clear::Receiver],
        "user.direct_messages_muted" => &[Clear::Sender],
        name if name.starts_with("ban.") => &[Clear::Sender],
        name if name.starts_with("allowlist.") => &[Clear::Receiver],
        "blocklist.blocked" => &[Clear::Blocklist],
        _ => &[],
    }
}

impl Cleared {
    fn known(&self) -> MutexGuard<'_, Known> {
        // It is whole after every statement: a panic elsewhere does not make it wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a sender and a receiver are known to be clear of everything.
    pub(super) fn are_clear(&self, from: &SubjectRef, to: &SubjectRef) -> bool {
        let mut known = self.known();
        known.senders.get(from).is_some() && known.receivers.get(to).is_some() && known.blocklists.get(to).is_some()
    }

    /// Those of the users that are not known to be clear, each once; and what [`Cleared::remember`] is to be given.
    pub(super) fn unknown(&self, clear: Clear, subjects: impl Iterator<Item = SubjectRef>) -> (Vec<SubjectRef>, u64) {
        let mut known = self.known();
        let users = known.of(clear);
        let mut unknown: Vec<_> = subjects.filter(|subject| users.get(subject).is_none()).collect();
        unknown.sort_unstable();
        unknown.dedup();
        (unknown, known.changes)
    }

    /// Remembers users that were found to be clear, unless something has changed since they were asked about.
    pub(super) fn remember(&self, clear: Clear, subjects: impl Iterator<Item = SubjectRef>, changes: u64) {
        let mut known = self.known();
        if known.changes == changes {
            let users = known.of(clear);
            for subject in subjects {
                users.put(subject, ());
            }
        }
    }

    /// Drops what an event that the read models have applied may change.
    pub(super) fn follow(&self, raw: &RawEvent) {
        let taken = taken(raw);
        if !taken.is_empty()
            && let Ok(
                Stream::User(subject) | Stream::Ban(subject) | Stream::Allowlist(subject) | Stream::Blocklist(subject),
            ) = raw.stream.parse()
        {
            let mut known = self.known();
            known.changes += 1;
            for clear in taken {
                known.of(*clear).pop(&subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    const WHO: SubjectRef = SubjectRef(Uuid::from_u128(1));

    fn raw(name: &str, stream: Stream) -> RawEvent {
        RawEvent {
            position: 1,
            stream: stream.to_string().into(),
            revision: 1,
            id: Uuid::nil(),
            name: name.to_owned().into(),
            version: 1,
            recorded_at: DateTime::UNIX_EPOCH,
            core: bytes::Bytes::new(),
            blobs: None,
        }
    }

    fn is_known(cleared: &Cleared, clear: Clear) -> bool {
        cleared.unknown(clear, [WHO].into_iter()).0.is_empty()
    }

    #[test]
    fn who_was_found_clear_before_an_event_is_not_remembered_after_it() {
        let cleared = Cleared::default();
        let (unknown, before) = cleared.unknown(Clear::Sender, [WHO, WHO].into_iter());
        assert_eq!(unknown, [WHO]);
        cleared.follow(&raw("ban.imposed", Stream::Ban(WHO)));
        cleared.remember(Clear::Sender, unknown.into_iter(), before);
        assert!(!is_known(&cleared, Clear::Sender));
    }

    #[test]
    fn every_event_that_stands_against_a_user_makes_it_looked_up_again() {
        let cleared = Cleared::default();
        for (name, stream, clear) in [
            ("user.deactivated", Stream::User(WHO), Clear::Sender),
            ("user.deactivated", Stream::User(WHO), Clear::Receiver),
            ("user.restricted", Stream::User(WHO), Clear::Sender),
            ("user.forgotten", Stream::User(WHO), Clear::Receiver),
            ("user.direct_messages_muted", Stream::User(WHO), Clear::Sender),
            ("ban.imposed", Stream::Ban(WHO), Clear::Sender),
            ("ban.replaced", Stream::Ban(WHO), Clear::Sender),
            ("allowlist.enabled", Stream::Allowlist(WHO), Clear::Receiver),
            ("blocklist.blocked", Stream::Blocklist(WHO), Clear::Blocklist),
        ] {
            let (unknown, changes) = cleared.unknown(clear, [WHO].into_iter());
            cleared.remember(clear, unknown.into_iter(), changes);
            assert!(is_known(&cleared, clear));
            cleared.follow(&raw("user.reregistered", Stream::User(WHO)));
            assert!(is_known(&cleared, clear), "a login changes nothing");
            cleared.follow(&raw(name, stream));
            assert!(!is_known(&cleared, clear), "{name}");
        }
    }
}
