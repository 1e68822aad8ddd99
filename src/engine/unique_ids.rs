//! Finding a user by its uniqueId, the field of the hosted profile that an app sets for it.
//!
//! The value is sealed wherever it is kept. What finds it is a tag, a hash keyed by the app's own key of the vault, which stands in a
//! read model only and is deleted with the person's profile.

use rollcall_projections::user_directory::User;
use rollcall_projections::{unique_ids, user_directory};
use rollcall_schemas::ids::AppId;

use super::{Engine, Error};
use crate::privacy::{self, Tag, Vault};

/// Most users with the same uniqueId that are looked at for one who is active.
const HOLDERS_MAX: u32 = 100;

/// The tag of a uniqueId. It is another one than that of an equal userId.
pub(super) fn tag(vault: &dyn Vault, app: &AppId, unique_id: &str) -> Result<Tag, privacy::Error> {
    let hash = vault.fingerprint(app, &[b"unique_id", unique_id.as_bytes()])?;
    hash.first_chunk().copied().ok_or_else(|| privacy::Error::Damaged("a keyed hash is too short".into()))
}

impl Engine {
    /// The active user with this uniqueId; of several, the one that has had it for the longest time. Asks the read models for what
    /// they hold: wait for [`Engine::caught_up`] first.
    ///
    /// # Errors
    /// The vault or the read models are unavailable.
    pub async fn find_by_unique_id(&self, app: &AppId, unique_id: &str) -> Result<Option<User>, Error> {
        let tag = tag(self.vault.as_ref(), app, unique_id)?;
        let holders = unique_ids::holders(&self.read, app, tag, HOLDERS_MAX).await?;
        let users = user_directory::by_subjects(&self.read, app, &holders).await?;
        Ok(users.into_iter().flatten().find(User::is_active))
    }
}
