//! Secrets of an app: added and retired while the service runs. Several are valid while one replaces another.

use std::sync::Arc;

use rollcall_projections::apps;
use rollcall_schemas::ids::SecretId;
use uuid::Uuid;

use super::{Caller, Engine, Error};
use crate::domain::{Expected, Refusal, app};
use crate::privacy::{self, Vault};
use crate::tasks;

/// How often another number is tried where callers add secrets to the same app at the same time.
const ATTEMPTS_MAX: usize = 8;

/// A secret nobody can guess: 122 random bits.
#[must_use]
pub fn fresh() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A secret that was made valid.
pub struct AddedSecret {
    /// Its number.
    pub number: SecretId,
    /// The secret. It is not shown again.
    pub secret: String,
    /// The log holds it at this position.
    pub position: u64,
}

/// Runs a task of the vault that writes, off the thread that answers requests.
async fn write(
    vault: &Arc<dyn Vault>,
    task: impl FnOnce(&dyn Vault) -> Result<(), privacy::Error> + Send + 'static,
) -> Result<(), Error> {
    let vault = Arc::clone(vault);
    let done = tasks::spawn_blocking(move || task(vault.as_ref())).await;
    Ok(done.map_err(|error| Error::Unavailable(error.to_string()))??)
}

impl Engine {
    /// Executes a command about the caller's app and lets this node act on it at once.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub async fn operate(&self, caller: &Caller, command: app::Command) -> Result<u64, Error> {
        self.operate_expecting(caller, command, None).await
    }

    /// As [`Engine::operate`], if the stream of the app has the revision that the caller expects.
    ///
    /// # Errors
    /// As [`Engine::execute_expecting`].
    pub async fn operate_expecting(
        &self,
        caller: &Caller,
        command: app::Command,
        expected: Option<Expected>,
    ) -> Result<u64, Error> {
        let position = self.execute_expecting(caller, command, expected).await?.position;
        // What the apps are on this node is read again before anything counts as applied.
        self.applied_up_to(position).await?;
        Ok(position)
    }

    /// Makes another secret of the caller's app valid; it becomes the current one. `None`: an earlier call with the same
    /// idempotency key did it, and nobody keeps what it answered.
    ///
    /// # Errors
    /// There is no such app, or a part is unavailable.
    pub async fn add_secret(&self, caller: &Caller) -> Result<Option<AddedSecret>, Error> {
        let (key, secret) = (&caller.app, fresh());
        let row = apps::of(&self.read, key).await?.ok_or(Refusal::NoSuchApp)?;
        // A number is never used twice: what a call that was cut short left in the vault keeps its own.
        let stored = self.vault.secrets(key)?;
        let taken = row.secrets.iter().chain(stored.iter().map(|(number, _)| number)).map(|number| number.0).max();
        let mut number = SecretId(taken.unwrap_or(0) + 1);
        for _ in 0..ATTEMPTS_MAX {
            let (app, stored) = (key.clone(), secret.clone());
            // The vault first: an event never names a secret that is not there.
            write(&self.vault, move |vault| vault.put_secret(&app, number, &stored)).await?;
            let outcome = self.operate(caller, app::Command::AddSecret(number)).await;
            match outcome {
                Ok(position) if position > 0 => return Ok(Some(AddedSecret { number, secret, position })),
                // It may be recorded, and then it must be in the vault.
                Err(error @ (Error::Ambiguous(_) | Error::Behind | Error::Unavailable(_))) => return Err(error),
                Ok(_) | Err(_) => {}
            }
            let app = key.clone();
            write(&self.vault, move |vault| vault.drop_secret(&app, number)).await?;
            match outcome {
                Ok(_) => return Ok(None),
                Err(Error::Refused(Refusal::SecretNumberTaken { next })) => number = next.max(SecretId(number.0 + 1)),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy)
    }

    /// Ends a secret of the caller's app, and with it the access tokens issued under it. The last one cannot be ended.
    ///
    /// # Errors
    /// There is no such secret, it is the last one, or a part is unavailable.
    pub async fn retire_secret(&self, caller: &Caller, number: SecretId) -> Result<u64, Error> {
        let position = self.operate(caller, app::Command::RetireSecret(number)).await?;
        let app = caller.app.clone();
        write(&self.vault, move |vault| vault.drop_secret(&app, number)).await?;
        Ok(position)
    }
}
