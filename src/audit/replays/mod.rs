//! Runs replays of the past on threads of their own, because one reads up to the whole log, which takes seconds.
//!
//! Each app has a queue, the apps take turns, and at most one replay of an app runs at a time, so that no app keeps the
//! others waiting. A replay is cancelled when its caller has gone.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use rollcall_schemas::ids::AppId;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::as_of::WholeLists;
use crate::tasks::{self, Outcome};

mod queues;

use queues::Queues;

/// Threads that replay.
const THREADS: usize = 4;
/// Replays of one app that wait; more are answered busy.
const WAITING_MAX: usize = 8;
/// Exports of one app under way; more are answered busy.
const EXPORTS_MAX: usize = 2;
/// How long an answer is waited for, its time in the queue included.
const ANSWER_WAIT: Duration = Duration::from_mins(5);

/// The queue of the app is full, the answer took too long, or the service stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many replays of the app are waiting")]
pub struct Busy;

/// Begins a replay, on the thread that does it.
type Begin = Box<dyn FnOnce() -> LocalBoxFuture<'static, Outcome> + Send>;

/// One replay that waits.
struct Work {
    /// Cancelled when the caller has gone.
    unwanted: CancellationToken,
    run: Box<dyn FnOnce(&Handle) + Send>,
}

#[derive(Default)]
struct State {
    queues: Queues<Work>,
    exports: HashMap<AppId, usize>,
    is_stopped: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: CancellationToken,
    runtime: Handle,
}

/// The threads that replay, and what waits for them.
pub struct Replays {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lists: WholeLists,
}

