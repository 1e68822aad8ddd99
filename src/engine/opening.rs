//! Opening what read models store: as far as it was not erased, and nothing of those who are restricted.
//!
//! A face gets a personal value only from [`Engine::disclose`], which records the read before the value is handed out,
//! where the app asks for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rollcall_schemas::ids::{AppId, FieldName, SubjectRef};
use serde::de::DeserializeOwned;

use super::{Caller, Engine, Error};
use crate::privacy;

/// Opens values for one answer and notes whose they are.
pub struct Opener<'e> {
    engine: &'e Engine,
    app: &'e AppId,
    announced: Announced<'e>,
    /// What was opened; `None`: nobody wants to know.
    opened: Option<BTreeMap<SubjectRef, BTreeSet<FieldName>>>,
}

/// As many subjects are compared sooner than looked up.
const COMPARED_MAX: usize = 8;

/// Whose keys are in memory.
enum Announced<'e> {
    Few(&'e [SubjectRef]),
    Many(HashSet<SubjectRef>),
}

impl<'e> Announced<'e> {
    fn of(subjects: &'e [SubjectRef]) -> Self {
        if subjects.len() <= COMPARED_MAX {
            Self::Few(subjects)
        } else {
            Self::Many(subjects.iter().copied().collect())
        }
    }

    fn contains(&self, subject: SubjectRef) -> bool {
        match self {
            Self::Few(subjects) => subjects.contains(&subject),
            Self::Many(subjects) => subjects.contains(&subject),
        }
    }
}

impl Opener<'_> {
    /// Whether nobody may read a stored value because an erasure of it waits; [`Opener::open`] answers nothing for it.
    #[must_use]
    pub fn is_restricted(&self, subject: SubjectRef, sealed: &[u8]) -> bool {
        self.engine.restricted.hides(subject, sealed)
    }

    /// Opens a field of a subject that a read model stores; `None`: it is erased.
    ///
    /// # Errors
    /// The subject was not announced to [`Engine::disclose`], the vault is unavailable, or the value does not belong there.
    pub fn open<T: DeserializeOwned>(
        &mut self,
        subject: SubjectRef,
        field: &str,
        sealed: &[u8],
    ) -> Result<Option<T>, Error> {
        if !self.announced.contains(subject) {
            // Its key may have to be read from the vault, for which a thread that serves requests must not wait.
            debug_assert!(false, "a value is opened of a subject that was not announced");
            return Err(Error::Unavailable("a value is opened of a subject that was not announced".into()));
        }
        let value = self.engine.open_value(self.app, subject, sealed)?;
        if let (Some(_), Some(opened)) = (&value, &mut self.opened) {
            opened.entry(subject).or_default().insert(FieldName(field.to_owned()));
        }
        Ok(value)
    }
}

impl Engine {
    /// Makes an answer of values that `answer` opens, all of them of `subjects`, whose keys are loaded first: then opening
    /// does not block the thread. When this returns, it is durably recorded who read them, where the app wants its reads
    /// recorded.
    ///
    /// # Errors
    /// The vault is unavailable, `answer` failed, or the read could not be recorded: then nothing must be answered.
    pub async fn disclose<T, E: From<Error>>(
        &self,
        caller: &Caller,
        subjects: &[SubjectRef],
        answer: impl FnOnce(&mut Opener<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut opener = self.opener(caller, subjects).await?;
        let answer = answer(&mut opener)?;
        self.record_opened(caller, opener.opened).await?;
        Ok(answer)
    }

    async fn record_opened(
        &self,
        caller: &Caller,
        opened: Option<BTreeMap<SubjectRef, BTreeSet<FieldName>>>,
    ) -> Result<(), Error> {
        match opened {
            Some(opened) => Box::pin(self.record(caller, opened.into_iter().collect())).await,
            None => Ok(()),
        }
    }

    async fn opener<'e>(&'e self, caller: &'e Caller, subjects: &'e [SubjectRef]) -> Result<Opener<'e>, Error> {
        self.vault.load(subjects).await?;
        let opened = self.records_reads(&caller.app).then(BTreeMap::new);
        Ok(Opener { engine: self, app: &caller.app, announced: Announced::of(subjects), opened })
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
