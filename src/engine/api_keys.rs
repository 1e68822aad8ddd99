//! API keys: what a caller of the REST face shows. Only a keyed hash of a key is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rollcall_projections::apps;
use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::{ApiKey, ApiScope};
use uuid::Uuid;

use super::{App, Caller, Engine, Error};
use crate::domain::app;
use crate::privacy::Vault;

const PREFIX: &str = "rk_";

/// A key of an app that nobody can guess: 244 random bits.
#[must_use]
pub fn fresh(app: &AppId) -> String {
    format!("{PREFIX}{app}_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// The hash a key is kept as.
///
/// # Errors
/// The vault is unavailable.
pub fn digest(vault: &dyn Vault, app: &AppId, key: &str) -> Result<String, Error> {
    Ok(hex::encode(vault.fingerprint(app, &[b"api key", key.as_bytes()])?))
}

/// A key that was made valid.
pub struct AddedKey {
    /// Its number and scopes.
    pub description: ApiKey,
    /// The key. It is not shown again.
    pub key: String,
    /// The log holds it at this position.
    pub position: u64,
}

impl Engine {
    /// Makes another API key of the caller's app valid. `None`: an earlier call with the same idempotency key did it, and
    /// nobody keeps what it answered.
    ///
    /// # Errors
    /// There is no such app, or a part is unavailable.
    pub async fn add_api_key(&self, caller: &Caller, scopes: BTreeSet<ApiScope>) -> Result<Option<AddedKey>, Error> {
        let key = fresh(&caller.app);
        let digest = digest(self.vault.as_ref(), &caller.app, &key)?;
        let position = self.operate(caller, app::Command::AddApiKey(scopes, digest.clone())).await?;
        let keys = apps::of(&self.read, &caller.app).await?.map(|app| app.api_keys).unwrap_or_default();
        let added = keys.into_iter().find(|added| added.digest == digest);
        Ok(added.map(|description| AddedKey { description, key, position }))
    }
}

/// The app and the description of a key; `None`: there is none, or it was retired.
///
/// # Errors
/// The vault is unavailable.
pub fn find(engine: &Engine, key: &str) -> Result<Option<(Arc<App>, ApiKey)>, Error> {
    let Some((app, _)) = key.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('_')) else { return Ok(None) };
    let Some(app) = engine.app(app) else { return Ok(None) };
    let digest = digest(engine.vault().as_ref(), &app.id, key)?;
    let is_it = |kept: &&ApiKey| verify_slices_are_equal(kept.digest.as_bytes(), digest.as_bytes()).is_ok();
    let found = app.api_keys.iter().find(is_it).cloned();
    Ok(found.map(|found| (app, found)))
}
