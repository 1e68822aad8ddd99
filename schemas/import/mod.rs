//! One import of records that a caller sends: how far it is, and which records were refused.

use crate::declare::events;
use crate::ids::ImportId;
use crate::plain::OwnText;
use crate::words::recorded;

crate::words! {
    /// What the records of an import are about.
    Kind {
        /// Users.
        Users = "users",
        /// Friendships.
        Friends = "friends",
        /// The groups in which users keep friends.
        FriendGroups = "friend-groups",
        /// Who blocks whom.
        Blocks = "blocks",
        /// Who allows whom, and whose allowlist is in force.
        Allows = "allows",
        /// Bans.
        Bans = "bans",
        /// Mutes.
        Mutes = "mutes",
    }

    /// What they are about, as the first version of an event says it.
    KindV1 {
        /// Users.
        Users = "users",
        /// Friendships.
        Friends = "friends",
        /// Who blocks whom.
        Blocks = "blocks",
        /// Bans.
        Bans = "bans",
    }

    /// What happens to a record about something that is there already.
    OnConflict {
        /// It is left as it is.
        Skip = "skip",
        /// The record is refused.
        Fail = "fail",
        /// It is changed to what the record says.
        Update = "update",
    }
}

recorded! { Kind, KindV1, OnConflict }

impl From<KindV1> for Kind {
    fn from(kind: KindV1) -> Self {
        match kind {
            KindV1::Users => Self::Users,
            KindV1::Friends => Self::Friends,
            KindV1::Blocks => Self::Blocks,
            KindV1::Bans => Self::Bans,
        }
    }
}

impl Kind {
    /// As the first version of an event says it; `None`: it has no word for it.
    #[must_use]
    pub fn v1(self) -> Option<KindV1> {
        self.as_str().parse().ok()
    }
}

events! { "import", "What happens to an import.";
    /// It was begun.
    Begun = "begun" 1 {
        /// Which.
        import: plain => ImportId,
        /// What its records are about.
        kind: plain => KindV1,
        /// What happens to a record about something that is there already.
        on_conflict: plain => OnConflict,
        /// Bytes that the caller will send; absent: it did not say.
        length: plain => Option<u64>,
    }
    /// It was begun, with records of any kind.
    BegunV2 = "begun" 2 {
        /// Which.
        import: plain => ImportId,
        /// What its records are about.
        kind: plain => Kind,
        /// What happens to a record about something that is there already.
        on_conflict: plain => OnConflict,
        /// Bytes that the caller will send; absent: it did not say.
        length: plain => Option<u64>,
    }
    /// The next records were dealt with.
    Progressed = "progressed" 1 {
        /// Which.
        import: plain => ImportId,
        /// How many records were dealt with before.
        from: plain => u64,
        /// How many of the next ones were done.
        done: plain => u64,
        /// How many were left out, for what they are about was there already.
        skipped: plain => u64,
        /// The numbers of those that were refused, from 1, in order.
        refused: plain => Vec<u64>,
        /// Why each of them was: `refused:` with the type of the problem.
        reasons: plain => Vec<OwnText>,
        /// Bytes that were received so far by the request that sent them.
        bytes: plain => u64,
    }
    /// All its records were dealt with.
    Ended = "ended" 1 {
        /// Which.
        import: plain => ImportId,
    }
}
