//! Which revision of a user or an app a caller knows: `ETag`, `If-None-Match` and `If-Match` (RFC 9110).
//!
//! A tag is made of the revision of a stream, never of what is answered: it tells nothing about values that were erased, and whether
//! it is still the one is decided with the command, on whichever node.

use actix_web::http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;

use super::Call;
use super::problem::{Answer, Problem};
use crate::domain::{Expected, Refusal};
use crate::engine;

/// Most tags of one header that are looked at.
const TAGS_MAX: usize = 32;

/// A revision of a user or an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    stream: Stream,
    revision: u64,
}

/// The tags in a header; `None`: it is not given, or names every tag with `*`.
fn tags<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Vec<&'h str>> {
    let given = headers.get_all(name).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let tags: Vec<_> = given.map(str::trim).filter(|tag| !tag.is_empty()).take(TAGS_MAX).collect();
    (headers.contains_key(name) && !tags.contains(&"*")).then_some(tags)
}

impl Version {
    /// The revision of a user now; what the read models are asked for afterwards is at least as new.
    pub(super) async fn of_user(call: &Call<'_>, subject: SubjectRef) -> Result<Self, Problem> {
        Self::of(call, Stream::User(subject)).await
    }

    /// The revision of the caller's app now; what the read models are asked for afterwards is at least as new.
    pub(super) async fn of_app(call: &Call<'_>) -> Result<Self, Problem> {
        Self::of(call, Stream::App(call.app.id.clone())).await
    }

    async fn of(call: &Call<'_>, stream: Stream) -> Result<Self, Problem> {
        let revision = call.engine.applied_revision(&stream).await?;
        Ok(Self { stream, revision })
    }

    /// The entity tag. A userId that was forgotten may name somebody else later, so it says of whom it is as well.
    pub(super) fn etag(&self) -> String {
        format!("\"{}{}\"", self.prefix(), self.revision)
    }

    fn prefix(&self) -> String {
        match &self.stream {
            Stream::User(subject) => format!("{}-", subject.0.simple()).split_off(24),
            _ => String::new(),
        }
    }

    /// The revision that a tag of this stream is of; `None`: it is the tag of something else.
    fn revision_of(&self, tag: &str) -> Option<u64> {
        let tag = tag.strip_prefix('"')?.strip_suffix('"')?.strip_prefix(&*self.prefix())?;
        tag.parse().ok().filter(|revision: &u64| revision.to_string() == tag)
    }

    /// The answer to a caller that knows this revision already.
    pub(super) fn known(&self, call: &Call<'_>) -> Option<Answer> {
        let etag = self.etag();
        let knows = match tags(call.headers, &IF_NONE_MATCH) {
            // Whether a tag is weak does not matter here.
            Some(tags) => tags.iter().any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag),
            None => call.headers.contains_key(IF_NONE_MATCH),
        };
        knows.then(|| Answer::not_modified(etag))
    }

    /// What a command must find, as the caller says with `If-Match`; `None`: whatever there is.
    pub(super) fn expected(&self, call: &Call<'_>) -> Option<Expected> {
        let tags = tags(call.headers, &IF_MATCH)?;
        let revisions = tags.iter().filter_map(|tag| self.revision_of(tag)).collect();
        Some(Expected { stream: self.stream.clone(), revisions })
    }

    /// What a command must find that was decided on this revision; refused where the caller expects another one.
    pub(super) fn unchanged(&self, call: &Call<'_>) -> Result<Expected, Problem> {
        match self.expected(call) {
            Some(expected) if !expected.revisions.contains(&self.revision) => Err(Refusal::Changed.into()),
            _ => Ok(Expected { stream: self.stream.clone(), revisions: vec![self.revision] }),
        }
    }

    /// Whether a command failed because of what somebody else changed meanwhile, and not because of what the caller expects.
    pub(super) fn is_overtaken(call: &Call<'_>, error: &engine::Error) -> bool {
        matches!(error, engine::Error::Refused(Refusal::Changed)) && tags(call.headers, &IF_MATCH).is_none()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use actix_web::http::header::HeaderValue;
    use rollcall_schemas::ids::AppId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tag_is_of_one_revision_of_one_user_and_is_written_in_one_way() {
        let of = |number, revision| Version { stream: Stream::User(SubjectRef(Uuid::from_u128(number))), revision };
        let tag = of(7, 12).etag();
        assert_eq!(tag, "\"00000007-12\"");
        assert_eq!(of(7, 13).revision_of(&tag), Some(12));
        assert_eq!(of(8, 12).revision_of(&tag), None, "somebody else");
        for bad in ["00000007-12", "W/\"00000007-12\"", "\"00000007-012\"", "\"00000007-+12\"", "\"12\"", "\"\"", "\""]
        {
            assert_eq!(of(7, 12).revision_of(bad), None, "{bad}");
        }
        let app: AppId = "app".parse().unwrap();
        assert_eq!(Version { stream: Stream::App(app), revision: 3 }.etag(), "\"3\"");
    }

    #[test]
    fn a_header_names_some_tags_or_every_one() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(value));
            tags(&headers, &IF_MATCH).map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(read("\"1\", W/\"2\"").unwrap(), ["\"1\"", "W/\"2\""]);
        assert_eq!(read("*"), None);
        assert_eq!(read("").unwrap(), [""; 0], "it names none");
        assert_eq!(tags(&HeaderMap::new(), &IF_MATCH), None);
    }
}
