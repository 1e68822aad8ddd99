//! When API keys were last used. Noted with each call, written in batches and never waited for; what a crash takes is a few
//! seconds of it. It is no fact: an event for each call, or for some of them, would be most of a quiet app's log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::AppId;
use tokio_util::sync::CancellationToken;

use super::store::{self, KeyUse, Store};

/// How often what was noted is written.
const EVERY: Duration = Duration::from_secs(2);

/// Notes when API keys are used.
pub struct KeyUses {
    store: Arc<dyn Store>,
    /// What is not written yet: at most a time for each key there is.
    noted: Mutex<HashMap<(AppId, u32), DateTime<Utc>>>,
}

impl KeyUses {
    /// Over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, noted: Mutex::default() }
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<(AppId, u32), DateTime<Utc>>> {
        // The map is whole after every statement.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key of an app is used at a time. Never waits.
    pub fn note(&self, app: &AppId, key: u32, at: DateTime<Utc>) {
        self.noted().insert((app.clone(), key), at);
    }

    /// When the keys of an app were last used, as far as it is known: on this node up to now, on others up to some seconds ago.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn of(&self, app: &AppId) -> Result<HashMap<u32, DateTime<Utc>>, store::Error> {
        // What is written meanwhile is in one of the two.
        let noted: Vec<_> = {
            let noted = self.noted();
            noted.iter().filter(|((of, _), _)| of == app).map(|((_, key), at)| (*key, *at)).collect()
        };
        let stored = self.store.key_uses(app.clone()).await?;
        let mut uses = HashMap::new();
        for (key, at) in stored.into_iter().map(|used| (used.key, used.at)).chain(noted) {
            uses.entry(key).and_modify(|latest: &mut DateTime<Utc>| *latest = at.max(*latest)).or_insert(at);
        }
        Ok(uses)
    }

    /// Writes what is noted until `stop`, and the rest then.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let ends = stop.is_cancelled();
            let taken = std::mem::take(&mut *self.noted());
            if !taken.is_empty() {
                let uses = taken.iter().map(|((app, key), at)| KeyUse { app: app.clone(), key: *key, at: *at });
                if let Err(error) = self.store.set_key_uses(uses.collect()).await {
                    tracing::warn!(%error, "when API keys were last used cannot be written for now");
                    let mut noted = self.noted();
                    for (key, at) in taken {
                        noted.entry(key).or_insert(at);
                    }
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
}
