//! What can be asked about the settings of users.

use chrono::NaiveTime;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::{FriendPermission, Visibility};

use crate::queries;
use crate::store::{Error, ReadStore, Row};

queries! {
    of_subject: coalesced = "SELECT quiet_start, quiet_minutes, quiet_level, friend_permission, visibility
        FROM user_settings_v2 WHERE subject = $1";
}

/// When pushes are held back, each day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin.
    pub start: NaiveTime,
    /// How long they last, in minutes.
    pub minutes: u16,
    /// Which pushes are held back, as the platform numbers it.
    pub level: u8,
}

/// What a user set; by default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// The quiet hours.
    pub quiet: Option<QuietHours>,
    /// Who may befriend the user; `None`: what the app says.
    pub friend_permission: Option<FriendPermission>,
    /// Who sees more of the user than name and portrait; `None`: not set.
    pub visibility: Option<Visibility>,
}

impl Settings {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        let quiet = match row.optional_number(0)? {
            None => None,
            Some(seconds) => Some(QuietHours {
                start: NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).ok_or(Error::Column(0))?,
                minutes: row.number(1)?,
                level: row.number(2)?,
            }),
        };
        Ok(Self { quiet, friend_permission: row.optional_word(3)?, visibility: row.optional_word(4)? })
    }
}

/// The settings of a user.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<Settings, Error> {
    Ok(store.row(of_subject, &[subject.into()], Settings::read).await?.unwrap_or_default())
}

/// The settings of each of those users, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subjects(store: &ReadStore, subjects: &[SubjectRef]) -> Result<Vec<Settings>, Error> {
    let asked = subjects.iter().map(|subject| [(*subject).into()]);
    let found = store.rows_of_each(of_subject, asked, Settings::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop().unwrap_or_default()).collect())
}
