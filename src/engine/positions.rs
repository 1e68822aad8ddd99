//! Reads many events by their positions, such as all that concern one person.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Engine, Error};
use crate::eventlog::RawEvent;

/// Positions that are at most so far apart are read together: to read and drop a few events costs less than another query.
const GAP_MAX: u64 = 16;
/// Most events of one read.
const SPAN_MAX: u64 = 1_024;
/// Most reads at once.
const AT_ONCE_MAX: usize = 8;

/// Ranges `(after, until)` that hold all these positions, which are in ascending order.
fn ranges(positions: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for position in positions {
        match ranges.last_mut() {
            Some((after, until)) if position - *until <= GAP_MAX && position - *after <= SPAN_MAX => *until = *position,
            _ => ranges.push((position - 1, *position)),
        }
    }
    ranges
}

impl Engine {
    /// The events at these positions (from 1, ascending, each once), in their order: in as few reads as it takes, several
    /// at once. Positions behind the end of the log are left out.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn events_at(&self, positions: &[u64]) -> Result<Vec<RawEvent>, Error> {
        let log = self.log.as_ref();
        let reads: Vec<_> = ranges(positions)
            .into_iter()
            .map(|(after, until)| log.read_all(after, usize::try_from(until - after).unwrap_or(usize::MAX)))
            .collect();
        let pages: Vec<Vec<RawEvent>> = stream::iter(reads).buffered(AT_ONCE_MAX).try_collect().await?;
        let wanted = |event: &RawEvent| positions.binary_search(&event.position).is_ok();
        Ok(pages.into_iter().flatten().filter(wanted).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_together_is_read_together_and_no_read_is_without_bound() {
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[1, 2, 9, 25, 42]), [(0, 25), (41, 42)]);
        let dense: Vec<_> = (1..=2_000).collect();
        assert_eq!(ranges(&dense), [(0, 1_024), (1_024, 2_000)]);
    }
}
