//! What is asked about who is online.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::Live;
use super::presence::Device;
use crate::domain::values::UserId;
use crate::engine::{App, Error};

/// Users that one question may be about.
pub const USERS_MAX: usize = 1_000;

/// When a user was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastSeen {
    /// Not known, or not kept.
    Unknown,
    /// Then: it was noted by this node and is not written yet.
    At(DateTime<Utc>),
    /// Sealed, as it is stored: milliseconds since 1970.
    Sealed(Vec<u8>),
}

/// A user, as far as it is online.
#[derive(Debug)]
pub struct Seen {
    /// `None`: the userId was never used, or forgotten.
    pub subject: Option<SubjectRef>,
    /// Its connections, the earliest first; none: it is offline.
    pub devices: Vec<Device>,
    /// When it connected or disconnected last.
    pub last_seen: LastSeen,
}

impl Live {
    /// Whether a user is online now, on any node; nobody is whose userId is not known.
    ///
    /// # Errors
    /// The read models, the vault or the nodes' database are unavailable.
    pub async fn is_online(&self, app: &AppId, user_id: &UserId) -> Result<bool, Error> {
        self.engine.caught_up(app).await?;
        let Some(subject) = self.engine.find(app, user_id).await? else { return Ok(false) };
        Ok(!self.devices(&[subject]).await?.concat().is_empty())
    }

    /// The connections of each subject, on all nodes, the earliest first.
    ///
    /// # Errors
    /// The nodes' database is unavailable.
    pub async fn devices(&self, subjects: &[SubjectRef]) -> Result<Vec<Vec<Device>>, Error> {
        Ok(self.presence.devices(subjects).await?)
    }

    /// Which of these users are online, and when they were seen last, in their order. At most [`USERS_MAX`].
    ///
    /// # Errors
    /// As [`Live::is_online`].
    pub async fn seen(&self, app: &App, user_ids: &[UserId]) -> Result<Vec<Seen>, Error> {
        self.engine.caught_up(&app.id).await?;
        let subjects = self.engine.find_all(&app.id, user_ids).await?;
        let known: Vec<_> = subjects.iter().flatten().copied().collect();
        let mut devices = self.devices(&known).await?.into_iter();
        let mut last_seen = self.last_seen.of(app, &known).await?.into_iter();
        let seen = subjects.into_iter().map(|subject| match subject {
            None => Seen { subject, devices: vec![], last_seen: LastSeen::Unknown },
            Some(_) => Seen {
                subject,
                devices: devices.next().unwrap_or_default(),
                last_seen: last_seen.next().unwrap_or(LastSeen::Unknown),
            },
        });
        Ok(seen.collect())
    }
}
