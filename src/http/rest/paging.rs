//! Pages of lists: a cursor and a limit in the query, `next` in the answer.

use super::problem::Problem;
use crate::domain::values::{self, Invalid};
use crate::http::cursor::Cursor;

/// What a list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery<C = u64> {
    /// Where the page before ended.
    pub(super) cursor: Option<C>,
    /// How many.
    pub(super) limit: u32,
}

impl<C: Cursor> PageQuery<C> {
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let mut asked = Self { cursor: None, limit: 50 };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "cursor" => {
                    let malformed = Invalid::malformed("cursor", "the `next` of an earlier answer");
                    asked.cursor = Some(C::decode(&value).ok_or(Problem::Invalid("?cursor", malformed))?);
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

    /// The cursor of a page that begins behind a place.
    pub(super) fn after(place: &C) -> String {
        place.encode()
    }

    /// Takes rows that were read with one row more than the page has, cuts them to the page, and returns the cursor of the
    /// next page if there is one.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> Option<C>) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().and_then(place).filter(|_| more);
        last.map(|at| at.encode())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use chrono::DateTime;
    use rollcall_projections::data_requests::DueCursor;

    use super::*;

    #[test]
    fn a_list_is_bounded_and_continues_only_where_an_answer_ended() {
        type PageQuery = super::PageQuery<u64>;
        assert_eq!(PageQuery::read("").unwrap(), PageQuery { cursor: None, limit: 50 });
        let query = format!("limit=500&cursor={}", 7_u64.encode());
        assert_eq!(PageQuery::read(&query).unwrap(), PageQuery { cursor: Some(7), limit: 500 });
        for bad in ["limit=0", "limit=501", "limit=x", "limit=-1", "cursor=", "cursor=x"] {
            assert!(PageQuery::read(bad).is_err(), "{bad}");
        }
        let mut rows = vec![3_u64, 2, 1];
        let next = PageQuery { cursor: None, limit: 2 }.cut(&mut rows, |row| Some(*row)).unwrap();
        assert_eq!(PageQuery::read(&format!("cursor={next}")).unwrap().cursor, Some(2));
        assert_eq!(PageQuery { cursor: None, limit: 2 }.cut(&mut rows, |row| Some(*row)), None);
    }

    #[test]
    fn a_cursor_of_one_order_is_refused_by_a_list_in_another() {
        let place = DueCursor { due_at: DateTime::from_timestamp_millis(-1).unwrap(), received_position: 7 };
        assert_eq!(DueCursor::read(&place.bytes()), Some(place));
        let of = |bytes: Vec<u8>| format!("cursor={}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(PageQuery::<DueCursor>::read(&of(place.bytes())).unwrap().cursor, Some(place));
        assert!(PageQuery::<u64>::read(&of(place.bytes())).is_err());
        assert!(PageQuery::<DueCursor>::read(&of(7_u64.bytes())).is_err());
        assert!(PageQuery::<DueCursor>::read(&of(vec![0xff; 16])).is_ok_and(|asked| asked.cursor.is_some()));
        assert!(PageQuery::<DueCursor>::read(&of([[0x7f; 8], [0; 8]].concat())).is_err(), "no such time");
    }
}
