//! Tags. Setting them takes JSON, asking for them a form.

use std::collections::HashSet;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::answer::{Answer, Fault, OK};
use super::{Call, form};
use crate::domain::user;
use crate::domain::values::{Invalid, Problem, Tag, UserId};

/// Tags a user may have.
const TAGS_MAX: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagBody {
    user_id: Option<String>,
    user_ids: Option<Vec<String>>,
    tags: Option<Vec<String>>,
}

impl TagBody {
    fn read(body: &[u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(body).map_err(|_| Invalid::malformed("body", "a JSON object {userId or userIds, tags}"))
    }

    fn tags(&self) -> Result<Vec<Tag>, Invalid> {
        let given = self.tags.as_deref().ok_or(Invalid::missing("tags"))?;
        let mut seen = HashSet::new();
        let tags: Vec<_> = given.iter().filter(|tag| seen.insert(tag.as_str())).collect();
        if tags.len() > TAGS_MAX {
            return Err(Invalid::new("tags", Problem::TooMany { max: TAGS_MAX }));
        }
        tags.into_iter().map(|tag| Tag::parse(tag)).collect()
    }
}

/// `tag/set`: replace the tags of a user; an empty list takes all away.
pub(super) async fn tag(call: &Call<'_>) -> Result<Answer, Fault> {
    let asked = TagBody::read(&call.body)?;
    let user_id = UserId::parse("userId", asked.user_id.as_deref().unwrap_or_default())?;
    call.done(user::Change::Tag(asked.tags()?).of(vec![user_id])).await
}

/// `tag/batch/set`: replace the tags of users.
pub(super) async fn tag_users(call: &Call<'_>) -> Result<Answer, Fault> {
    let asked = TagBody::read(&call.body)?;
    let members = asked.user_ids.iter().flatten().map(String::as_str);
    let who = form::user_ids("userIds", members, 1_000)?;
    call.done(user::Change::Tag(asked.tags()?).of(who)).await
}

#[derive(Serialize)]
struct Tagged<'t> {
    code: u16,
    result: TagsOf<'t>,
}

/// A map in the order asked.
struct TagsOf<'t>(Vec<(&'t str, Vec<String>)>);

impl Serialize for TagsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (user_id, tags) in &self.0 {
            map.serialize_entry(user_id, tags)?;
        }
        map.end()
    }
}

/// `tags/get`: the tags of users.
pub(super) async fn query_tags(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.form()?.user_ids("userIds", 50)?;
    let result = TagsOf(call.reader().tags_of(&who).await?);
    Answer::of(&Tagged { code: OK, result })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_empty_list_of_tags_is_not_a_missing_one() {
        assert!(TagBody::read(br#"{"userId":"a","tags":[]}"#).unwrap().tags().unwrap().is_empty());
        assert_eq!(TagBody::read(br#"{"userId":"a"}"#).unwrap().tags().unwrap_err(), Invalid::missing("tags"));
    }

    #[test]
    fn tags_are_counted_once_each_and_measured_in_bytes() {
        let tags = |json: &str| TagBody::read(format!(r#"{{"tags":{json}}}"#).as_bytes()).unwrap().tags();
        assert_eq!(tags(r#"["a","b","a"]"#).unwrap().len(), 2);
        let many: Vec<_> = (0..=TAGS_MAX).map(|n| n.to_string()).collect();
        let many = tags(&serde_json::to_string(&many).unwrap());
        assert_eq!(many.unwrap_err().problem, Problem::TooMany { max: TAGS_MAX });
        assert!(tags(r#"["男男男男男男男男男男男男男"]"#).is_ok());
        assert!(matches!(tags(r#"["男男男男男男男男男男男男男男"]"#).unwrap_err().problem, Problem::TooLong { .. }));
    }

    #[test]
    fn json_of_other_types_or_of_any_depth_is_refused() {
        let deep = "[".repeat(100_000);
        for body in [r#"{"userId":1,"tags":[]}"#, r#"{"tags":"a"}"#, r#"["userId"]"#, "", deep.as_str()] {
            assert!(TagBody::read(body.as_bytes()).is_err());
        }
    }
}
