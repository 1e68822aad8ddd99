//! Opening what read models store: as far as it was not erased, and nothing of those who are restricted.
//!
//! A face gets a personal value only from [`Engine::disclose`], which records the read before the value is handed out,
//! where the app asks for it.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_schemas::ids::{AppId, FieldName, SubjectRef};
use serde::de::DeserializeOwned;

use super::{Caller, Engine, Error};
use crate::privacy;

/// Opens values for one answer and notes whose they are.
pub struct Opener<'e> {
    engine: &'e Engine,
    app: &'e AppId,
    opened: BTreeMap<SubjectRef, BTreeSet<FieldName>>,
}

impl Opener<'_> {
    /// Opens a field of a subject that a read model stores; `None`: it is erased.
    ///
    /// # Errors
    /// The vault is unavailable, or the value does not belong there.
    pub fn open<T: DeserializeOwned>(
        &mut self,
        subject: SubjectRef,
        field: &str,
        sealed: &[u8],
    ) -> Result<Option<T>, Error> {
        let value = self.engine.open_value(self.app, subject, sealed)?;
        if value.is_some() {
            self.opened.entry(subject).or_default().insert(FieldName(field.to_owned()));
        }
        Ok(value)
    }
}

impl Engine {
    /// Makes an answer of values that `answer` opens. When this returns, it is durably recorded who read them, where the
    /// app wants its reads recorded.
    ///
    /// # Errors
    /// `answer` failed, or the read could not be recorded: then nothing must be answered.
    pub async fn disclose<T, E: From<Error>>(
        &self,
        caller: &Caller,
        answer: impl FnOnce(&mut Opener<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut opener = Opener { engine: self, app: &caller.app, opened: BTreeMap::new() };
        let answer = answer(&mut opener)?;
        let opened = opener.opened;
        self.record_read(caller, || opened.into_iter().collect()).await?;
        Ok(answer)
    }

    /// Opens a text a read model stores, for the service's own use; `None`: it is erased. A face uses
    /// [`Engine::disclose`].
    ///
    /// # Errors
    /// The vault is unavailable, or the value does not belong there.
    pub fn open_text(&self, app: &AppId, subject: SubjectRef, sealed: &[u8]) -> Result<Option<String>, Error> {
        self.open_value(app, subject, sealed)
    }

    /// As [`Engine::open_text`], for a value of any type.
    ///
    /// # Errors
    /// The vault is unavailable, or the value does not belong there.
    pub fn open_value<T: DeserializeOwned>(
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

    /// The userIds of subjects for the service's own use, in their order; `None`: forgotten. A face uses
    /// [`Engine::disclose`].
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
