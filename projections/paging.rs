//! Limits and order of lists: every read has a limit.

use std::ops::ControlFlow;

use crate::store::{Error, ReadStore, Row};
use crate::{Query, Value};

/// The most rows one page holds, whatever was asked for.
pub const PAGE_MAX: u32 = 1_000;

/// The most rows a numbered page may skip. The database steps over each skipped row, so without a bound one request
/// could walk a table of millions.
pub const SKIPPED_MAX: u32 = 1_000_000;

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// Which rows of a list a page holds, by the keys of its order (keyset pagination).
///
/// A place is the key of a row that was listed. `After` and `UpTo` the same place divide the list: each row is on one side of
/// it, whatever was added or removed since. So somebody who pages forward and back sees each row that stays, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek<P> {
    /// The first rows behind the place; `None`: the first rows of the list.
    After(Option<P>),
    /// The last rows up to the place, the row at the place included.
    UpTo(P),
}

impl<P> From<Option<P>> for Seek<P> {
    fn from(after: Option<P>) -> Self {
        Self::After(after)
    }
}

/// Where the pages before and behind a page are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours<P> {
    /// The next page is [`Seek::After`] this place; `None`: there is none.
    pub next: Option<P>,
    /// The page before is [`Seek::UpTo`] this place; `None`: there is none.
    pub previous: Option<P>,
}

impl<P: Clone> Seek<P> {
    /// The same place of a list whose places are of another type.
    pub fn map<Q>(self, map: impl FnOnce(P) -> Q) -> Seek<Q> {
        match self {
            Self::After(place) => Seek::After(place.map(map)),
            Self::UpTo(place) => Seek::UpTo(map(place)),
        }
    }

    /// Cuts rows to a page of `size`, where one row more than that was asked for, which tells whether the list goes on.
    /// `place` is the place of a row; a row without one is no neighbour's boundary.
    pub fn cut<T>(&self, rows: &mut Vec<T>, size: u32, place: impl Fn(&T) -> Option<P>) -> Neighbours<P> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let beyond = rows.len().saturating_sub(size);
        match self {
            Self::After(from) => {
                rows.truncate(size);
                Neighbours { next: rows.last().and_then(place).filter(|_| beyond > 0), previous: from.clone() }
            }
            Self::UpTo(to) => {
                let previous = rows.drain(..beyond).next_back();
                Neighbours { next: Some(to.clone()), previous: previous.as_ref().and_then(place) }
            }
        }
    }

    /// Keeps the `size` rows that are nearest to the place, of rows in the order of the list that were read for the same page
    /// from several places.
    pub(crate) fn nearest<T>(&self, rows: &mut Vec<T>, size: u32) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match self {
            Self::After(_) => rows.truncate(size),
            Self::UpTo(_) => drop(rows.drain(..rows.len().saturating_sub(size))),
        }
    }
}

/// The rows of a page, in the order of the list. Of the two statements the first finds rows behind a place, in that order; the
/// second one rows up to it, itself included, in the reverse order. `first` is before every place.
pub(crate) async fn seek<P, T: Send, const N: usize>(
    store: &ReadStore,
    seek: Seek<P>,
    [after, up_to]: [Query; 2],
    first: P,
    params: impl FnOnce(P) -> [Value; N],
    mut map: impl FnMut(&Row<'_, '_>) -> Result<T, Error> + Send,
) -> Result<Vec<T>, Error> {
    let (query, from, is_reversed) = match seek {
        Seek::After(place) => (after, place.unwrap_or(first), false),
        Seek::UpTo(place) => (up_to, place, true),
    };
    let mut rows = Vec::new();
    let mut take = |row: &Row<'_, '_>| {
        rows.push(map(row)?);
        Ok(ControlFlow::Continue(()))
    };
    store.each_row(query, &params(from), &mut take).await?;
    if is_reversed {
        rows.reverse();
    }
    Ok(rows)
}

