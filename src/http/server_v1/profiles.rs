//! Hosted profiles. Requests and answers carry `userProfile` and `userExtProfile` as texts that hold JSON.

use rollcall_projections::{hosted_profiles, user_directory};
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::{Call, convert};
use crate::domain::user;
use crate::domain::values::{Invalid, extension_fields, profile_fields};
use crate::engine::opening::Opener;

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

fn opened(opener: &mut Opener<'_>, user_id: String, profile: &hosted_profiles::Profile) -> Result<Profile, Fault> {
    let fields = profile.fields.iter().map(|(name, sealed)| (name.0.as_str(), sealed.as_slice()));
    let (extensions, fixed): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| name.starts_with("ext_"));
    Ok(Profile {
        user_id,
        version: profile.version,
        user_profile: convert::opened_fields(opener, profile.subject, fixed.into_iter())?,
        user_ext_profile: convert::opened_fields(opener, profile.subject, extensions.into_iter())?,
    })
}

/// `profile/batch/query`: the hosted profiles of users; users without one are left out.
pub(super) async fn query_profiles(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.form()?.user_ids("userId", 100)?;
    call.caught_up().await?;
    let subjects = convert::subjects(call, &who).await?;
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let found = hosted_profiles::of_subjects(call.engine.read(), &call.app.id, &known).await?;
    let mut profiles = found.into_iter();
    let user_list = call.disclose(&known, |opener| {
        let mut user_list = vec![];
        for (user_id, subject) in who.iter().zip(subjects) {
            if let Some(profile) = subject.and_then(|_| profiles.next()).flatten() {
                user_list.push(opened(opener, user_id.as_str().to_owned(), &profile)?);
            }
        }
        Ok(user_list)
    });
    Answer::of(&Profiles { code: OK, user_list: user_list.await? })
}

/// `profile/query`: the hosted profiles of an app, by registration.
pub(super) async fn list_profiles(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    // The platform's documentation calls the size of a page both ways.
    let size = if form.text("size").is_some() { "size" } else { "count" };
    let page = convert::page(&form, ("page", size), (20, 100))?;
    let order = convert::order(&form)?;
    call.caught_up().await?;
    let app = &call.app.id;
    let profiles = hosted_profiles::page(call.engine.read(), app, page, order).await?;
    let subjects: Vec<_> = profiles.iter().map(|profile| profile.subject).collect();
    let ids = user_directory::user_ids(call.engine.read(), app, &subjects).await?;
    let user_list = call.disclose(&subjects, |opener| {
        let mut user_list = vec![];
        for (sealed, profile) in ids.into_iter().zip(&profiles) {
            if let Some(user_id) = convert::user_id(opener, profile.subject, sealed.as_deref())? {
                user_list.push(opened(opener, user_id, profile)?);
            }
        }
        Ok(user_list)
    });
    Answer::of(&Profiles { code: OK, user_list: user_list.await? })
}
