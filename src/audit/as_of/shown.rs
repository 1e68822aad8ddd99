//! What may still be known of a personal value.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use chrono::{DateTime, Utc};
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_projections::{PAGE_MAX, deactivated_users, user_directory};
use rollcall_schemas::ids::{AppId, ErasureId, SubjectRef};
use rollcall_schemas::personal::{Class, Stored};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::error::Error;
use super::past::Past;
use crate::audit::erasure::classes;
use crate::privacy;

/// The erasure that erased a value or is going to. Both fields are absent if the key is gone and the ledger of erasures does
/// not say why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure_id: Option<ErasureId>,
    /// When the keys were destroyed; while they are not, when the erasure began, or was requested if it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// A personal value of the past: the value, written as it is, or that it was erased, written `{"erased": {…}}`, or
/// that nobody may read it because an erasure of it waits, written `{"restricted": {…}}`.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown<T> {
    /// It can be shown.
    Present(T),
    /// It was erased.
    Erased(Erased),
    /// It is hidden while an erasure waits that can still be cancelled.
    Restricted(Erased),
}

impl<T> Shown<T> {
    /// The value, if it can be shown.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Erased(_) | Self::Restricted(_) => None,
        }
    }

    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Shown<U> {
        match self {
            Self::Present(value) => Shown::Present(change(value)),
            Self::Erased(erased) => Shown::Erased(erased),
            Self::Restricted(waiting) => Shown::Restricted(waiting),
        }
    }
}

// A personal value is not for a log or a panic.
impl<T> fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(_) => f.write_str("Shown(present)"),
            Self::Erased(erased) => write!(f, "Shown({erased:?})"),
            Self::Restricted(waiting) => write!(f, "Shown(restricted, {waiting:?})"),
        }
    }
}

impl<T: Serialize> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Present(value) => value.serialize(serializer),
            Self::Erased(erased) => serialize_hidden(serializer, "erased", erased),
            Self::Restricted(waiting) => serialize_hidden(serializer, "restricted", waiting),
        }
    }
}

fn serialize_hidden<S: Serializer>(serializer: S, word: &str, erased: &Erased) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(word, erased)?;
    map.end()
}

/// What the ledger knows of one subject.
struct Known {
    /// The erasures that began, in the order in which they did.
    begun: Vec<Erasure>,
    /// The erasure that waits while its subject is fenced.
    waits: Option<Erasure>,
}

impl Known {
    async fn of(past: Past<'_>, app: &AppId, subject: SubjectRef) -> Result<Self, Error> {
        let mut all = erasure_ledger::of(past.live, subject, PAGE_MAX).await?;
        all.retain(|erasure| erasure.app == *app);
        all.reverse();
        let waits = if deactivated_users::is_restricted(past.live, subject).await? {
            all.iter().find(|erasure| erasure.begun_at.is_none() && !erasure.is_ended()).cloned()
        } else {
            None
        };
        all.retain(|erasure| erasure.begun_at.is_some());
        // An erasure can begin after one that was requested later, because it had to wait.
        all.sort_by_key(|erasure| (erasure.begun_at, erasure.requested_position));
        Ok(Self { begun: all, waits })
    }
}

/// Opens values of one app with today's keys.
pub(super) struct Opener<'p> {
    past: Past<'p>,
    app: AppId,
    /// Erasures of the subjects that were asked about.
    erasures: HashMap<SubjectRef, Known>,
}

impl<'p> Opener<'p> {
    pub(super) fn new(past: Past<'p>, app: &AppId) -> Self {
        Self { past, app: app.clone(), erasures: HashMap::new() }
    }

    /// A value about a subject, as a read model stores it.
    pub(super) async fn open<T: DeserializeOwned>(
        &mut self,
        subject: SubjectRef,
        bytes: &[u8],
    ) -> Result<Shown<T>, Error> {
        let stored = Stored::from_bytes(bytes).map_err(|error| Error::Value(error.to_string()))?;
        // Values are hidden from the deactivation on, not only once their keys are destroyed.
        if let Some(erased) = self.erased(subject, stored.class, stored.epoch).await? {
            return Ok(Shown::Erased(erased));
        }
        if stored.ciphertext.is_empty() {
            return Ok(Shown::Erased(Erased::default()));
        }
        if let Some(waiting) = self.restricted(subject, stored.class).await? {
            return Ok(Shown::Restricted(waiting));
        }
        match self.past.vault.open_stored(&self.app, subject, bytes) {
            Ok(json) => {
                let value = serde_json::from_slice(&json).map_err(|_| Error::Value("it has another type".into()))?;
                Ok(Shown::Present(value))
            }
            Err(privacy::Error::Erased) => Ok(Shown::Erased(Erased::default())),
            Err(error) => Err(error.into()),
        }
    }

    /// The same for a value that may be absent.
    pub(super) async fn open_some<T: DeserializeOwned>(
        &mut self,
        subject: SubjectRef,
        bytes: Option<&[u8]>,
    ) -> Result<Option<Shown<T>>, Error> {
        match bytes {
            Some(bytes) => Ok(Some(self.open(subject, bytes).await?)),
            None => Ok(None),
        }
    }

    /// The erasure that took the values of a class and epoch of a subject.
    pub(super) async fn erased(
        &mut self,
        subject: SubjectRef,
        class: Class,
        epoch: u32,
    ) -> Result<Option<Erased>, Error> {
        // Each epoch ends with a fence, and each fence has the erasure that begins with it: the first of them belongs
        // to epoch 0. One that does not take this class leaves it to a later one.
        let begun = &self.known(subject).await?.begun;
        let later = begun.iter().skip(usize::try_from(epoch).unwrap_or(usize::MAX));
        let took = later.into_iter().find(|erasure| classes(erasure.scope).contains(&class));
        Ok(took
            .map(|erasure| Erased { erasure_id: Some(erasure.erasure), at: erasure.scrubbed_at.or(erasure.begun_at) }))
    }

    /// The erasure that waits and meanwhile hides the values of a class of a subject.
    async fn restricted(&mut self, subject: SubjectRef, class: Class) -> Result<Option<Erased>, Error> {
        let waits = self.known(subject).await?.waits.as_ref().filter(|_| class != Class::Identity);
        Ok(waits.map(|erasure| Erased { erasure_id: Some(erasure.erasure), at: Some(erasure.requested_at) }))
    }

    async fn known(&mut self, subject: SubjectRef) -> Result<&Known, Error> {
        Ok(match self.erasures.entry(subject) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Known::of(self.past, &self.app, subject).await?),
        })
    }

    /// The userIds of subjects that were known once, in their order.
    pub(super) async fn user_ids(&mut self, subjects: &[SubjectRef]) -> Result<Vec<Shown<String>>, Error> {
        let sealed = user_directory::user_ids(self.past.live, &self.app, subjects).await?;
        let mut shown = Vec::with_capacity(subjects.len());
        for (subject, sealed) in subjects.iter().zip(sealed) {
            shown.push(match sealed {
                Some(sealed) => self.open(*subject, &sealed).await?,
                None => Shown::Erased(self.erased(*subject, Class::Identity, 0).await?.unwrap_or_default()),
            });
        }
        Ok(shown)
    }
}
