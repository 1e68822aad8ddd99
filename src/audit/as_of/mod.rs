//! The state at any position or time of the past, shown with today's keys.
//!
//! The ordinary projections are applied to a scratch store up to a position, and the ordinary queries are asked there.
//! What was erased since shows as erased, also for dates before the erasure. Nothing here appends an event, makes a
//! key or writes the live read models.

use std::str::FromStr;
use std::sync::Arc;

use rollcall_projections::store::ReadStore;
use rollcall_projections::{Projection, audit_trail, deactivated_users, erasure_ledger, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef};

use crate::domain::Misplaced;
use crate::domain::values::{Invalid, UserId};
use crate::engine::{self, Engine, journal, projector, rebuild};
use crate::eventlog::{self, EventLog};
use crate::privacy::{self, Vault};

mod diff;
mod explain;
mod history;
mod lists;
mod scratch;
mod shown;
mod tracks;
mod user;
mod when;
mod words;

pub use diff::{Change, Diff, diff};
pub use explain::{Explanation, Fact, explain};
pub use history::{Happened, PersonalField, Range, Revealed, Told, history};
pub use lists::{
    BannedUser, BansAt, DeactivatedAt, DeactivatedUser, Friend, FriendsAt, bans_at, deactivated_at, friends_at,
};
pub use scratch::{AsOf, Parked};
pub use shown::{Erased, Shown};
pub use user::{Ban, Other, QuietHours, Status, UserAt, user_at};
pub use when::{Moment, When, resolve};
pub use words::{ASKED, NotAsked, Question, command};

/// Why the past was not shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The position does not exist yet.
    #[error("position {asked} is above the head of the log; ask for {head}, the newest position, or a lower one")]
    AboveHead {
        /// What was asked for.
        asked: u64,
        /// The newest position.
        head: u64,
    },
    /// No event is about that user. The message does not repeat the id: it is personal.
    #[error("the app knows no such user; check the id, or name the user by the subject reference of its history")]
    UnknownUser,
    /// There is no such application.
    #[error("there is no app {0}; `rollcall apps list` shows which there are")]
    NoSuchApp(AppId),
    /// The read models hold more than the log.
    #[error(
        "the read models have applied {applied} events but the log holds {head}: the log was rewound; \
         put back the newest log, or run `rollcall rebuild all` if this log is the one to go on with"
    )]
    Rewound {
        /// What the read models hold.
        applied: u64,
        /// What the log holds.
        head: u64,
    },
    /// The scratch store has no place.
    #[error("no scratch directory can be made, set TMPDIR to a directory with space: {0}")]
    Scratch(#[from] std::io::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] privacy::Error),
    /// A read store, live or scratch.
    #[error(transparent)]
    Store(#[from] rollcall_projections::store::Error),
    /// An event cannot be decoded.
    #[error("{0}; show the past with the version of rollcall that wrote the log")]
    Event(#[from] journal::ReadError),
    /// A value in the log or a read model has another type.
    #[error("a stored value cannot be read: {0}; run `rollcall verify`")]
    Value(String),
    /// The read models cannot be filled.
    #[error(transparent)]
    Replay(#[from] projector::Error),
    /// The running service cannot be asked.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl From<Misplaced> for Error {
    fn from(misplaced: Misplaced) -> Self {
        Self::Value(misplaced.to_string())
    }
}

/// What the past is read from.
#[derive(Clone, Copy)]
pub struct Past<'p> {
    log: &'p Arc<dyn EventLog>,
    vault: &'p Arc<dyn Vault>,
    /// What may still be known: userIds and the ledger of erasures.
    live: &'p ReadStore,
}

/// How an auditor names a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By the app's id: the person it names today.
    UserId(UserId),
    /// By the reference the log uses: the only name a forgotten person has left.
    Subject(SubjectRef),
}

impl FromStr for Who {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix("subject:").and_then(|reference| reference.parse().ok()) {
            Some(reference) => Ok(Self::Subject(SubjectRef(reference))),
            None => UserId::parse("userId", text).map(Self::UserId),
        }
    }
}

/// The read models that tell what may still be known.
const NOW: &[&dyn Projection] = &[
    &user_directory::UserDirectory,
    &deactivated_users::DeactivatedUsers,
    &erasure_ledger::ErasureLedger,
    &audit_trail::AuditTrail,
];

impl<'p> Past<'p> {
    /// The past of a running engine, whose read models hold everything the log holds.
    ///
    /// # Errors
    /// The read models are too far behind.
    pub async fn of(engine: &'p Engine) -> Result<Self, Error> {
        engine.all_applied().await?;
        Ok(Self { log: engine.log(), vault: engine.vault(), live: engine.read() })
    }

    /// The past of a log that nobody serves; the read models that tell what may still be known are brought up to it
    /// first, in a store that may be empty. `progress` is told events done and events in all.
    ///
    /// # Errors
    /// The log was rewound, or a part is unavailable.
    pub async fn of_stopped(
        log: &'p Arc<dyn EventLog>,
        vault: &'p Arc<dyn Vault>,
        live: &'p Arc<ReadStore>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Self, Error> {
        let (applied, head) = (projector::applied_of(live, NOW), log.head());
        if applied > head {
            return Err(Error::Rewound { applied, head });
        }
        rebuild::catch_up(log, vault, live, NOW, progress).await?;
        Ok(Self { log, vault, live })
    }

    /// The moment after the newest event.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn newest(&self) -> Result<Moment, Error> {
        self.resolve(When::Position(self.log.head())).await
    }

    /// Makes sure that there is such an app.
    ///
    /// # Errors
    /// [`Error::NoSuchApp`], or the read models are unavailable.
    pub async fn has_app(&self, app: &AppId) -> Result<(), Error> {
        let known = audit_trail::page(self.live, app, None, 1).await?;
        if known.is_empty() { Err(Error::NoSuchApp(app.clone())) } else { Ok(()) }
    }

    /// The position and time that `when` means.
    ///
    /// # Errors
    /// The position is above the head, or the log cannot be read.
    pub async fn resolve(&self, when: When) -> Result<Moment, Error> {
        resolve(self.log.as_ref(), when).await
    }

    /// The subject of a user of an app.
    ///
    /// # Errors
    /// [`Error::UnknownUser`], or a part is unavailable.
    pub async fn subject(&self, app: &AppId, who: &Who) -> Result<SubjectRef, Error> {
        let found = match who {
            Who::UserId(user_id) => {
                let tag = self.vault.tag(app, user_id.as_str())?;
                user_directory::subject_of(self.live, app, tag).await?
            }
            Who::Subject(subject) => {
                let known = audit_trail::of_subject(self.live, app, *subject, None, 1).await?;
                (!known.is_empty()).then_some(*subject)
            }
        };
        found.ok_or(Error::UnknownUser)
    }
}
