//! The times of a node's lease.

use std::time::Duration;

/// How long a node is believed to live.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a lease lasts: for so long users of a node that was killed show online.
    pub lease: Duration,
}

impl Timing {
    /// A user shows offline at most 15 seconds after its node was killed.
    pub const DEFAULT: Self = Self { lease: Duration::from_secs(12) };

    /// How often a lease is renewed.
    pub(super) fn beat(self) -> Duration {
        self.lease / 4
    }

    /// How long a node that cannot renew its lease keeps its sockets: it closes them before the lease ends.
    pub(super) fn cut_off(self) -> Duration {
        self.lease * 3 / 4
    }

    /// How often it is looked whether that time is over.
    pub(super) fn watch(self) -> Duration {
        self.beat() / 12
    }

    /// Whether a node is cut off whose last beat that was answered began so long ago.
    pub(super) fn is_cut_off(self, age: Duration) -> bool {
        age > self.cut_off()
    }

    /// How long an answer of the database is waited for: two are tried before the node is cut off.
    pub(super) fn answer_max(self) -> Duration {
        (self.lease / 6).min(Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_cannot_beat_closes_its_sockets_before_others_believe_that_it_has_ended() {
        for seconds in [2, 3, 12, 60] {
            let timing = Timing { lease: Duration::from_secs(seconds) };
            let latest = timing.cut_off() + timing.watch();
            assert!(latest < timing.lease, "{seconds} s: it is noticed within the lease");
            assert!(!timing.is_cut_off(timing.cut_off()) && timing.is_cut_off(latest), "{seconds} s");
            // A beat that hangs, the next one that does, and it is not cut off yet.
            assert!(timing.beat() + timing.answer_max() * 2 < timing.cut_off() + timing.watch(), "{seconds} s");
        }
    }

    #[test]
    fn users_of_a_node_that_was_killed_show_offline_within_fifteen_seconds() {
        assert!(Timing::DEFAULT.lease < Duration::from_secs(15));
    }
}
