//! What an operator does while the service runs: creates apps, and deals with parked streams.

use std::sync::Arc;

use rollcall_projections::store::{ParkedKey, Retried};
use rollcall_projections::{ALL, Projection};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, SecretId};
use rollcall_schemas::plain::{ApiScope, Environment, Plan};
use tokio::runtime::Handle;

use super::{Caller, Engine, Error, parked, secrets};
use crate::domain::{Refusal, app};
use crate::tasks;

/// Parked streams that are looked through for one stream, at most: a stream is parked once for each read model.
const LOOKED_THROUGH_MAX: usize = 10_000;
/// Parked streams that are read together.
const PAGE: u32 = 1_000;

/// An app that was created. Secret and key are told only once.
pub struct CreatedApp {
    /// Its first secret.
    pub secret: String,
    /// Its first API key, which may do everything.
    pub api_key: String,
    /// The log holds it at this position.
    pub position: u64,
}

impl Engine {
    /// Creates an app with a first secret and a first API key.
    ///
    /// # Errors
    /// It exists, or an attempt to create it was cut short; or a part is unavailable.
    pub async fn create_app(
        &self,
        actor: Actor,
        app: &AppId,
        environment: Environment,
        plan: Plan,
    ) -> Result<CreatedApp, Error> {
        let caller = Caller::internal(app.clone(), actor);
        if self.app(app.as_str()).is_some() {
            return Err(Refusal::AppExists.into());
        }
        let secret = secrets::fresh();
        // The vault takes a number once: of two who create the same app at the same time, only one gets further, and the secret
        // that it is told is the one that is kept.
        let (vault, key, kept) = (Arc::clone(&self.vault), app.clone(), secret.clone());
        let put = tasks::spawn_blocking(move || {
            if vault.secrets(&key)?.iter().any(|(number, _)| *number == SecretId(1)) {
                return Ok(false);
            }
            vault.put_secret(&key, SecretId(1), &kept).map(|()| true)
        });
        if !put.await.map_err(|error| Error::Unavailable(error.to_string()))?? {
            return Err(Refusal::AppExists.into());
        }
        self.operate(&caller, app::Command::Register(environment, plan)).await?;
        let added = self.add_api_key(&caller, ApiScope::ALL.into_iter().collect()).await?;
        let added = added.ok_or_else(|| Error::Unavailable("the new app's key was made by somebody else".into()))?;
        Ok(CreatedApp { secret, api_key: added.key, position: added.position })
    }

    /// The read models in which a stream is parked.
    ///
    /// # Errors
    /// The read store is unavailable.
    pub async fn parked_in(&self, stream: &str) -> Result<Vec<&'static dyn Projection>, Error> {
        let (mut models, mut after, mut looked_through) = (vec![], (0, String::new()), 0);
        while looked_through < LOOKED_THROUGH_MAX {
            let page: Vec<ParkedKey> = self.read.parked_after((after.0, &after.1), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = (last.position, last.model.clone());
            looked_through += page.len();
            let of_stream = page.iter().filter(|key| key.stream == stream);
            models.extend(of_stream.filter_map(|key| ALL.iter().copied().find(|model| model.name() == key.model)));
        }
        Ok(models)
    }

    /// Applies the parked events of a stream to a read model again, on a thread that may wait.
    ///
    /// # Errors
    /// A part is unavailable; what was applied stays applied.
    pub async fn retry_parked(&self, model: &'static dyn Projection, stream: &str) -> Result<Retried, Error> {
        let (log, vault, read) = (self.log.clone(), self.vault.clone(), self.read.clone());
        let (stream, handle) = (stream.to_owned(), Handle::current());
        let retried =
            tasks::spawn_blocking(move || tasks::block_on(&handle, parked::retry(&log, &vault, &read, model, &stream)));
        let retried = retried.await.map_err(|error| Error::Unavailable(error.to_string()))?;
        let retried = retried.map_err(|error| Error::Unavailable(error.to_string()))?;
        self.directory.ask_again();
        if model.name() == "apps" {
            self.reload_apps().await?;
        }
        Ok(retried)
    }

    /// Has a read model skip the parked events of a stream, on a thread that may wait; answers how many.
    ///
    /// # Errors
    /// The read store is unavailable.
    pub async fn resolve_parked(
        &self,
        model: &'static dyn Projection,
        stream: &str,
        reason: &str,
    ) -> Result<u64, Error> {
        let (read, stream, reason) = (self.read.clone(), stream.to_owned(), reason.to_owned());
        let handle = Handle::current();
        let resolved = tasks::spawn_blocking(move || {
            tasks::block_on(&handle, read.resolve_parked(model.name(), &stream, &reason))
        });
        let resolved = resolved.await.map_err(|error| Error::Unavailable(error.to_string()))??;
        self.directory.ask_again();
        Ok(resolved)
    }
}
