//! Opening what read models store: as far as it was not erased, and nothing of those who are restricted.

use rollcall_schemas::ids::{AppId, SubjectRef};

use super::{Engine, Error};
use crate::privacy;

impl Engine {
    /// Opens a text a read model stores; `None`: it is erased.
    ///
    /// # Errors
    /// The vault is unavailable, or the value does not belong there.
    pub fn open_text(&self, app: &AppId, subject: SubjectRef, sealed: &[u8]) -> Result<Option<String>, Error> {
        self.open_value(app, subject, sealed)
    }

    /// Opens a JSON value a read model stores; `None`: it is erased.
    ///
    /// # Errors
    /// The vault is unavailable, or the value does not belong there.
    pub fn open_json(
        &self,
        app: &AppId,
        subject: SubjectRef,
        sealed: &[u8],
    ) -> Result<Option<serde_json::Value>, Error> {
        self.open_value(app, subject, sealed)
    }

    /// Opens a value of any type a read model stores; `None`: it is erased.
    ///
    /// # Errors
    /// The vault is unavailable, or the value does not belong there.
    pub fn open_value<T: serde::de::DeserializeOwned>(
        &self,
        app: &AppId,
        subject: SubjectRef,
        sealed: &[u8],
    ) -> Result<Option<T>, Error> {
        if self.restricted.hides(subject, sealed) {
            return Ok(None);
        }
        match self.vault.open_stored(app, subject, sealed) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| Error::Unavailable(format!("a stored value has another type: {error}"))),
            Err(privacy::Error::Erased) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the keys of subjects in memory before what is sealed under them is opened on a thread that must not block.
    ///
    /// # Errors
    /// The vault is unavailable.
    pub async fn keys_at_hand(&self, subjects: &[SubjectRef]) -> Result<(), Error> {
        Ok(self.vault.load(subjects).await?)
    }

    /// The userIds of subjects, in their order; `None`: forgotten.
    ///
    /// # Errors
    /// The vault or the read models are unavailable.
    pub async fn user_ids(&self, app: &AppId, subjects: &[SubjectRef]) -> Result<Vec<Option<String>>, Error> {
        let sealed = rollcall_projections::user_directory::user_ids(&self.read, app, subjects).await?;
        self.vault.load(subjects).await?;
        subjects
            .iter()
            .zip(sealed)
            .map(|(subject, sealed)| sealed.map_or(Ok(None), |sealed| self.open_text(app, *subject, &sealed)))
            .collect()
    }
}
