//! Cursors of lists: opaque to the caller, bound to an order that does not change.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::problem::Problem;
use crate::domain::values::{self, Invalid};

/// What a list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery {
    /// Where the page before ended.
    pub(super) cursor: Option<u64>,
    /// How many.
    pub(super) limit: u32,
}

impl PageQuery {
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let mut asked = Self { cursor: None, limit: 50 };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "cursor" => {
                    let bytes = BASE64_URL_SAFE_NO_PAD.decode(value.as_bytes()).ok();
                    let bytes = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
                    let malformed = Invalid::malformed("cursor", "the `next` of an earlier answer");
                    let bytes = bytes.ok_or(Problem::Invalid("?cursor", malformed))?;
                    asked.cursor = Some(u64::from_be_bytes(bytes));
                }
                "limit" => {
                    let range = values::Problem::OutOfRange { min: 1, max: 500 };
                    let limit = value.parse().ok().filter(|limit| (1..=500).contains(limit));
                    asked.limit = limit.ok_or(Problem::Invalid("?limit", Invalid::new("limit", range)))?;
                }
                _ => {}
            }
        }
        Ok(asked)
    }

    /// Cuts what was read with one row too many to a page; answers the cursor of the next one, if there is one.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> Option<u64>) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().and_then(place).filter(|_| more);
        last.map(|at| BASE64_URL_SAFE_NO_PAD.encode(at.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_is_bounded_and_continues_only_where_an_answer_ended() {
        assert_eq!(PageQuery::read("").unwrap(), PageQuery { cursor: None, limit: 50 });
        let query = format!("limit=500&cursor={}", BASE64_URL_SAFE_NO_PAD.encode(7_u64.to_be_bytes()));
        assert_eq!(PageQuery::read(&query).unwrap(), PageQuery { cursor: Some(7), limit: 500 });
        for bad in ["limit=0", "limit=501", "limit=x", "limit=-1", "cursor=", "cursor=x"] {
            assert!(PageQuery::read(bad).is_err(), "{bad}");
        }
        let mut rows = vec![3_u64, 2, 1];
        let next = PageQuery { cursor: None, limit: 2 }.cut(&mut rows, |row| Some(*row)).unwrap();
        assert_eq!(PageQuery::read(&format!("cursor={next}")).unwrap().cursor, Some(2));
        assert_eq!(PageQuery { cursor: None, limit: 2 }.cut(&mut rows, |row| Some(*row)), None);
    }
}
