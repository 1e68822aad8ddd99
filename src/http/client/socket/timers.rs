//! When something is due on a socket that its client did not ask for: a sign of life, the warning that its token expires, its
//! end. The time is always given: a test tries hours in a moment.

use std::time::{Duration, Instant};

use crate::live::close::Close;

/// How long before its token expires a client is told.
const EXPIRING_BEFORE: Duration = Duration::from_secs(60);
/// Tokens that expire later are looked at as if they expired then: an `Instant` has an end.
const FAR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Which part of a heartbeat a client has to give a sign of life.
const PONG_WITHIN: f64 = 0.32;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The connection ends.
    Close(Close),
    /// The client is told that its token expires.
    Warn,
    /// The client is asked for a sign of life.
    Ping,
}

/// The timers of one socket.
pub(super) struct Timers {
    heartbeat: Duration,
    ping_at: Instant,
    pong_by: Option<Instant>,
    /// When the client is told that its token expires, until it was.
    warn_at: Option<Instant>,
    expires_at: Option<Instant>,
    /// When the connection is closed, and why.
    end: Option<(Instant, Close)>,
}

impl Timers {
    /// Of a client that is asked for a sign of life first after `first`, then every `heartbeat`. `left`: until its token expires;
    /// `None`: it does not.
    pub(super) fn new(heartbeat: Duration, first: Duration, left: Option<Duration>, now: Instant) -> Self {
        let left = left.map(|left| left.min(FAR));
        Self {
            heartbeat,
            ping_at: now + first,
            pong_by: None,
            warn_at: left.map(|left| now + left.saturating_sub(EXPIRING_BEFORE)),
            expires_at: left.map(|left| now + left),
            end: None,
        }
    }

    /// Something came from the client.
    pub(super) fn lives(&mut self) {
        self.pong_by = None;
    }

    /// The connection is to end after a wait, unless it is to end before.
    pub(super) fn end_after(&mut self, wait: Duration, close: Close, now: Instant) {
        let at = now + wait;
        if self.end.is_none_or(|(before, _)| at < before) {
            self.end = Some((at, close));
        }
    }

    /// When to ask for what is due.
    pub(super) fn next(&self) -> Instant {
        let others = [self.pong_by, self.warn_at, self.expires_at, self.end.map(|(at, _)| at)];
        others.into_iter().flatten().fold(self.ping_at, Instant::min)
    }

    /// What is due at `now`; ask again until it is nothing.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.end {
            Some((at, close)) if at <= now => return Some(Due::Close(close)),
            _ if is_over(self.expires_at) => return Some(Due::Close(Close::TOKEN_EXPIRED)),
            _ if is_over(self.pong_by) => return Some(Due::Close(Close::NO_PONG)),
            _ => {}
        }
        if is_over(self.warn_at) {
            self.warn_at = None;
            return Some(Due::Warn);
        }
        if self.ping_at <= now {
            self.ping_at = now + self.heartbeat;
            self.pong_by = Some(now + self.heartbeat.mul_f64(PONG_WITHIN));
            return Some(Due::Ping);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(25);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_client_is_asked_at_every_heartbeat_for_as_long_as_it_gives_signs_of_life() {
        let start = Instant::now();
        let mut timers = Timers::new(HEARTBEAT, seconds(7), None, start);
        assert_eq!(timers.due(start + seconds(6)), None);
        for beat in 0..1_000 {
            let now = start + seconds(7) + HEARTBEAT * beat;
            assert_eq!(timers.next(), now, "the socket sleeps until then");
            assert_eq!((timers.due(now), timers.due(now)), (Some(Due::Ping), None));
            timers.lives();
        }
    }

    #[test]
    fn a_client_that_gives_none_is_closed_eight_seconds_later_and_not_before() {
        let start = Instant::now();
        let mut timers = Timers::new(HEARTBEAT, seconds(7), None, start);
        assert_eq!(timers.due(start + seconds(7)), Some(Due::Ping));
        let by = start + seconds(15);
        assert_eq!(timers.next(), by);
        assert_eq!(timers.due(by - Duration::from_millis(1)), None);
        assert_eq!(timers.due(by), Some(Due::Close(Close::NO_PONG)));
    }

    #[test]
    fn a_client_is_told_once_that_its_token_expires_and_is_closed_when_it_has() {
        let start = Instant::now();
        let mut timers = Timers::new(seconds(10_000), seconds(10_000), Some(seconds(3_600)), start);
        assert_eq!(timers.due(start + seconds(3_539)), None);
        assert_eq!(timers.next(), start + seconds(3_540));
        let warned = [timers.due(start + seconds(3_540)), timers.due(start + seconds(3_541))];
        assert_eq!(warned, [Some(Due::Warn), None]);
        assert_eq!(timers.due(start + seconds(3_600)), Some(Due::Close(Close::TOKEN_EXPIRED)));

        let mut short = Timers::new(HEARTBEAT, HEARTBEAT, Some(seconds(5)), start);
        assert_eq!(short.due(start), Some(Due::Warn), "it is let in with little time left");
        let mut far = Timers::new(HEARTBEAT, HEARTBEAT, Some(Duration::MAX), start);
        assert_eq!(far.due(start), None, "a time that no clock reaches is no defect");
    }

    #[test]
    fn of_several_ends_the_earliest_counts_and_each_keeps_its_reason() {
        let start = Instant::now();
        let mut timers = Timers::new(seconds(10_000), seconds(10_000), None, start);
        timers.end_after(seconds(24), Close::NODE_STOPS, start);
        timers.end_after(seconds(30), Close::NODE_CUT_OFF, start);
        assert_eq!(timers.next(), start + seconds(24), "the node drains");
        timers.end_after(seconds(1), Close::SIGNED_IN_ELSEWHERE, start + seconds(2));
        assert_eq!(timers.due(start + seconds(2)), None);
        assert_eq!(timers.due(start + seconds(3)), Some(Due::Close(Close::SIGNED_IN_ELSEWHERE)));
    }
}
