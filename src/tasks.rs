//! Tasks and waits that share what tokio does for each: they are behind a pointer, so that it is compiled once for each kind of
//! outcome, and not once for each task. What is started for every request has no use for the allocation.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// Starts a task on the runtime that this is called on.
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    spawn_on(&Handle::current(), task)
}

/// Starts a task on `runtime`.
pub(crate) fn spawn_on<T: Send + 'static>(
    runtime: &Handle,
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    runtime.spawn(task.boxed())
}

/// Starts a task on the thread that this is called on, which is one of the web server.
pub(crate) fn spawn_local(task: impl Future<Output = ()> + 'static) {
    drop(actix_web::rt::spawn(task.boxed_local()));
}

/// Starts work that may block, on a thread for it of the runtime that this is called on.
pub(crate) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn_blocking_on(&Handle::current(), work)
}

/// Starts work that may block, on a thread for it of `runtime`.
pub(crate) fn spawn_blocking_on<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let work: Box<dyn FnOnce() -> T + Send> = Box::new(work);
    runtime.spawn_blocking(work)
}

/// Blocks the thread, which must be none that drives a runtime, until `future` is done. `runtime` has threads of its own.
pub(crate) fn block_on<T>(runtime: &Handle, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let mut outcome = None;
        wait(runtime, &mut |context| future.as_mut().poll(context).map(|done| outcome = Some(done)));
        if let Some(outcome) = outcome {
            return outcome;
        }
    }
}

fn wait(runtime: &Handle, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
    runtime.block_on(poll_fn(poll));
}

/// A runtime with threads of its own.
pub(crate) struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    /// Starts its threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        Builder::new_multi_thread().worker_threads(threads).enable_all().build().map(Self)
    }

    /// Where to run something on it.
    pub(crate) fn handle(&self) -> &Handle {
        self.0.handle()
    }

    /// Starts a task.
    pub(crate) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        spawn_on(self.handle(), task)
    }

    /// Blocks the thread until `future` is done.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(self.handle(), future)
    }

    /// Ends its threads without waiting for what they do.
    pub(crate) fn shutdown_background(self) {
        self.0.shutdown_background();
    }
}
