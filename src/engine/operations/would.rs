//! What an act on many users would do to each of them. Bulk operations are judged by the read models, changes of a list by the
//! states that decide.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rollcall_projections::banned_users::{self, Ban};
use rollcall_projections::user_directory::{self, User};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::operation::Act;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::words;

use crate::domain::{LIST_MAX, State};
use crate::engine::{Engine, Error, load};

words! {
    /// What would be done to a user.
    Would {
        /// It would be banned.
        Ban = "ban",
        /// Its ban would get a later end.
        Extend = "extend",
        /// Its ban would be lifted or called off.
        Unban = "unban",
        /// It would be deactivated.
        Deactivate = "deactivate",
        /// It would be put on the blocklist.
        Block = "block",
        /// It would be taken from the blocklist.
        Unblock = "unblock",
        /// It would be put on the allowlist.
        Allow = "allow",
        /// It would be taken from the allowlist.
        Disallow = "disallow",
        /// Nothing.
        Unchanged = "unchanged",
        /// It is deactivated.
        Deactivated = "refused:deactivated",
        /// There is no such user.
        NotRegistered = "refused:not-registered",
        /// The list has no room for all that are new on it.
        ListFull = "refused:list-full",
    }
}

/// What is known of a user.
pub(super) struct Known {
    pub(super) user: Option<User>,
    pub(super) ban: Option<Ban>,
}

impl Known {
    pub(super) async fn read(engine: &Engine, app: &AppId, subject: SubjectRef) -> Result<Self, Error> {
        let (user, ban) = tokio::try_join!(
            user_directory::by_subject(engine.read(), app, subject),
            banned_users::of(engine.read(), subject),
        )?;
        Ok(Self { user, ban })
    }

    /// What an act would come to.
    pub(super) fn would(&self, act: Act, ends_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Would {
        let Some(user) = &self.user else { return Would::NotRegistered };
        match act {
            Act::Deactivate if user.deactivated => Would::Unchanged,
            Act::Ban | Act::Unban if user.deactivated => Would::Deactivated,
            Act::Deactivate if !user.is_active() => Would::NotRegistered,
            Act::Deactivate => Would::Deactivate,
            Act::Unban => match &self.ban {
                Some(ban) if ban.ends_at.is_none_or(|at| at > now) => Would::Unban,
                Some(_) | None => Would::Unchanged,
            },
            Act::Ban => match self.ban.as_ref().filter(|ban| ban.runs_at(now)) {
                None => Would::Ban,
                Some(ban) => match (ban.ends_at, ends_at) {
                    (None, _) => Would::Unchanged,
                    (Some(_), None) => Would::Extend,
                    (Some(there), Some(asked)) if there >= asked => Would::Unchanged,
                    (Some(_), Some(_)) => Would::Extend,
                },
            },
        }
    }
}

/// What an act would do to each of these users, in their order; `None` among them: a userId that was never used.
///
/// # Errors
/// The read models are unavailable.
pub async fn would(
    engine: &Engine,
    app: &AppId,
    subjects: &[Option<SubjectRef>],
    (act, ends_at): (Act, Option<DateTime<Utc>>),
) -> Result<Vec<Would>, Error> {
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let (users, bans) = tokio::try_join!(
        user_directory::by_subjects(engine.read(), app, &known),
        banned_users::of_subjects(engine.read(), &known),
    )?;
    let mut found = users.into_iter().zip(bans).map(|(user, ban)| Known { user, ban });
    let now = engine.now();
    let each = subjects.iter().map(|subject| match subject {
        Some(_) => found.next().map_or(Would::NotRegistered, |known| known.would(act, ends_at, now)),
        // A ban makes it known.
        None if act == Act::Ban => Would::Ban,
        None => Would::NotRegistered,
    });
    Ok(each.collect())
}

/// A change of a list of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListChange {
    /// Put others on the blocklist.
    Block,
    /// Take others from it.
    Unblock,
    /// Put others on the allowlist.
    Allow,
    /// Take others from it.
    Disallow,
}

impl ListChange {
    const fn adds(self) -> bool {
        matches!(self, Self::Block | Self::Allow)
    }

    const fn stream(self, owner: SubjectRef) -> Stream {
        match self {
            Self::Block | Self::Unblock => Stream::Blocklist(owner),
            Self::Allow | Self::Disallow => Stream::Allowlist(owner),
        }
    }

    const fn would(self) -> Would {
        match self {
            Self::Block => Would::Block,
            Self::Unblock => Would::Unblock,
            Self::Allow => Would::Allow,
            Self::Disallow => Would::Disallow,
        }
    }
}

/// What a change of a list of `owner` would come to for each of these others, in their order and each once; `None`: a userId
/// that was never used. All of them are dealt with, or none.
///
/// # Errors
/// The owner may not change it, or the log is unavailable.
pub async fn would_list(
    engine: &Engine,
    owner: Option<SubjectRef>,
    others: &[Option<SubjectRef>],
    change: ListChange,
) -> Result<Vec<Would>, Error> {
    let streams = owner.map(|owner| vec![Stream::User(owner), change.stream(owner)]).unwrap_or_default();
    let mut listed = HashSet::new();
    for loaded in load::streams(engine.log.as_ref(), &streams).await? {
        match loaded.state {
            State::User(user) if change.adds() => user.unfenced()?,
            State::Blocklist(state) => listed = state.blocked,
            State::Allowlist(state) => listed = state.allowed,
            _ => {}
        }
    }
    let is_listed = |other: &Option<SubjectRef>| other.is_some_and(|other| listed.contains(&other));
    let added = others.iter().filter(|other| !is_listed(other)).count();
    let done = if change.adds() && listed.len() + added > LIST_MAX { Would::ListFull } else { change.would() };
    let each = others.iter().map(|other| if is_listed(other) == change.adds() { Would::Unchanged } else { done });
    Ok(each.collect())
}
