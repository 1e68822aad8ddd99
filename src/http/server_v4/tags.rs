//! Tags.

use std::collections::HashSet;

use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault};
use crate::domain::user;
use crate::domain::values::{Invalid, Problem, Tag};

/// Tags a user may have.
const TAGS_MAX: usize = 20;

/// Replace the tags of users; an empty list takes all away.
pub(super) async fn batch_set_user_tags(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let who = params.user_ids("userIds", 1_000)?;
    let given = params.texts("tags")?.ok_or(Invalid::missing("tags"))?;
    let mut seen = HashSet::new();
    let tags: Vec<_> = given.into_iter().filter(|tag| seen.insert(*tag)).collect();
    if tags.len() > TAGS_MAX {
        return Err(Invalid::new("tags", Problem::TooMany { max: TAGS_MAX }).into());
    }
    let tags = tags.into_iter().map(Tag::parse).collect::<Result<_, _>>()?;
    call.done(user::Change::Tag(tags).of(who)).await
}

#[derive(Serialize)]
struct Tagged<'t> {
    users: Vec<TaggedUser<'t>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaggedUser<'t> {
    user_id: &'t str,
    tags: Vec<String>,
}

/// The tags of users, in the order asked.
pub(super) async fn batch_get_user_tags(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.params()?.user_ids("userIds", 50)?;
    let tagged = call.reader().tags_of(&who).await?.into_iter();
    Answer::of(&Tagged { users: tagged.map(|(user_id, tags)| TaggedUser { user_id, tags }).collect() })
}
