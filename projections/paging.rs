//! Limits and order of lists: every read has a limit.

use crate::Value;

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
    use super::*;

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
