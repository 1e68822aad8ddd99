//! Limits and order of lists: every read has a limit.

use crate::Value;

/// The most rows one page holds, whatever was asked for.
pub const PAGE_MAX: u32 = 1_000;

/// How many rows a numbered page may skip; pages beyond are empty. The database steps over each skipped row, so
/// without a bound one request could walk a table of millions.
const SKIPPED_MAX: u64 = 1_000_000;

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

/// The parameters of `LIMIT` and `OFFSET` for a page counted from 1; `None`: the page is empty.
pub(crate) fn numbered(page: u32, size: u32) -> Option<(Value, Value)> {
    let size = size.min(PAGE_MAX);
    let skipped = u64::from(page.saturating_sub(1)) * u64::from(size);
    (skipped <= SKIPPED_MAX).then(|| (size.into(), skipped.into()))
}

/// The parameters of `LIMIT` and `OFFSET` where the caller counts rows; `None`: the page is empty.
pub(crate) fn offset(skipped: u64, size: u32) -> Option<(Value, Value)> {
    (skipped <= SKIPPED_MAX).then(|| (limit(size), skipped.into()))
}
