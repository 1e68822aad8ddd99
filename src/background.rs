//! Runtimes beside those that answer: one that serves the connections to a server, for callers on any thread, and one for what
//! may wait.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::tasks;

/// How much less of the processor the threads of [`yielding`] get than others while there is not enough of it: a tenth of what
/// one of the others gets, so that what they hold is free again within a moment.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// A runtime for what may wait: its threads, those for blocking work too, get the processor after the other threads of the
/// process. Nothing that others wait for may run on it.
///
/// # Errors
/// A thread cannot be started.
pub(crate) fn yielding(name: &str) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name(name).enable_all();
    // Elsewhere the priority is that of the whole process.
    #[cfg(target_os = "linux")]
    builder.on_thread_start(|| {
        // Where the system refuses, it delivers as everybody else works.
        let _ = rustix::process::setpriority_process(None, NICENESS);
    });
    builder.build()
}

/// Runs what the connections to a server need, until it is dropped.
pub(crate) struct Background {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Background {
    /// Starts its threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(name: &str, threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where to run something on it.
    #[cfg(feature = "kurrentdb")]
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts a task on it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tasks::spawn_on(&self.handle, task);
    }

    /// Blocks the thread until `future` is done.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        tasks::block_on(&self.handle, future)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Nobody waits for what it still runs: whoever asked for something has the answer, or has given up.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
