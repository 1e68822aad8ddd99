//! What a bulk operation would do to each user, as the read models say it now.

use chrono::{DateTime, Utc};
use rollcall_projections::banned_users::{self, Ban};
use rollcall_projections::user_directory::{self, User};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::operation::Act;
use rollcall_schemas::words;

use crate::engine::{Engine, Error};

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
        /// Nothing.
        Unchanged = "unchanged",
        /// It is deactivated.
        Deactivated = "refused:deactivated",
        /// There is no such user.
        NotRegistered = "refused:not-registered",
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
