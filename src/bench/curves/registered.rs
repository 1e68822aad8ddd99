//! Which users are there for certain.

/// Runs of numbers that were registered without a gap.
#[derive(Debug, Clone, Default)]
pub(super) struct Registered {
    /// Where each run begins, and how many numbers it and all before it have.
    runs: Vec<(u64, u64)>,
}

impl Registered {
    fn total(&self) -> u64 {
        self.runs.last().map_or(0, |(_, upto)| *upto)
    }

    /// So many numbers from the first one on.
    pub(super) fn add(&mut self, first: u64, count: u64) {
        if count > 0 {
            self.runs.push((first, self.total() + count));
        }
    }

    /// One of the numbers, each for as many values of `at` as any other; 0 where there is none.
    pub(super) fn number(&self, at: u64) -> u64 {
        let at = at.checked_rem(self.total()).unwrap_or_default();
        let run = self.runs.partition_point(|(_, upto)| *upto <= at);
        let before = run.checked_sub(1).and_then(|before| self.runs.get(before)).map_or(0, |(_, upto)| *upto);
        self.runs.get(run).map_or(0, |(first, _)| first + at - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_every_run_is_found_and_no_other() {
        let mut registered = Registered::default();
        assert_eq!(registered.number(7), 0);
        registered.add(0, 3);
        registered.add(100, 0);
        registered.add(200, 2);
        let numbers: Vec<_> = (0..10).map(|at| registered.number(at)).collect();
        assert_eq!(numbers, [0, 1, 2, 200, 201, 0, 1, 2, 200, 201]);
    }
}
