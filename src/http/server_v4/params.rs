//! The members of a request's JSON object. Unknown ones are ignored, `null` counts as absent, and a number may be written as
//! a text, as the documentation does in places.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rollcall_projections::{NumberedPage, Order};
use serde_json::{Map, Value};

use crate::domain::values::{Invalid, Problem, UserId};
use crate::http::cursor::Cursor as _;

/// The members of a request.
pub(super) struct Params(Map<String, Value>);

impl Params {
    /// Parses a body; an empty one is an empty object.
    ///
    /// # Errors
    /// It is not a JSON object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Invalid> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        serde_json::from_slice(body).map(Self).map_err(|_| Invalid::malformed("body", "a JSON object"))
    }

    /// A member that is there and not null.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text; an empty one counts as absent.
    ///
    /// # Errors
    /// It is no text.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Invalid> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = value.as_str().ok_or(Invalid::malformed(name, "a string"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// It is absent, empty or no text.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, Invalid> {
        self.text(name)?.ok_or(Invalid::missing(name))
    }

    /// One userId.
    ///
    /// # Errors
    /// It is absent or not a userId.
    pub(super) fn user_id(&self, name: &'static str) -> Result<UserId, Invalid> {
        UserId::parse(name, self.required(name)?)
    }

    /// A list of texts; absent: none.
    ///
    /// # Errors
    /// It is no list of texts.
    pub(super) fn texts(&self, name: &'static str) -> Result<Option<Vec<&str>>, Invalid> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let malformed = || Invalid::malformed(name, "an array of strings");
        let members = value.as_array().ok_or_else(malformed)?;
        members.iter().map(|member| member.as_str().ok_or_else(malformed)).collect::<Result<_, _>>().map(Some)
    }

    /// A list of 1 to `max` userIds, each once, in the order given.
    ///
    /// # Errors
    /// It is empty or too long, or a member is not a userId.
    pub(super) fn user_ids(&self, name: &'static str, max: usize) -> Result<Vec<UserId>, Invalid> {
        let members = self.texts(name)?.ok_or(Invalid::missing(name))?;
        let mut seen = HashSet::new();
        let distinct: Vec<_> = members.into_iter().filter(|member| seen.insert(*member)).collect();
        if distinct.is_empty() {
            return Err(Invalid::missing(name));
        }
        if distinct.len() > max {
            return Err(Invalid::new(name, Problem::TooMany { max }));
        }
        distinct.into_iter().map(|member| UserId::parse(name, member)).collect()
    }

    /// A whole number from `min` to `max`.
    ///
    /// # Errors
    /// It is not a number, or out of range.
    pub(super) fn number(&self, name: &'static str, min: i64, max: i64) -> Result<Option<i64>, Invalid> {
        let number = match self.value(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_i64(),
        };
        let number = number.ok_or(Invalid::malformed(name, "a whole number"))?;
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

    /// A JSON object.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn object(&self, name: &'static str) -> Result<Option<&Map<String, Value>>, Invalid> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_object().map(Some).ok_or(Invalid::malformed(name, "a JSON object"))
    }

    /// The size of a page.
    ///
    /// # Errors
    /// It is not a number or out of range.
    pub(super) fn page_size(&self, usual: i64, max: i64) -> Result<u32, Invalid> {
        Ok(bounded(self.number("pageSize", 1, max)?.unwrap_or(usual)))
    }

    /// The page that `page`, counted from 1, and `pageSize` name.
    ///
    /// # Errors
    /// One of them is not a number or out of range, or the page would skip more rows than a page may.
    pub(super) fn page(&self, usual: i64, max: i64) -> Result<NumberedPage, Invalid> {
        let size = self.page_size(usual, max)?;
        let last = NumberedPage::last(size);
        let out_of_range = Invalid::new("page", Problem::OutOfRange { min: 1, max: last.into() });
        let page = bounded(self.number("page", 1, last.into())?.unwrap_or(1));
        NumberedPage::new(page, size).map_err(|_too_deep| out_of_range)
    }

    /// The cursor of `pageToken`; an empty one means the first page.
    ///
    /// # Errors
    /// It is not a page token.
    pub(super) fn cursor(&self) -> Result<Option<u64>, Invalid> {
        let Some(token) = self.text("pageToken")? else { return Ok(None) };
        u64::decode(token).map(Some).ok_or(Invalid::malformed("pageToken", "the token of an earlier answer"))
    }

    /// `order`: 0 the oldest first, which is the default, 1 the newest.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn order(&self) -> Result<Order, Invalid> {
        Ok(match self.number("order", 0, 1)? {
            Some(1) => Order::NewestFirst,
            _ => Order::OldestFirst,
        })
    }
}

/// Converts a number whose range was checked when it was read.
pub(super) fn bounded(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A time as the platform writes it, in UTC.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn params(body: &str) -> Params {
        Params::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn an_empty_body_is_an_empty_object_and_anything_else_is_none() {
        assert_eq!(params(" \n").required("userId").unwrap_err(), Invalid::missing("userId"));
        for bad in ["[]", "1", "userId=a", "{", "\u{feff}{}"] {
            assert!(Params::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_may_be_a_text_and_a_text_must_not_be_a_number() {
        assert_eq!(params(r#"{"pageSize":"7"}"#).page_size(50, 100).unwrap(), 7);
        assert_eq!(params(r#"{"pageSize":""}"#).page_size(50, 100).unwrap(), 50);
        assert_eq!(params(r#"{"pageSize":null}"#).page_size(50, 100).unwrap(), 50);
        for bad in [r#"{"pageSize":1.5}"#, r#"{"pageSize":[]}"#, r#"{"pageSize":0}"#, r#"{"pageSize":101}"#] {
            assert!(params(bad).page_size(50, 100).is_err(), "{bad}");
        }
        assert!(params(r#"{"userId":5}"#).user_id("userId").is_err());
    }

    #[test]
    fn a_list_of_users_names_each_once_and_is_bounded() {
        let ids = |body: &str, max| params(body).user_ids("userIds", max).map(|ids| ids.len());
        assert_eq!(ids(r#"{"userIds":["a","b","a"]}"#, 2).unwrap(), 2);
        assert_eq!(ids(r#"{"userIds":["a","b"]}"#, 1).unwrap_err().problem, Problem::TooMany { max: 1 });
        assert_eq!(ids(r#"{"userIds":[]}"#, 1).unwrap_err(), Invalid::missing("userIds"));
        for bad in [r#"{"userIds":"a"}"#, r#"{"userIds":[1]}"#, r#"{"userIds":[""]}"#] {
            assert!(ids(bad, 5).is_err(), "{bad}");
        }
    }
}
