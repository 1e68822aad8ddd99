//! How much of something costly is done at the same time, and that no app keeps the others waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rollcall_schemas::ids::AppId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many may do it.
#[derive(Debug, Clone, Copy)]
pub struct TurnLimits {
    /// At the same time.
    pub at_once_max: usize,
    /// At the same time, of one app.
    pub of_app_max: usize,
    /// Of one app that wait; more are answered busy.
    pub waiting_of_app_max: usize,
}

/// The turns of all apps.
pub struct Turns {
    limits: TurnLimits,
    all: Arc<Semaphore>,
    of_apps: Mutex<HashMap<AppId, Weak<OfApp>>>,
}

struct OfApp {
    at_once: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// The right to do it. It is held until that is done, also where nobody waits for the answer any more.
pub struct Turn {
    _all: OwnedSemaphorePermit,
    _at_once: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    _of_app: Arc<OfApp>,
}

impl Turns {
    /// Nobody does anything yet.
    #[must_use]
    pub fn new(limits: TurnLimits) -> Self {
        Self { limits, all: Arc::new(Semaphore::new(limits.at_once_max)), of_apps: Mutex::default() }
    }

    fn of(&self, app: &AppId) -> Arc<OfApp> {
        let mut of_apps = self.of_apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = of_apps.get(app).and_then(Weak::upgrade) {
            return known;
        }
        of_apps.retain(|_, of_app| of_app.strong_count() > 0);
        let TurnLimits { of_app_max, waiting_of_app_max, .. } = self.limits;
        let fresh = Arc::new(OfApp {
            at_once: Arc::new(Semaphore::new(of_app_max)),
            places: Arc::new(Semaphore::new(of_app_max + waiting_of_app_max)),
        });
        of_apps.insert(app.clone(), Arc::downgrade(&fresh));
        fresh
    }

    /// Waits for a turn of an app; `None`: too many wait.
    pub async fn take(&self, app: &AppId) -> Option<Turn> {
        let of_app = self.of(app);
        let place = of_app.places.clone().try_acquire_owned().ok()?;
        // The turn of the app comes first: what waits for it holds no place that another app could use.
        let at_once = of_app.at_once.clone().acquire_owned().await.ok()?;
        let all = self.all.clone().acquire_owned().await.ok()?;
        Some(Turn { _all: all, _at_once: at_once, _place: place, _of_app: of_app })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;

    use super::*;

    fn app(key: &str) -> AppId {
        key.parse().unwrap()
    }

    #[tokio::test]
    async fn an_app_that_does_much_leaves_turns_to_others_and_is_refused_at_last() {
        let turns = Turns::new(TurnLimits { at_once_max: 4, of_app_max: 2, waiting_of_app_max: 64 });
        let (slow, quick) = (app("slow"), app("quick"));
        let held = [turns.take(&slow).await.unwrap(), turns.take(&slow).await.unwrap()];
        let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(turns.take(&slow))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        assert!(turns.take(&slow).now_or_never().unwrap().is_none(), "its places are taken");
        assert!(turns.take(&quick).now_or_never().unwrap().is_some());
        drop(held);
        assert!(waiting.swap_remove(0).await.is_some());
        drop(waiting);
        turns.take(&quick).await.unwrap();
        assert_eq!(turns.of_apps.lock().unwrap().len(), 1, "who does nothing is forgotten");
    }
}
