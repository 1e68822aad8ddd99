//! What may still be known of a personal value.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_projections::{PAGE_MAX, user_directory};
use rollcall_schemas::ids::{AppId, ErasureId, SubjectRef};
use rollcall_schemas::personal::{Class, Stored};
use rollcall_schemas::plain::Scope;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Error, Past};
use crate::privacy;

/// The erasure that took a value away. Both are absent where the ledger knows of none, yet the key is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure_id: Option<ErasureId>,
    /// When the keys were destroyed, or when that was requested while they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// A personal value of the past: the value, written as it is, or that it was erased, written `{"erased": {…}}`.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown<T> {
    /// It may still be known.
    Present(T),
    /// It may not.
    Erased(Erased),
}

impl<T> Shown<T> {
    /// The value, where it may still be known.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Erased(_) => None,
        }
    }

    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Shown<U> {
        match self {
            Self::Present(value) => Shown::Present(change(value)),
            Self::Erased(erased) => Shown::Erased(erased),
        }
    }
}

// A personal value is not for a log or a panic.
impl<T> fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(_) => f.write_str("Shown(present)"),
            Self::Erased(erased) => write!(f, "Shown({erased:?})"),
        }
    }
}

impl<T: Serialize> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Present(value) => value.serialize(serializer),
            Self::Erased(erased) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("erased", erased)?;
                map.end()
            }
        }
    }
}

/// Opens values of one app with today's keys.
pub(super) struct Opener<'p> {
    past: Past<'p>,
    app: AppId,
    /// Erasures of the subjects that were asked about, the oldest first.
    erasures: HashMap<SubjectRef, Vec<Erasure>>,
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
        // The fence counts, not the end of the keys: what is asked to be erased is shown to nobody meanwhile.
        if let Some(erased) = self.erased(subject, stored.class, stored.epoch).await? {
            return Ok(Shown::Erased(erased));
        }
        if stored.ciphertext.is_empty() {
            return Ok(Shown::Erased(Erased::default()));
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
        let erasures = match self.erasures.entry(subject) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                let mut found = erasure_ledger::of(self.past.live, subject, PAGE_MAX).await?;
                found.reverse();
                unknown.insert(found)
            }
        };
        // Each epoch ends with a fence, and each fence has its erasure: the first of them belongs to epoch 0. One that
        // was not the end of its class, such as of the userId, leaves it to a later one.
        let later = erasures.iter().skip(usize::try_from(epoch).unwrap_or(usize::MAX));
        let took = later
            .into_iter()
            .find(|erasure| erasure.app == self.app && (erasure.scope == Scope::Forget || class != Class::Identity));
        Ok(took.map(|erasure| Erased {
            erasure_id: Some(erasure.erasure),
            at: Some(erasure.scrubbed.map_or(erasure.requested_at, |scrubbed| scrubbed.at)),
        }))
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
