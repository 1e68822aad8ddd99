//! Hosted profiles. Requests and answers carry `userProfile` and `userExtProfile` as texts that hold JSON.

use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::{Call, convert};
use crate::domain::user;
use crate::domain::values::{Invalid, extension_fields, profile_fields};
use crate::http::platform::shown;

/// `profile/set`: set or clear fields of a hosted profile; fields that are not named stay.
pub(super) async fn set_profile(call: &Call<'_>) -> Result<Answer, Fault> {
    const EXTENSIONS_MAX: usize = 20;
    let form = call.form()?;
    let user_id = form.user_id("userId")?;
    let fixed = convert::object(&form, "userProfile")?;
    let extensions = convert::object(&form, "userExtProfile")?;
    if fixed.is_none() && extensions.is_none() {
        return Err(Invalid::missing("userProfile").into());
    }
    let mut changes = profile_fields(&fixed.unwrap_or_default())?;
    changes.extend(extension_fields("userExtProfile", &extensions.unwrap_or_default(), EXTENSIONS_MAX)?);
    call.done(user::Change::SetProfile(changes).of(vec![user_id])).await
}

/// `profile/clean`: clear hosted profiles.
pub(super) async fn clean_profile(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.form()?.user_ids("userId", 20)?;
    call.done(user::Change::CleanProfile.of(who)).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profiles {
    code: u16,
    user_list: Vec<Profile>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    user_id: String,
    version: u64,
    user_profile: String,
    user_ext_profile: String,
}

impl Profile {
    fn of(shown: shown::Profile) -> Result<Self, Fault> {
        let text = |fields| serde_json::to_string(fields).map_err(Fault::Unwritable);
        Ok(Self {
            user_profile: text(&shown.fixed)?,
            user_ext_profile: text(&shown.extensions)?,
            user_id: shown.user_id,
            version: shown.version,
        })
    }
}

fn answered(profiles: Vec<shown::Profile>) -> Result<Answer, Fault> {
    let user_list = profiles.into_iter().map(Profile::of).collect::<Result<_, _>>()?;
    Answer::of(&Profiles { code: OK, user_list })
}

/// `profile/batch/query`: the hosted profiles of users; users without one are left out.
pub(super) async fn query_profiles(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.form()?.user_ids("userId", 100)?;
    answered(call.reader().profiles_of(&who).await?)
}

/// `profile/query`: the hosted profiles of an app, by registration.
pub(super) async fn list_profiles(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    // The platform's documentation calls the size of a page both ways.
    let size = if form.text("size").is_some() { "size" } else { "count" };
    let page = convert::page(&form, ("page", size), (20, 100))?;
    let order = convert::order(&form)?;
    answered(call.reader().profiles(page, order).await?)
}
