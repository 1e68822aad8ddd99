//! The hosted profiles of many users.

use std::collections::HashSet;

use rollcall_projections::hosted_profiles::{self, Profile};
use rollcall_projections::user_directory;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Call;
use super::endpoint::Untyped;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::profile::fields;
use super::users::opened;
use crate::domain::values::{self, Invalid, UserId};

/// Users of one query.
const USERS_MAX: usize = 1_000;

/// A hosted profile, and whose it is.
#[derive(Serialize, ToSchema)]
pub(super) struct UserProfile {
    user_id: String,
    /// The fields that have a value; those of the app begin with `ext_`.
    #[schema(value_type = Untyped)]
    profile: Map<String, Value>,
}

/// The userIds of users, each as often as is liked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileQuery {
    user_ids: Vec<String>,
}

/// The profiles of those who have one.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundProfiles {
    profiles: Vec<UserProfile>,
    /// Who is not registered, is deactivated, or has no field with a value.
    missing: Vec<String>,
}

/// A part of the hosted profiles.
#[derive(Serialize, ToSchema)]
pub(super) struct ProfilePage {
    profiles: Vec<UserProfile>,
    #[serde(flatten)]
    links: PageLinks,
}

/// The profiles as they are disclosed, without those of users who were erased in this moment.
async fn disclosed(call: &Call<'_>, found: &[Profile]) -> Result<Vec<UserProfile>, Problem> {
    let subjects: Vec<_> = found.iter().map(|profile| profile.subject).collect();
    let ids = user_directory::user_ids(call.engine.read(), &call.app.id, &subjects).await?;
    let told = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut told = Vec::with_capacity(found.len());
        for (profile, id) in found.iter().zip(&ids) {
            let Some(user_id) = opened(opener, profile.subject, "user_id", id.as_deref())? else { continue };
            let profile = fields(opener, profile)?;
            if !profile.is_empty() {
                told.push(UserProfile { user_id, profile });
            }
        }
        Ok::<_, Problem>(told)
    });
    told.await
}

/// `POST /profiles/query`: the hosted profiles of users.
pub(super) async fn query(call: &Call<'_>) -> Result<Answer, Problem> {
    let ProfileQuery { user_ids } = call.json()?;
    let invalid = |invalid| Problem::Invalid("#/user_ids", invalid);
    if user_ids.len() > USERS_MAX {
        return Err(invalid(Invalid::new("user_ids", values::Problem::TooMany { max: USERS_MAX })));
    }
    let ids = user_ids.iter().map(|id| UserId::parse("user_ids", id)).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(invalid)?;
    call.engine.caught_up(&call.app.id).await?;
    let subjects = call.engine.find_all(&call.app.id, &ids).await?;
    let known: Vec<_> = subjects.into_iter().flatten().collect();
    let found = hosted_profiles::of_subjects(call.engine.read(), &call.app.id, &known).await?;
    let found: Vec<_> = found.into_iter().flatten().collect();
    let profiles = disclosed(call, &found).await?;
    let told: HashSet<_> = profiles.iter().map(|profile| profile.user_id.as_str()).collect();
    let missing = user_ids.iter().filter(|id| !told.contains(id.as_str())).cloned().collect();
    Answer::query(&FoundProfiles { profiles, missing })
}

/// `GET /profiles?cursor=&limit=`: the hosted profiles of the app, the earliest registration first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let read = call.engine.read();
    let mut rows = hosted_profiles::listed(read, &call.app.id, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |(place, _)| Some(*place));
    let found: Vec<_> = rows.into_iter().filter_map(|(_, profile)| profile).collect();
    Answer::query(&ProfilePage { profiles: disclosed(call, &found).await?, links })
}