impl Replays {
    /// Starts the threads. `runtime` is where their waits and the connections they open are driven: one with threads of
    /// its own.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(runtime: Handle) -> std::io::Result<Self> {
        let (state, changed, stop) = (Mutex::default(), Condvar::new(), CancellationToken::new());
        let shared = Arc::new(Shared { state, changed, stop, runtime });
        let thread = |number| {
            let shared = shared.clone();
            let name = format!("replay-{number}");
            std::thread::Builder::new().name(name.clone()).spawn(move || {
                let _span = tracing::error_span!("task", name).entered();
                shared.work();
            })
        };
        let threads = (0..THREADS).map(thread).collect::<Result<_, _>>()?;
        Ok(Self { shared, threads: Mutex::new(threads), lists: WholeLists::default() })
    }

    /// Does the work of an app on one of the threads, when it is its turn. When the returned future is dropped, the work
    /// ends at its next await.
    ///
    /// # Errors
    /// [`Busy`] where too much of the app waits, or the answer takes too long.
    pub async fn run<T: Send + 'static>(
        &self,
        app: &AppId,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        self.run_within(app, WAITING_MAX, work).await
    }

    async fn run_within<T: Send + 'static>(
        &self,
        app: &AppId,
        max: usize,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let work = async move || Box::new(work().await) as Outcome;
        let outcome = self.run_to_end(app, max, Box::new(|| work().boxed_local())).await?;
        outcome.downcast().map(|outcome| *outcome).map_err(|_| Busy)
    }

    async fn run_to_end(&self, app: &AppId, max: usize, work: Begin) -> Result<Outcome, Busy> {
        let unwanted = self.shared.stop.child_token();
        let _until_dropped = unwanted.clone().drop_guard();
        let (answer, answered) = oneshot::channel();
        let token = unwanted.clone();
        let run = Box::new(move |runtime: &Handle| {
            if let Some(done) = tasks::block_on(runtime, token.run_until_cancelled(work())) {
                // The caller may have gone at this moment.
                let _ = answer.send(done);
            }
        });
        self.shared.push(app, max, Work { unwanted, run })?;
        tokio::time::timeout(ANSWER_WAIT, answered).await.map_err(|_| Busy)?.map_err(|_| Busy)
    }

    /// A place for an export of an app, which is many pieces of work.
    ///
    /// # Errors
    /// [`Busy`] where the app has as many as it may.
    pub fn export(self: &Arc<Self>, app: &AppId) -> Result<ExportPlace, Busy> {
        let mut state = self.shared.state();
        let exports = state.exports.entry(app.clone()).or_default();
        if *exports >= EXPORTS_MAX {
            return Err(Busy);
        }
        *exports += 1;
        Ok(ExportPlace { replays: self.clone(), app: app.clone() })
    }

    /// How many looks at the past wait for a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.state().queues.waiting_in_all()
    }

    /// The whole lists that were replayed a moment ago.
    #[must_use]
    pub fn lists(&self) -> &WholeLists {
        &self.lists
    }

    /// Ends what runs at its next await, drops what waits, and waits for the threads.
    pub fn stop(&self) {
        self.shared.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Replays {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// A place for an export; free again when this is dropped.
pub struct ExportPlace {
    replays: Arc<Replays>,
    app: AppId,
}

impl ExportPlace {
    /// Does a piece of the export when it is the app's turn. It is never refused because others of the app wait: how many
    /// exports there are is bounded instead.
    ///
    /// # Errors
    /// [`Busy`] where it takes too long or the service stops.
    pub async fn run<T: Send + 'static>(&self, work: impl AsyncFnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        self.replays.run_within(&self.app, usize::MAX, work).await
    }
}

impl Drop for ExportPlace {
    fn drop(&mut self) {
        let mut state = self.replays.shared.state();
        if let Some(exports) = state.exports.get_mut(&self.app) {
            *exports -= 1;
            if *exports == 0 {
                state.exports.remove(&self.app);
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, app: &AppId, max: usize, work: Work) -> Result<(), Busy> {
        let mut state = self.state();
        if state.is_stopped || !state.queues.push(app, work, max, |work| !work.unwanted.is_cancelled()) {
            return Err(Busy);
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn stop(&self) {
        let mut state = self.state();
        state.is_stopped = true;
        state.queues.clear();
        drop(state);
        self.stop.cancel();
        self.changed.notify_all();
    }

    /// Works until the end of the service.
    fn work(&self) {
        while let Some((app, work)) = self.next() {
            if !work.unwanted.is_cancelled() {
                let run = std::panic::AssertUnwindSafe(|| (work.run)(&self.runtime));
                if std::panic::catch_unwind(run).is_err() {
                    tracing::error!(%app, "a replay of the past broke off; this is a defect");
                }
            }
            self.state().queues.end(&app);
            // The app whose turn it is has no work running.
            self.changed.notify_one();
        }
    }

    fn next(&self) -> Option<(AppId, Work)> {
        let mut state = self.state();
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some(next) = state.queues.begin() {
                return Some(next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn app(key: &str) -> AppId {
        key.parse().unwrap()
    }

    /// Work that goes on until it is dropped, and tells that it began and that it ended.
    fn endless(began: &Arc<Notify>, ended: &Arc<Notify>) -> impl AsyncFnOnce() + Send + 'static {
        struct Tell(Arc<Notify>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (began, ended) = (began.clone(), Tell(ended.clone()));
        async move || {
            let _ended = ended;
            began.notify_one();
            loop {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_long_replay_of_one_app_keeps_no_other_app_waiting() {
        let replays = Arc::new(Replays::start(Handle::current()).unwrap());
        let (began, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut long = Vec::new();
        for _ in 0..=WAITING_MAX {
            let (replays, work) = (replays.clone(), endless(&began, &ended));
            long.push(tokio::spawn(async move { replays.run(&app("slow"), work).await }));
            if long.len() == 1 {
                began.notified().await;
            }
        }
        while replays.shared.state().queues.waiting(&app("slow")) < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(replays.run(&app("slow"), async || ()).now_or_never(), Some(Err(Busy)));
        for _ in 0..100 {
            assert_eq!(replays.run(&app("quick"), async || 7).await, Ok(7));
        }
        long.iter().for_each(|task| task.abort());
        for task in long {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        // Whoever was first is gone, so the next one of the app runs: its place is free.
        ended.notified().await;
        assert_eq!(replays.run(&app("slow"), async || 8).await, Ok(8));
        tokio::task::block_in_place(|| replays.stop());
        assert_eq!(replays.run(&app("quick"), async || ()).await, Err(Busy));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replay_that_is_running_or_waiting_ends_with_the_service() {
        let replays = Arc::new(Replays::start(Handle::current()).unwrap());
        let (began, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (replays, work) = (replays.clone(), endless(&began, &ended));
                tokio::spawn(async move { replays.run(&app("one"), work).await })
            })
            .collect();
        began.notified().await;
        tokio::task::block_in_place(|| replays.stop());
        for task in tasks {
            assert_eq!(task.await.unwrap(), Err(Busy));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_panics_ends_neither_its_thread_nor_the_turns_of_its_app() {
        let replays = Replays::start(Handle::current()).unwrap();
        let armed = Arc::new(AtomicBool::new(true));
        for _ in 0..THREADS * 2 {
            let armed = armed.clone();
            let broke_off = replays.run(&app("one"), async move || assert!(!armed.load(Ordering::Relaxed))).await;
            assert_eq!(broke_off, Err(Busy));
        }
        assert_eq!(replays.run(&app("one"), async || 1).await, Ok(1));
        tokio::task::block_in_place(|| replays.stop());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_app_has_so_many_exports_at_a_time_and_their_places_come_back() {
        let replays = Arc::new(Replays::start(Handle::current()).unwrap());
        let places: Vec<_> = (0..EXPORTS_MAX).map(|_| replays.export(&app("one")).unwrap()).collect();
        assert!(replays.export(&app("one")).is_err() && replays.export(&app("two")).is_ok());
        assert_eq!(places[0].run(async || 3).await, Ok(3));
        drop(places);
        assert!(replays.export(&app("one")).is_ok());
        tokio::task::block_in_place(|| replays.stop());
    }
}
