//! When users were last seen: as of their last connect or disconnect. Written in batches and never waited for; what a crash
//! takes is a few seconds of it.
//!
//! Each time is sealed under the person's own key, so that an erasure reaches old copies of the store as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, EventId, SubjectRef};
use rollcall_schemas::personal::{Class, Header};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::online;
use super::store::{self, Store};
use crate::engine::{App, Engine};
use crate::privacy;

/// How often what was noted is written.
const EVERY: Duration = Duration::from_secs(2);
/// Users whose time waits to be written; of further ones it is not kept.
const NOTED_MAX: usize = 100_000;
/// Times written at once.
const BATCH_MAX: usize = 1_000;
/// Path of the value, as it is sealed.
pub const FIELD: &str = "last_seen_at";

/// Who was seen, in which app, and when.
type Noted = (SubjectRef, (AppId, DateTime<Utc>));

/// Notes when users are seen.
pub struct LastSeen {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    noted: Mutex<HashMap<SubjectRef, (AppId, DateTime<Utc>)>>,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Vault(#[from] privacy::Error),
}

impl LastSeen {
    /// Over a store.
    #[must_use]
    pub fn new(engine: Arc<Engine>, store: Arc<dyn Store>) -> Self {
        Self { engine, store, noted: Mutex::default() }
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, HashMap<SubjectRef, (AppId, DateTime<Utc>)>> {
        // The map is whole after every statement.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A user is seen now, unless its app keeps no such times. Never waits.
    pub fn note(&self, app: &App, subject: SubjectRef) {
        if app.client.without_last_seen {
            return;
        }
        let (mut noted, now) = (self.noted(), self.engine.now());
        if noted.len() < NOTED_MAX || noted.contains_key(&subject) {
            noted.insert(subject, (app.id.clone(), now));
        }
    }

    /// When users were last seen, in their order; nothing where the app keeps no such times.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn of(&self, app: &App, subjects: &[SubjectRef]) -> Result<Vec<online::LastSeen>, store::Error> {
        if app.client.without_last_seen || subjects.is_empty() {
            return Ok(vec![online::LastSeen::Unknown; subjects.len()]);
        }
        // What is written meanwhile is in one of the two.
        let noted: Vec<_> = {
            let noted = self.noted();
            subjects.iter().map(|subject| noted.get(subject).map(|(_, at)| *at)).collect()
        };
        let stored = self.store.last_seen(subjects.to_vec()).await?;
        Ok(noted
            .into_iter()
            .zip(stored)
            .map(|(noted, stored)| match (noted, stored) {
                (Some(at), _) => online::LastSeen::At(at),
                (None, Some(sealed)) => online::LastSeen::Sealed(sealed),
                (None, None) => online::LastSeen::Unknown,
            })
            .collect())
    }

    /// Writes what is noted until `stop`, and the rest then.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let ends = stop.is_cancelled();
            while let Some(batch) = self.take() {
                if let Err(error) = self.write(&batch).await {
                    tracing::warn!(%error, "when users were last seen cannot be written for now");
                    let mut noted = self.noted();
                    for (subject, seen) in batch {
                        noted.entry(subject).or_insert(seen);
                    }
                    break;
                }
            }
            if ends {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn take(&self) -> Option<Vec<Noted>> {
        let mut noted = self.noted();
        let subjects: Vec<_> = noted.keys().take(BATCH_MAX).copied().collect();
        let batch: Vec<_> = subjects.iter().filter_map(|subject| noted.remove_entry(subject)).collect();
        (!batch.is_empty()).then_some(batch)
    }

    async fn write(&self, batch: &[Noted]) -> Result<(), Error> {
        let subjects: Vec<_> = batch.iter().map(|(subject, _)| *subject).collect();
        let vault = self.engine.vault();
        vault.load(&subjects).await?;
        let mut sealed = Vec::with_capacity(batch.len());
        for (subject, (app, at)) in batch {
            match seal(vault.as_ref(), app, *subject, *at) {
                Ok(value) => sealed.extend(value.map(|value| (*subject, value))),
                // Nothing is kept of who is erased.
                Err(privacy::Error::Erased) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.store.set_last_seen(sealed).await?)
    }
}

fn seal(
    vault: &dyn privacy::Vault,
    app: &AppId,
    subject: SubjectRef,
    at: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, privacy::Error> {
    let Some(epoch) = vault.epoch(subject)? else { return Ok(None) };
    let header = Header {
        app: app.clone(),
        stream: format!("last_seen-{subject}"),
        event: EventId(Uuid::new_v4()),
        name: "last_seen.noted".into(),
        version: 1,
        path: FIELD.into(),
        subject,
        class: Class::Profile,
        epoch,
    };
    let sealed = vault.seal(&header, at.timestamp_millis().to_string().as_bytes())?;
    Ok(sealed.ciphertext.map(|ciphertext| header.store(&ciphertext)))
}
