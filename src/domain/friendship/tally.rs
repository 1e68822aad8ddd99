//! How many friends and requests a user has: each of them is a stream of its own, so they are counted beside the states.

use std::ops::AddAssign;

use rollcall_schemas::ids::SubjectRef;

use super::State;

/// How many a user has of what is limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Friends.
    pub friends: usize,
    /// Requests that it sent and whose end is not recorded.
    pub sent: usize,
    /// Requests that it received and whose end is not recorded.
    pub received: usize,
}

impl Tally {
    /// What one friendship of `subject` adds.
    #[must_use]
    pub fn of(state: &State, subject: SubjectRef) -> Self {
        match state {
            State::Strangers | State::Declined { .. } => Self::default(),
            State::Requested { from, .. } if *from == subject => Self { sent: 1, ..Self::default() },
            State::Requested { .. } => Self { received: 1, ..Self::default() },
            State::Friends => Self { friends: 1, ..Self::default() },
        }
    }

    /// Takes away what a friendship added before it changed, and adds what it does now.
    pub fn change(&mut self, before: Self, now: Self) {
        let changed = |count: usize, before, now: usize| (count + now).saturating_sub(before);
        self.friends = changed(self.friends, before.friends, now.friends);
        self.sent = changed(self.sent, before.sent, now.sent);
        self.received = changed(self.received, before.received, now.received);
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.change(Self::default(), other);
    }
}