/// How a list of positions is read in that order, by its statements for the rows later than a position, earliest first, and
/// for those earlier than it, latest first; and the position before the first row.
pub(crate) fn by_position(
    seek: Seek<u64>,
    order: Order,
    [later_than, earlier_than]: [Query; 2],
) -> (Seek<u64>, [Query; 2], u64) {
    // Neither statement finds the row at the position itself.
    let seek = match (seek, order) {
        (Seek::UpTo(place), Order::OldestFirst) => Seek::UpTo(place.saturating_add(1)),
        (Seek::UpTo(place), Order::NewestFirst) => Seek::UpTo(place.saturating_sub(1)),
        (after @ Seek::After(_), _) => after,
    };
    match order {
        Order::OldestFirst => (seek, [later_than, earlier_than], 0),
        Order::NewestFirst => (seek, [earlier_than, later_than], u64::MAX),
    }
}

/// The parameter of a `LIMIT`.
pub(crate) fn limit(size: u32) -> Value {
    size.min(PAGE_MAX).into()
}

/// The page lies too deep in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page may skip at most {SKIPPED_MAX} rows, and this one would skip {skipped}")]
pub struct TooDeep {
    /// How many rows it would skip.
    pub skipped: u64,
}

/// A page that is found by counting the rows before it. A list that can be followed by a cursor has no need of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberedPage {
    skipped: u64,
    size: u32,
}

impl NumberedPage {
    /// The page of that number, counted from 1, where each has `size` rows; [`PAGE_MAX`] if more.
    ///
    /// # Errors
    /// It would skip more than [`SKIPPED_MAX`] rows.
    pub fn new(number: u32, size: u32) -> Result<Self, TooDeep> {
        let size = size.min(PAGE_MAX);
        Self::after(u64::from(number.saturating_sub(1)) * u64::from(size), size)
    }

    /// The first page, of `size` rows; [`PAGE_MAX`] if more.
    #[must_use]
    pub const fn first(size: u32) -> Self {
        Self { skipped: 0, size: if size < PAGE_MAX { size } else { PAGE_MAX } }
    }

    /// The page after so many rows, of `size` rows; [`PAGE_MAX`] if more.
    ///
    /// # Errors
    /// It would skip more than [`SKIPPED_MAX`] rows.
    pub fn after(skipped: u64, size: u32) -> Result<Self, TooDeep> {
        if skipped > u64::from(SKIPPED_MAX) {
            return Err(TooDeep { skipped });
        }
        Ok(Self { skipped, size: size.min(PAGE_MAX) })
    }

    /// The number of the last page that may be asked for, where each has `size` rows.
    #[must_use]
    pub fn last(size: u32) -> u32 {
        SKIPPED_MAX / size.clamp(1, PAGE_MAX) + 1
    }

