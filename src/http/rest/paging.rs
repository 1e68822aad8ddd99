//! Pages of lists: a cursor and a limit in the query; in the answer `next`, and `previous` where the list can be followed back.

use rollcall_projections::{Neighbours, Seek};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::domain::values::{self, Invalid};
use crate::http::cursor::{Cursor, decode_seek, encode_seek};

/// What a list is asked for that can be followed both ways.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery<C = u64> {
    /// Which rows.
    pub(super) seek: Seek<C>,
    /// How many.
    pub(super) limit: u32,
}

/// What a list is asked for that can be followed forward only.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ForwardQuery<C = u64> {
    /// Where the page before ended.
    pub(super) cursor: Option<C>,
    /// How many.
    pub(super) limit: u32,
}

/// The pages beside a page of a list.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct PageLinks {
    /// The cursor of the next page; null: there is none.
    next: Option<String>,
    /// The cursor of the page before; null: this is the first page.
    previous: Option<String>,
}

impl PageLinks {
    pub(super) fn to<C: Cursor>(neighbours: Neighbours<C>) -> Self {
        let Neighbours { next, previous } = neighbours;
        Self { next: encode_seek(&Seek::After(next)), previous: previous.and_then(|to| encode_seek(&Seek::UpTo(to))) }
    }
}

/// The cursor and the limit of a query.
/// Reads the limit, and has `decode` take the cursor, which tells whether it is one.
fn read(query: &str, decode: &mut dyn FnMut(&str) -> bool, cursors: &'static str) -> Result<u32, Problem> {
    let mut limit = 50;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "cursor" if !decode(&value) => {
                return Err(Problem::Invalid("?cursor", Invalid::malformed("cursor", cursors)));
            }
            "limit" => {
                let range = values::Problem::OutOfRange { min: 1, max: 500 };
                let given = value.parse().ok().filter(|limit| (1..=500).contains(limit));
                limit = given.ok_or(Problem::Invalid("?limit", Invalid::new("limit", range)))?;
            }
            _ => {}
        }
    }
    Ok(limit)
}

impl<C: Cursor + Clone> PageQuery<C> {
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let mut seek = None;
        let mut decode = |text: &str| {
            seek = decode_seek(text);
            seek.is_some()
        };
        let limit = read(query, &mut decode, "the `next` or `previous` of an earlier answer")?;
        Ok(Self { seek: seek.unwrap_or(Seek::After(None)), limit })
    }

    /// Takes rows that were read with one row more than the page has, cuts them to the page, and returns the links to the
    /// pages beside it.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> Option<C>) -> PageLinks {
        PageLinks::to(self.seek.cut(rows, self.limit, place))
    }
}

impl<C: Cursor> ForwardQuery<C> {
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let mut cursor = None;
        let mut decode = |text: &str| {
            cursor = C::decode(text);
            cursor.is_some()
        };
        let limit = read(query, &mut decode, "the `next` of an earlier answer")?;
        Ok(Self { cursor, limit })
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
        type ForwardQuery = super::ForwardQuery<u64>;
        assert_eq!(PageQuery::read("").unwrap(), PageQuery { seek: Seek::After(None), limit: 50 });
        assert_eq!(ForwardQuery::read("").unwrap(), ForwardQuery { cursor: None, limit: 50 });
        let query = format!("limit=500&cursor={}", 7_u64.encode());
        assert_eq!(PageQuery::read(&query).unwrap(), PageQuery { seek: Seek::After(Some(7)), limit: 500 });
        assert_eq!(ForwardQuery::read(&query).unwrap(), ForwardQuery { cursor: Some(7), limit: 500 });
        let back = format!("limit=2&cursor=.{}", 7_u64.encode());
        assert_eq!(PageQuery::read(&back).unwrap(), PageQuery { seek: Seek::UpTo(7), limit: 2 });
        assert!(ForwardQuery::read(&back).is_err(), "it has no page before");
        for bad in ["limit=0", "limit=501", "limit=x", "limit=-1", "cursor=", "cursor=x", "cursor=.", "cursor=.x"] {
            assert!(PageQuery::read(bad).is_err() && ForwardQuery::read(bad).is_err(), "{bad}");
        }
        let mut rows = vec![3_u64, 2, 1];
        let next = ForwardQuery { cursor: None, limit: 2 }.cut(&mut rows, |row| Some(*row)).unwrap();
        assert_eq!(ForwardQuery::read(&format!("cursor={next}")).unwrap().cursor, Some(2));
        assert_eq!(ForwardQuery { cursor: None, limit: 2 }.cut(&mut rows, |row| Some(*row)), None);
    }

    #[test]
    fn the_links_of_a_page_lead_to_the_pages_beside_it() {
        let page = |query: &str, rows: &[u64]| {
            let mut rows = rows.to_vec();
            let links = PageQuery::<u64>::read(&format!("limit=2&{query}")).unwrap().cut(&mut rows, |row| Some(*row));
            (rows, links)
        };
        let link = |mark: &str, place: u64| Some(format!("{mark}{}", place.encode()));
        let (rows, links) = page("", &[9, 8, 7]);
        assert_eq!((rows, links), (vec![9, 8], PageLinks { next: link("", 8), previous: None }));
        let (rows, links) = page(&format!("cursor={}", 8_u64.encode()), &[7]);
        assert_eq!((rows, &links), (vec![7], &PageLinks { next: None, previous: link(".", 8) }));
        let (rows, links) = page(&format!("cursor={}", links.previous.unwrap()), &[9, 8]);
        assert_eq!((rows, links), (vec![9, 8], PageLinks { next: link("", 8), previous: None }));
    }

    #[test]
    fn a_cursor_of_one_order_is_refused_by_a_list_in_another() {
        let place = DueCursor { due_at: DateTime::from_timestamp_millis(-1).unwrap(), received_position: 7 };
        assert_eq!(DueCursor::read(&place.bytes()), Some(place));
        let of = |bytes: Vec<u8>| format!("cursor={}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(PageQuery::<DueCursor>::read(&of(place.bytes())).unwrap().seek, Seek::After(Some(place)));
        assert!(PageQuery::<u64>::read(&of(place.bytes())).is_err());
        assert!(PageQuery::<DueCursor>::read(&of(7_u64.bytes())).is_err());
        assert!(PageQuery::<DueCursor>::read(&of(vec![0xff; 16])).is_ok());
        assert!(PageQuery::<DueCursor>::read(&of([[0x7f; 8], [0; 8]].concat())).is_err(), "no such time");
    }
}
