//! A lenient form: official SDKs send raw UTF-8, stray `%`, `+` and `%20`, repeated keys and comma lists.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::domain::values::{Invalid, Problem, UserId};

/// Pairs a form may have.
const PAIRS_MAX: usize = 5_000;

/// The parameters of a request. Unknown ones are ignored.
pub(super) struct Form<'b>(Vec<(Cow<'b, str>, Cow<'b, str>)>);

impl<'b> Form<'b> {
    /// Parses a body. What is not UTF-8 becomes U+FFFD, which every value refuses.
    ///
    /// # Errors
    /// It has too many pairs.
    pub(super) fn parse(body: &'b [u8]) -> Result<Self, Invalid> {
        let mut pairs = Vec::with_capacity(8);
        for pair in form_urlencoded::parse(body) {
            if pairs.len() == PAIRS_MAX {
                return Err(Invalid::new("form", Problem::TooMany { max: PAIRS_MAX }));
            }
            pairs.push(pair);
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter, also an empty one; the first where it is repeated.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// The value of a parameter; an empty one counts as absent, since some SDKs send what they were not given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// It is absent or empty.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, Invalid> {
        self.text(name).ok_or(Invalid::missing(name))
    }

    /// Every pair, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// One userId.
    ///
    /// # Errors
    /// It is absent or not a userId.
    pub(super) fn user_id(&self, name: &'static str) -> Result<UserId, Invalid> {
        UserId::parse(name, self.required(name)?)
    }

    /// A list of 1 to `max` userIds, each once, in the order given: `a=1&a=2`, `a=1,2`, `a[]=1` and `a[0]=1` are one.
    ///
    /// # Errors
    /// It is empty or too long, or a member is not a userId.
    pub(super) fn user_ids(&self, name: &'static str, max: usize) -> Result<Vec<UserId>, Invalid> {
        let named = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
        let members = self.pairs().filter(|(key, _)| named(key)).flat_map(|(_, value)| value.split(','));
        user_ids(name, members, max)
    }

    /// A number from `min` to `max`; an empty one counts as absent.
    ///
    /// # Errors
    /// It is not a number, or out of range.
    pub(super) fn number(&self, name: &'static str, min: i64, max: i64) -> Result<Option<i64>, Invalid> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number: i64 = text.trim().parse().map_err(|_| Invalid::malformed(name, "a whole number"))?;
        if (min..=max).contains(&number) {
            Ok(Some(number))
        } else {
            Err(Invalid::new(name, Problem::OutOfRange { min, max }))
        }
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// It is absent, not a number, or out of range.
    pub(super) fn required_number(&self, name: &'static str, min: i64, max: i64) -> Result<i64, Invalid> {
        self.number(name, min, max)?.ok_or(Invalid::missing(name))
    }
}

/// 1 to `max` userIds, each once, in the order given; empty members are dropped.
///
/// # Errors
/// There is none or too many, or a member is not a userId.
pub(super) fn user_ids<'m>(
    name: &'static str,
    members: impl Iterator<Item = &'m str>,
    max: usize,
) -> Result<Vec<UserId>, Invalid> {
    let mut seen = HashSet::new();
    let mut list = vec![];
    for member in members.filter(|member| !member.is_empty()) {
        if !seen.insert(member) {
            continue;
        }
        if list.len() == max {
            return Err(Invalid::new(name, Problem::TooMany { max }));
        }
        list.push(UserId::parse(name, member)?);
    }
    if list.is_empty() { Err(Invalid::missing(name)) } else { Ok(list) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn ids(body: &str, max: usize) -> Result<Vec<String>, Invalid> {
        let form = Form::parse(body.as_bytes())?;
        Ok(form.user_ids("userId", max)?.iter().map(|id| id.as_str().to_owned()).collect())
    }

    #[test]
    fn the_raw_body_of_the_python_sdk_is_read_as_meant() {
        let form = Form::parse("userId=jlk456j5&name=铁 人%&portraitUri=http://abc.com/p.jpg?a=1".as_bytes()).unwrap();
        assert_eq!(form.text("userId"), Some("jlk456j5"));
        assert_eq!(form.text("name"), Some("铁 人%"));
        assert_eq!(form.text("portraitUri"), Some("http://abc.com/p.jpg?a=1"));
    }

    #[test]
    fn plus_and_percent_twenty_are_the_same_space() {
        let form = Form::parse(b"a=%E9%93%81+%E4%BA%BA%2B%26&b=%E9%93%81%20%E4%BA%BA%2B%26").unwrap();
        assert_eq!(form.text("a"), Some("铁 人+&"));
        assert_eq!(form.text("a"), form.text("b"));
    }

    #[test]
    fn repeated_keys_commas_and_brackets_make_the_same_list() {
        for body in [
            "userId=a&userId=b&userId=c",
            "userId=a,b,c",
            "userId=a%2Cb&userId=c",
            "userId[]=a&userId[]=b&userId[]=c",
            "userId%5B0%5D=a&userId%5B1%5D=b&userId%5B2%5D=c",
            "userId=a,,b&userId=&userId=c,a,b&userIds=d",
        ] {
            assert_eq!(ids(body, 3).unwrap(), ["a", "b", "c"], "{body}");
        }
    }

    #[test]
    fn a_list_is_refused_where_it_is_empty_or_too_long() {
        assert_eq!(ids("userId=,", 3).unwrap_err(), Invalid::missing("userId"));
        assert_eq!(ids("", 3).unwrap_err(), Invalid::missing("userId"));
        assert_eq!(ids("userId=a,b,c,d", 3).unwrap_err().problem, Problem::TooMany { max: 3 });
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        let form = Form::parse(b"userId=%FF&name=%FF").unwrap();
        assert!(matches!(form.user_id("userId").unwrap_err().problem, Problem::Malformed { .. }));
        let name = crate::domain::values::Name::parse(form.text("name").unwrap());
        assert!(matches!(name.unwrap_err().problem, Problem::Malformed { .. }));
    }

    #[test]
    fn a_form_of_too_many_pairs_is_refused() {
        let body = "a=1&".repeat(PAIRS_MAX + 1);
        let refused = Form::parse(body.as_bytes()).err().expect("refused");
        assert_eq!(refused.problem, Problem::TooMany { max: PAIRS_MAX });
    }

    #[test]
    fn numbers_are_bounded_and_may_be_absent() {
        let form = Form::parse(b"a=5&b=x&c=&d=99999999999999999999").unwrap();
        assert_eq!(form.number("a", 1, 5).unwrap(), Some(5));
        assert_eq!(form.number("a", 6, 9).unwrap_err().problem, Problem::OutOfRange { min: 6, max: 9 });
        assert_eq!(form.number("c", 1, 5).unwrap(), None);
        assert!(form.number("b", 1, 5).is_err() && form.number("d", 1, 5).is_err());
    }
}
