//! Passes on who connects to this node and disconnects from it. `live` publishes, `delivery` follows; neither knows the other.
//!
//! Nothing of it is stored. Publishing never waits: where a follower is too slow, the oldest notices are dropped and counted.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use uuid::Uuid;

use super::client_platform::Platform;
use crate::metrics::Metrics;

/// Notices that wait for a follower.
const WAITING_MAX: usize = 4_096;

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// Its client was let in.
    Connected,
    /// It has ended, and its user may come back.
    Disconnected,
    /// It was closed because its user was deactivated.
    LoggedOut,
}

/// A client of a user connected or disconnected. Nothing in it is personal.
#[derive(Debug, Clone)]
pub struct ConnectionNotice {
    /// The app of the user.
    pub app: AppId,
    /// The user.
    pub subject: SubjectRef,
    /// What the client runs on.
    pub platform: Platform,
    /// Names the connection.
    pub connection: Uuid,
    /// What became of it.
    pub status: ConnectionStatus,
    /// When: the end of a connection is later than its beginning.
    pub at: DateTime<Utc>,
}

/// Where notices are published.
pub struct ConnectionNotices {
    sender: broadcast::Sender<ConnectionNotice>,
    metrics: Arc<Metrics>,
}

impl ConnectionNotices {
    /// Without followers. What is dropped is counted in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { sender: broadcast::Sender::new(WAITING_MAX), metrics }
    }

    /// Tells every follower. It does not wait.
    pub fn publish(&self, notice: ConnectionNotice) {
        // It fails only where nobody follows.
        let _ = self.sender.send(notice);
    }

    /// Follows what is published from now on.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower { receiver: self.sender.subscribe(), metrics: self.metrics.clone() }
    }
}

/// Receives notices in the order in which they were published.
pub struct Follower {
    receiver: broadcast::Receiver<ConnectionNotice>,
    metrics: Arc<Metrics>,
}

impl Follower {
    /// The next notice; `None`: there will be none any more. Nothing is lost where this is cancelled.
    pub async fn next(&mut self) -> Option<ConnectionNotice> {
        loop {
            match self.receiver.recv().await {
                Ok(notice) => return Some(notice),
                Err(RecvError::Lagged(dropped)) => self.metrics.presence_dropped(dropped),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next notice, if one waits.
    pub fn next_waiting(&mut self) -> Option<ConnectionNotice> {
        loop {
            match self.receiver.try_recv() {
                Ok(notice) => return Some(notice),
                Err(TryRecvError::Lagged(dropped)) => self.metrics.presence_dropped(dropped),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::metrics::Sampled;

    #[tokio::test]
    async fn a_follower_that_is_too_slow_misses_the_oldest_notices_and_they_are_counted() {
        let metrics = Arc::new(Metrics::default());
        let notices = ConnectionNotices::new(metrics.clone());
        let mut follower = notices.follow();
        let more = 10;
        for second in 0..i64::try_from(WAITING_MAX).unwrap() + more {
            notices.publish(ConnectionNotice {
                app: "app".parse().unwrap(),
                subject: SubjectRef(Uuid::nil()),
                platform: Platform::Web,
                connection: Uuid::nil(),
                status: ConnectionStatus::Connected,
                at: DateTime::from_timestamp(second, 0).unwrap(),
            });
        }
        assert_eq!(follower.next().await.unwrap().at.timestamp(), more);
        let rest = std::iter::from_fn(|| follower.next_waiting()).count();
        assert_eq!(rest, WAITING_MAX - 1);
        let text = metrics.text(&Sampled::default()).unwrap();
        assert!(text.contains(&format!("rollcall_webhook_presence_dropped_total {more}")), "{text}");
    }
}
