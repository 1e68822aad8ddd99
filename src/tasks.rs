//! Tasks and waits that share what tokio does for each: they are behind a pointer, and so is their outcome, so that it is compiled
//! once and not once for each task. What is started for every request has no use for the allocations.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Handle};
use tokio::task::{JoinError, JoinHandle};

/// What came of something, as a type that is known to whoever began it.
pub(crate) type Outcome = Box<dyn Any + Send>;

/// A task that was started. It tells its outcome, and goes on where nobody waits for that.
pub(crate) struct Started<T> {
    task: JoinHandle<Outcome>,
    outcome: PhantomData<fn() -> T>,
}

/// Why a task has no outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokeOff {
    /// It panicked, or its runtime ended before it.
    #[error(transparent)]
    Ended(#[from] JoinError),
    /// It has one of another type.
    #[error("the task has the outcome of another one")]
    Other,
}

impl<T: 'static> Future for Started<T> {
    type Output = Result<T, BrokeOff>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.task.poll_unpin(context))?;
        Poll::Ready(outcome.downcast().map(|outcome| *outcome).map_err(|_| BrokeOff::Other))
    }
}

/// Starts a task on the runtime that this is called on.
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Started<T> {
    spawn_on(&Handle::current(), task)
}

/// Starts a task on `runtime`.
pub(crate) fn spawn_on<T: Send + 'static>(
    runtime: &Handle,
    task: impl Future<Output = T> + Send + 'static,
) -> Started<T> {
    let task: BoxFuture<'static, Outcome> = Box::pin(async move { Box::new(task.await) as Outcome });
    Started { task: runtime.spawn(task), outcome: PhantomData }
}

/// Starts a task on the thread that this is called on, which is one of the web server.
pub(crate) fn spawn_local(task: impl Future<Output = ()> + 'static) {
    actix_web::rt::spawn(task.boxed_local());
}

/// Starts work that may block, on a thread for it of the runtime that this is called on.
pub(crate) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Started<T> {
    spawn_blocking_on(&Handle::current(), work)
}

/// Starts work that may block, on a thread for it of `runtime`.
pub(crate) fn spawn_blocking_on<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> T + Send + 'static,
) -> Started<T> {
    let work: Box<dyn FnOnce() -> Outcome + Send> = Box::new(move || Box::new(work()));
    Started { task: runtime.spawn_blocking(work), outcome: PhantomData }
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
    pub(crate) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Started<T> {
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