    /// The parameters of `LIMIT` and `OFFSET`.
    pub(crate) fn bounds(self) -> (Value, Value) {
        (self.size.into(), self.skipped.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The page of a list, which is in ascending order, and where its neighbours are.
    fn page(list: &BTreeSet<u32>, seek: Seek<u32>, size: u32) -> (Vec<u32>, Neighbours<u32>) {
        let wanted = size as usize + 1;
        let mut rows: Vec<_> = match seek {
            Seek::After(place) => list.iter().copied().filter(|row| place.is_none_or(|place| *row > place)).collect(),
            Seek::UpTo(place) => list.iter().copied().filter(|row| *row <= place).collect(),
        };
        seek.nearest(&mut rows, size + 1);
        assert!(rows.len() <= wanted);
        let beside = seek.cut(&mut rows, size, |row| Some(*row));
        (rows, beside)
    }

    #[test]
    fn the_first_page_has_none_before_it_and_the_last_one_none_behind_it() {
        let list: BTreeSet<_> = (1..=5).collect();
        let beside = |next, previous| Neighbours { next, previous };
        assert_eq!(page(&list, Seek::After(None), 2), (vec![1, 2], beside(Some(2), None)));
        assert_eq!(page(&list, Seek::After(Some(4)), 2), (vec![5], beside(None, Some(4))));
        assert_eq!(page(&list, Seek::UpTo(4), 2), (vec![3, 4], beside(Some(4), Some(2))));
        assert_eq!(page(&list, Seek::UpTo(2), 2), (vec![1, 2], beside(Some(2), None)));
        assert_eq!(page(&list, Seek::After(Some(9)), 2), (vec![], beside(None, Some(9))));
        assert_eq!(page(&list, Seek::UpTo(0), 2), (vec![], beside(Some(0), None)));
        assert_eq!(page(&BTreeSet::new(), Seek::After(None), 2), (vec![], beside(None, None)));
    }

    proptest! {
        #[test]
        fn whatever_is_added_and_removed_a_row_that_stays_is_seen_once_on_each_way(
            stay in proptest::collection::btree_set(0..60_u32, 0..20),
            others in proptest::collection::vec((0..60_u32, any::<bool>()), 0..40),
            (forward, back) in (1..6_u32, 1..6_u32),
        ) {
            let (mut list, mut changes) = (stay.clone(), others.into_iter());
            let mut change = |list: &mut BTreeSet<u32>| {
                for (row, is_added) in changes.by_ref().take(2).filter(|(row, _)| !stay.contains(row)) {
                    if is_added { list.insert(row); } else { list.remove(&row); }
                }
            };
            let stays = |rows: Vec<u32>| rows.into_iter().filter(|row| stay.contains(row)).collect::<Vec<_>>();
            let (mut rows, mut beside) = page(&list, Seek::After(None), forward);
            let mut seen = stays(rows);
            while let Some(next) = beside.next {
                change(&mut list);
                (rows, beside) = page(&list, Seek::After(Some(next)), forward);
                seen.extend(stays(rows));
            }
            let all: Vec<_> = stay.iter().copied().collect();
            prop_assert_eq!(&seen, &all);
            // Back from behind the last row.
            let (mut rows, mut beside) = page(&list, Seek::UpTo(u32::MAX), back);
            let mut seen = stays(rows);
            while let Some(previous) = beside.previous {
                change(&mut list);
                (rows, beside) = page(&list, Seek::UpTo(previous), back);
                seen.splice(0..0, stays(rows));
            }
            prop_assert_eq!(&seen, &all);
        }

        #[test]
        fn the_pages_of_the_way_back_are_those_of_the_way_forward(
            list in proptest::collection::btree_set(any::<u32>(), 0..40),
            size in 1..7_u32,
        ) {
            let mut at = page(&list, Seek::After(None), size);
            let mut forward = vec![at.0.clone()];
            while let Some(next) = at.1.next {
                at = page(&list, Seek::After(Some(next)), size);
                forward.push(at.0.clone());
            }
            let mut back = vec![at.0];
            while let Some(previous) = at.1.previous {
                at = page(&list, Seek::UpTo(previous), size);
                prop_assert!(at.1.next.is_some());
                back.insert(0, at.0);
            }
            prop_assert_eq!(back, forward);
        }
    }

    #[test]
    fn a_page_beyond_a_million_rows_is_refused_and_the_last_one_is_not() {
        for size in [1, 20, 100, 999, PAGE_MAX] {
            let last = NumberedPage::last(size);
            assert!(NumberedPage::new(last, size).is_ok(), "{size}");
            let skipped = u64::from(last) * u64::from(size);
            assert_eq!(NumberedPage::new(last + 1, size), Err(TooDeep { skipped }), "{size}");
        }
        assert!(NumberedPage::after(SKIPPED_MAX.into(), 1).is_ok());
        assert!(NumberedPage::after(u64::from(SKIPPED_MAX) + 1, 1).is_err());
        assert_eq!(NumberedPage::new(u32::MAX, u32::MAX).map_err(|error| error.skipped), Err(4_294_967_294_000));
        assert_eq!(NumberedPage::new(0, 10), NumberedPage::new(1, 10));
    }
}
