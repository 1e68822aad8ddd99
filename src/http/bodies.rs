//! Limits the memory that request bodies take: one limit for the process and one per app, so that no app uses the memory
//! that the calls of other apps need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_schemas::ids::AppId;

/// Bytes that the bodies of all calls may have together.
const ALL_MAX: usize = 64 * 1024 * 1024;
/// Bytes that the bodies of an app's calls may have together.
const APP_MAX: usize = ALL_MAX / 4;

/// The bytes that are reserved now, in all and by app.
#[derive(Default)]
struct Held {
    all: usize,
    by_app: HashMap<AppId, usize>,
}

/// The budget of request bodies.
#[derive(Clone, Default)]
pub(super) struct Bodies(Arc<Mutex<Held>>);

impl Bodies {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves memory for the body of an app's call; `None` while the limit of the process or of the app is reached.
    pub(super) fn reserve(&self, app: &AppId, bytes: usize) -> Option<Reserved> {
        let mut held = self.held();
        let of_app = held.by_app.get(app).copied().unwrap_or(0);
        if held.all + bytes > ALL_MAX || of_app + bytes > APP_MAX {
            return None;
        }
        held.all += bytes;
        match held.by_app.get_mut(app) {
            Some(of_app) => *of_app += bytes,
            None => drop(held.by_app.insert(app.clone(), bytes)),
        }
        Some(Reserved { bodies: self.clone(), app: app.clone(), bytes })
    }
}

/// Bytes reserved until this is dropped.
pub(super) struct Reserved {
    bodies: Bodies,
    app: AppId,
    bytes: usize,
}

impl Reserved {
    /// Releases all of it but `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        if surplus > 0 {
            self.bytes -= surplus;
            self.release(surplus);
        }
    }

    fn release(&self, bytes: usize) {
        let mut held = self.bodies.held();
        held.all = held.all.saturating_sub(bytes);
        if let Some(of_app) = held.by_app.get_mut(&self.app) {
            *of_app = of_app.saturating_sub(bytes);
            if *of_app == 0 {
                held.by_app.remove(&self.app);
            }
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn app(key: &str) -> AppId {
        key.parse().unwrap()
    }

    #[test]
    fn an_app_gets_its_share_and_all_apps_together_no_more_than_the_whole() {
        let bodies = Bodies::default();
        let mut held = vec![bodies.reserve(&app("a"), APP_MAX).unwrap()];
        assert!(bodies.reserve(&app("a"), 1).is_none(), "its share is used up");
        assert!(bodies.reserve(&app("a"), 0).is_some(), "an empty body needs none");
        held.extend(["b", "c", "d"].map(|key| bodies.reserve(&app(key), APP_MAX).unwrap()));
        assert!(bodies.reserve(&app("e"), 1).is_none(), "the whole is used up");
        held.pop();
        assert!(bodies.reserve(&app("e"), APP_MAX).is_some());
    }

    #[test]
    fn what_is_not_needed_is_given_back_and_nothing_is_kept_of_an_app_without_calls() {
        let bodies = Bodies::default();
        let mut held = bodies.reserve(&app("a"), APP_MAX).unwrap();
        held.shrink_to(10);
        held.shrink_to(20);
        assert!(bodies.reserve(&app("a"), APP_MAX - 10).is_some());
        drop(held);
        let left = bodies.held();
        assert_eq!((left.all, left.by_app.len()), (0, 0));
    }
}
