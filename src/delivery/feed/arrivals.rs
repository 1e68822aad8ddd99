//! Who waits for an app's next event. One task follows the log for all who wait, and only while somebody does.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_schemas::ids::AppId;
use tokio::sync::watch;

use crate::engine::journal;
use crate::eventlog::{self, EventLog, RawEvent};

/// Most who wait.
const WAITING_MAX: usize = 512;
/// Most who wait for events of one app.
const WAITING_OF_APP_MAX: usize = 64;
/// Who is so many events behind wakes everybody instead of looking whose events they are.
const BEHIND_MAX: u64 = 2_000;
/// Events that arrive within this time wake a reader together.
const TOGETHER: Duration = Duration::from_millis(10);

/// Everybody who waits.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: usize,
    of_apps: HashMap<AppId, OfApp>,
}

struct OfApp {
    waiting: usize,
    arrived: watch::Sender<()>,
}

/// Somebody who waits for an app's next event.
pub struct Waiter {
    arrivals: Arc<Arrivals>,
    app: AppId,
    arrived: watch::Receiver<()>,
}

impl Waiter {
    /// Returns once an event of the app may have been appended since the last call, or since this waiter is there.
    pub async fn arrival(&mut self) {
        // The sender is there for as long as somebody waits.
        let _ = self.arrived.changed().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.arrivals.state();
        state.waiting -= 1;
        if let Some(of_app) = state.of_apps.get_mut(&self.app) {
            of_app.waiting -= 1;
            if of_app.waiting == 0 {
                state.of_apps.remove(&self.app);
            }
        }
    }
}

impl Arrivals {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among those who wait; `None`: there is none.
    pub(super) fn waiter(arrivals: &Arc<Self>, app: &AppId) -> Option<Waiter> {
        let mut state = arrivals.state();
        if state.waiting >= WAITING_MAX {
            return None;
        }
        let of_app =
            state.of_apps.entry(app.clone()).or_insert_with(|| OfApp { waiting: 0, arrived: watch::Sender::new(()) });
        if of_app.waiting >= WAITING_OF_APP_MAX {
            return None;
        }
        of_app.waiting += 1;
        let arrived = of_app.arrived.subscribe();
        state.waiting += 1;
        drop(state);
        Some(Waiter { arrivals: arrivals.clone(), app: app.clone(), arrived })
    }

    fn is_nobody_there(&self) -> bool {
        self.state().waiting == 0
    }

    fn wake_all(&self) {
        self.state().of_apps.values().for_each(|of_app| of_app.arrived.send_modify(|()| ()));
    }

    fn wake(&self, events: &[RawEvent]) {
        let apps: Result<HashSet<_>, _> = events.iter().map(journal::app).collect();
        // An event that cannot be read is for the reader to report.
        let Ok(apps) = apps else { return self.wake_all() };
        for (app, of_app) in &self.state().of_apps {
            if apps.contains(app.as_str()) {
                of_app.arrived.send_modify(|()| ());
            }
        }
    }

    /// Wakes who waits for what is appended, until the log is closed.
    pub(super) async fn follow(&self, log: Arc<dyn EventLog>) {
        let mut head = log.watch();
        let mut at = *head.borrow_and_update();
        while head.changed().await.is_ok() {
            tokio::time::sleep(TOGETHER).await;
            let to = *head.borrow_and_update();
            if !self.is_nobody_there() {
                match self.arrived(log.as_ref(), at, to).await {
                    Ok(events) => self.wake(&events),
                    Err(error) => {
                        tracing::debug!(%error, "the feed wakes everybody who waits");
                        self.wake_all();
                    }
                }
            }
            at = to;
        }
    }

    async fn arrived(&self, log: &dyn EventLog, after: u64, until: u64) -> Result<Vec<RawEvent>, eventlog::Error> {
        let count = until.saturating_sub(after);
        if count > BEHIND_MAX {
            return Err(eventlog::Error::Unavailable(format!("{count} events are too many to look at")));
        }
        let events = log.read_all(after, usize::try_from(count).unwrap_or(usize::MAX)).await?;
        if events.len() as u64 == count {
            Ok(events)
        } else {
            Err(eventlog::Error::Unavailable("events are not visible yet".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use chrono::DateTime;
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn app(key: &str) -> AppId {
        key.parse().unwrap()
    }

    fn of(app: &str) -> RawEvent {
        let core =
            format!(r#"{{"meta":{{"app":"{app}","actor":"system","correlation":"{}"}},"data":{{}}}}"#, Uuid::nil());
        RawEvent {
            position: 1,
            stream: "user-1".into(),
            revision: 1,
            id: Uuid::nil(),
            name: "user.registered".into(),
            version: 1,
            recorded_at: DateTime::UNIX_EPOCH,
            core: Bytes::from(core),
            blobs: None,
        }
    }

    #[tokio::test]
    async fn an_event_wakes_those_who_wait_for_its_app_once() {
        let arrivals = Arc::new(Arrivals::default());
        let mut one = Arrivals::waiter(&arrivals, &app("one")).unwrap();
        let mut two = Arrivals::waiter(&arrivals, &app("two")).unwrap();
        arrivals.wake(&[of("one"), of("three")]);
        one.arrival().await;
        assert!(one.arrival().now_or_never().is_none() && two.arrival().now_or_never().is_none());
        arrivals.wake(&[RawEvent { core: Bytes::from_static(b"{"), ..of("one") }]);
        two.arrival().await;
    }

    #[test]
    fn so_many_may_wait_for_an_app_and_their_places_come_back() {
        let arrivals = Arc::new(Arrivals::default());
        let waiters: Vec<_> =
            (0..WAITING_OF_APP_MAX).map(|_| Arrivals::waiter(&arrivals, &app("one")).unwrap()).collect();
        assert!(Arrivals::waiter(&arrivals, &app("one")).is_none());
        assert!(Arrivals::waiter(&arrivals, &app("two")).is_some());
        drop(waiters);
        assert!(arrivals.is_nobody_there() && arrivals.state().of_apps.is_empty());
    }
}
