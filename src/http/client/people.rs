//! People as clients name and see them.

use rollcall_projections::user_directory::{self, User};
use rollcall_projections::{friend_graph, hosted_profiles, user_settings};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::Visibility;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Call;
use super::problem::Problem;
use crate::domain::values::{self, Invalid, UserId};
use crate::engine::opening::Opener;
use crate::http::cursor::Cursor;

/// Somebody.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    user_id: String,
}

impl Target {
    pub(super) fn user_id(&self) -> Result<UserId, Problem> {
        user_id(&self.user_id)
    }
}

pub(super) fn user_id(text: &str) -> Result<UserId, Problem> {
    Ok(UserId::parse("user_id", text)?)
}

/// At most `max` userIds, at least one.
pub(super) fn user_ids(texts: &[String], max: usize) -> Result<Vec<UserId>, Problem> {
    if texts.is_empty() {
        return Err(Invalid::missing("user_ids").into());
    }
    if texts.len() > max {
        return Err(Invalid::new("user_ids", values::Problem::TooMany { max }).into());
    }
    texts.iter().map(|text| user_id(text)).collect()
}

/// A page of a list.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// The `next` of an earlier answer.
    pub(super) cursor: Option<String>,
    /// How many, from 1 to 500; 100 where it is not said.
    pub(super) limit: Option<u32>,
}

/// The number of entries asked for.
pub(super) fn limit(asked: Option<u32>, usual: u32, max: u32) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(usual);
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    let range = values::Problem::OutOfRange { min: 1, max: max.into() };
    Err(Problem::Invalid(Invalid::new("limit", range), Some(34_232)))
}

/// The place that a cursor names.
pub(super) fn cursor<C: Cursor>(asked: Option<&str>) -> Result<Option<C>, Problem> {
    let malformed = || Problem::Invalid(Invalid::malformed("cursor", "the `next` of an earlier answer"), Some(25_432));
    asked.map(|text| C::decode(text).ok_or_else(malformed)).transpose()
}

/// The text that a client gives back for the page after a place.
pub(super) fn next(place: &impl Cursor) -> String {
    place.encode()
}

/// Cuts rows that were read with one more than the page has; answers the cursor of the next page, if there is one.
pub(super) fn cut<T, C: Cursor>(rows: &mut Vec<T>, limit: u32, place: impl Fn(&T) -> C) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(|row| place(row).encode())
}

/// A stored value, opened; `None`: there is none, or it is erased.
pub(super) fn opened<T: DeserializeOwned>(
    opener: &mut Opener<'_>,
    subject: SubjectRef,
    field: &str,
    sealed: Option<&[u8]>,
) -> Result<Option<T>, Problem> {
    match sealed {
        Some(sealed) => Ok(opener.open(subject, field, sealed)?),
        None => Ok(None),
    }
}

/// The userIds of subjects, in their order; `None`: forgotten.
pub(super) async fn ids_of(call: &Call<'_>, subjects: &[SubjectRef]) -> Result<Vec<Option<String>>, Problem> {
    let sealed = user_directory::user_ids(call.engine.read(), &call.app.id, subjects).await?;
    let answer = |opener: &mut Opener<'_>| {
        let each = subjects.iter().zip(&sealed);
        each.map(|(subject, sealed)| opened(opener, *subject, "user_id", sealed.as_deref())).collect()
    };
    call.engine.disclose(&call.caller, subjects, answer).await
}

/// A user as another one sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct Person {
    pub(super) user_id: String,
    pub(super) name: Option<String>,
    pub(super) portrait_uri: Option<String>,
    /// The hosted profile; absent where the user does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<Map<String, Value>>,
}

/// What is stored about people, with what each shows to whoever asks.
pub(super) struct Portrayed {
    user_id: String,
    user: User,
    profile: Option<hosted_profiles::Profile>,
    shown: bool,
    hidden: bool,
}

/// Registered people with their userIds, as far as the user of the call may see them.
pub(super) async fn portrayed(
    call: &Call<'_>,
    people: Vec<(String, SubjectRef)>,
) -> Result<Vec<Option<Portrayed>>, Problem> {
    let (read, app) = (call.engine.read(), &call.app.id);
    let subjects: Vec<_> = people.iter().map(|(_, subject)| *subject).collect();
    let users = user_directory::by_subjects(read, app, &subjects).await?;
    let profiles = hosted_profiles::of_subjects(read, app, &subjects).await?;
    let settings = user_settings::of_subjects(read, &subjects).await?;
    let friends = friend_graph::among(read, call.subject, &subjects).await?;
    let rows = people.into_iter().zip(users).zip(profiles).zip(settings.iter().zip(friends));
    let portrayed = rows.map(|((((user_id, subject), user), profile), (settings, is_friend))| {
        let user = user.filter(User::is_active)?;
        let shown = subject == call.subject || shows(settings.visibility, is_friend.is_some());
        let hidden = subject != call.subject && settings.visibility == Some(Visibility::Hidden);
        Some(Portrayed { user_id, user, profile, shown, hidden })
    });
    Ok(portrayed.collect())
}

/// Whether the hosted profile is shown. Who has not chosen shows it to friends: what nobody decided is not told to everybody.
fn shows(visibility: Option<Visibility>, is_friend: bool) -> bool {
    match visibility.unwrap_or(Visibility::Friends) {
        Visibility::Hidden => false,
        Visibility::All => true,
        Visibility::Friends => is_friend,
    }
}

/// The fields of a hosted profile.
pub(super) fn fields(
    opener: &mut Opener<'_>,
    profile: Option<&hosted_profiles::Profile>,
) -> Result<Map<String, Value>, Problem> {
    let mut fields = Map::new();
    for (profile, (name, sealed)) in profile.into_iter().flat_map(|p| p.fields.iter().map(move |field| (p, field))) {
        if let Some(value) = opener.open(profile.subject, &name.0, sealed)? {
            fields.insert(name.0.clone(), value);
        }
    }
    Ok(fields)
}

impl Portrayed {
    pub(super) fn subject(&self) -> SubjectRef {
        self.user.subject
    }

    /// With the userId that it was found without.
    pub(super) fn named(self, user_id: String) -> Self {
        Self { user_id, ..self }
    }

    /// Whether the user chose to show its hosted profile to nobody, so that no field of it may lead to it either.
    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    pub(super) fn open(&self, opener: &mut Opener<'_>) -> Result<Person, Problem> {
        let subject = self.user.subject;
        Ok(Person {
            user_id: self.user_id.clone(),
            name: opened(opener, subject, "name", self.user.name.as_deref())?,
            portrait_uri: opened(opener, subject, "portrait", self.user.portrait.as_deref())?,
            profile: if self.shown { Some(fields(opener, self.profile.as_ref())?) } else { None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_shown_as_its_user_chose_and_to_friends_where_it_did_not() {
        for (visibility, stranger, friend) in [
            (None, false, true),
            (Some(Visibility::Hidden), false, false),
            (Some(Visibility::All), true, true),
            (Some(Visibility::Friends), false, true),
        ] {
            assert_eq!((shows(visibility, false), shows(visibility, true)), (stranger, friend), "{visibility:?}");
        }
    }
}
