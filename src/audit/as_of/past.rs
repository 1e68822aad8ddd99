//! What the past is read from, and how a user of it is named.

use std::str::FromStr;
use std::sync::Arc;

use rollcall_projections::store::ReadStore;
use rollcall_projections::{Projection, apps, audit_trail, deactivated_users, erasure_ledger, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::error::Error;
use super::when::{Moment, When, resolve};
use crate::domain::values::{Invalid, UserId};
use crate::engine::{Engine, journal, projector, rebuild};
use crate::eventlog::EventLog;
use crate::privacy::Vault;

/// What the past is read from.
#[derive(Clone, Copy)]
pub struct Past<'p> {
    pub(super) log: &'p Arc<dyn EventLog>,
    pub(super) vault: &'p Arc<dyn Vault>,
    /// The live read models, which say what may still be shown: userIds and the ledger of erasures.
    pub(super) live: &'p ReadStore,
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
    &apps::Apps,
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
        let known = apps::of(self.live, app).await?;
        known.map(drop).ok_or_else(|| Error::NoSuchApp(app.clone()))
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
        self.subjects(app, who).await?.first().copied().ok_or(Error::UnknownUser)
    }

    /// All subjects of a user of an app, that which the userId names first: a log may have several of one userId. Whoever is
    /// named by a subject is that one alone.
    ///
    /// # Errors
    /// [`Error::UnknownUser`], or a part is unavailable.
    pub async fn subjects(&self, app: &AppId, who: &Who) -> Result<Vec<SubjectRef>, Error> {
        let found: Vec<_> = match who {
            Who::UserId(user_id) => {
                let tag = self.vault.tag(app, user_id.as_str())?;
                user_directory::all_subjects_of(self.live, app, &[tag]).await?.into_iter().flatten().collect()
            }
            Who::Subject(subject) => self.is_of(app, *subject).await?.then_some(*subject).into_iter().collect(),
        };
        if found.is_empty() { Err(Error::UnknownUser) } else { Ok(found) }
    }

    /// Whether a subject, forgotten or not, is of an app. A subject is of one app alone, so any event about it tells.
    async fn is_of(&self, app: &AppId, subject: SubjectRef) -> Result<bool, Error> {
        let positions = audit_trail::positions_about(self.live, subject, 0, 1).await?;
        match self.log.read_at(&positions).await?.first() {
            Some(event) => Ok(journal::decode(event)?.metadata.app == *app),
            None => Ok(false),
        }
    }
}
