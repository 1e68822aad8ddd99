//! Hosted profiles, as JSON objects.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Call;
use super::answer::{Answer, Fault};
use crate::domain::user;
use crate::domain::values::{Invalid, extension_fields, profile_fields};
use crate::http::platform::shown;

/// Users one call may name.
const USERS_MAX: usize = 20;

/// Set or clear fields of a hosted profile; fields that are not named stay.
pub(super) async fn set_user_profile(call: &Call<'_>) -> Result<Answer, Fault> {
    const EXTENSIONS_MAX: usize = 20;
    let params = call.params()?;
    let user_id = params.user_id("userId")?;
    let (fixed, extensions) = (params.object("userProfile")?, params.object("userExtProfile")?);
    if fixed.is_none() && extensions.is_none() {
        return Err(Invalid::missing("userProfile").into());
    }
    let none = Map::new();
    let mut changes = profile_fields(fixed.unwrap_or(&none))?;
    changes.extend(extension_fields("userExtProfile", extensions.unwrap_or(&none), EXTENSIONS_MAX)?);
    call.done(user::Change::SetProfile(changes).of(vec![user_id])).await
}

/// Clear hosted profiles.
pub(super) async fn delete_user_profiles(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.params()?.user_ids("userIds", USERS_MAX)?;
    call.done(user::Change::CleanProfile.of(who)).await
}

#[derive(Serialize)]
struct Profiles {
    users: Vec<Profile>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    user_id: String,
    version: u64,
    // The platform drops what is empty.
    #[serde(skip_serializing_if = "Map::is_empty")]
    user_profile: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    user_ext_profile: Map<String, Value>,
}

fn answered(profiles: Vec<shown::Profile>) -> Result<Answer, Fault> {
    let users = profiles.into_iter().map(|profile| Profile {
        user_id: profile.user_id,
        version: profile.version,
        user_profile: profile.fixed,
        user_ext_profile: profile.extensions,
    });
    Answer::of(&Profiles { users: users.collect() })
}

/// The hosted profiles of users; users without one are left out.
pub(super) async fn batch_get_user_profiles(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.params()?.user_ids("userIds", USERS_MAX)?;
    answered(call.reader().profiles_of(&who).await?)
}

/// The hosted profiles of an app, by registration.
pub(super) async fn list_user_profiles(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let (page, order) = (params.page(20, 100)?, params.order()?);
    answered(call.reader().profiles(page, order).await?)
}
