//! How many files this process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process have so many files open: up to the hard limit, and beyond it where it is privileged to raise that. Answers how
/// many it may have.
pub(crate) fn allow(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = current.unwrap_or(u64::MAX);
    if allowed >= wanted {
        return allowed;
    }
    let within = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = maximum.map(|maximum| maximum.max(wanted));
    for (current, maximum) in [(wanted, raised), (within, maximum)] {
        if setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).is_ok() {
            return current;
        }
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_high_enough_is_left_as_it_is_and_an_impossible_one_is_raised_as_far_as_it_may_be() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert_eq!(allow(1), before);
        // More than any kernel lets one process have.
        let most = allow(u64::MAX / 2);
        assert!(most >= before);
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), most);
    }
}
