//! What the process cannot do without: threads and tasks that must not end unasked.
//!
//! One that panics or gives up leaves a service that looks well and does nothing. The first that does is told here:
//! `/health/ready` does not say ready any more, and `rollcall serve` ends with its reason and a non-zero exit code.

use std::convert::Infallible;
use std::future::Future;
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Threads that a debug build can be told to let die: see `reach`.
pub const THREADS: &[&str] = &["decider", "sealer", "appender", "projector", "log-writer", "vault-pages"];

/// How long the cause is waited for once something ended: what used a thread may end a moment before the thread that
/// panicked has said so.
const CAUSE_WITHIN: Duration = Duration::from_millis(200);

/// What ended, and why.
#[derive(Clone)]
struct Ended {
    what: String,
    panicked: bool,
}

/// The first that ended, or the first that panicked.
static ENDED: LazyLock<watch::Sender<Option<Ended>>> = LazyLock::new(|| watch::channel(None).0);

/// Says why a thread or task ended, unless it was asked to.
struct Watched {
    name: &'static str,
    reason: Option<String>,
}

impl Watched {
    fn new(name: &'static str) -> Self {
        Self { name, reason: None }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        let reason = if panicked { Some("it panicked".to_owned()) } else { self.reason.take() };
        let Some(reason) = reason else { return };
        let what = format!("{} ended: {reason}; the service cannot go on without it", self.name);
        tracing::error!("{what}");
        ENDED.send_if_modified(|told| {
            let is_cause = told.as_ref().is_none_or(|told| panicked && !told.panicked);
            if is_cause {
                *told = Some(Ended { what, panicked });
            }
            is_cause
        });
    }
}

/// Starts a thread that the process cannot do without. `run` returns an error where it gives up, and otherwise only
/// when it was asked to end.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn spawn(
    name: &'static str,
    run: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    start(name, Box::new(run))
}

fn start(name: &'static str, run: Box<dyn FnOnce() -> Result<(), String> + Send>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        let _span = tracing::error_span!("task", name).entered();
        let mut watched = Watched::new(name);
        watched.reason = run().err();
    })
}

/// A task that the process cannot do without: it may end only once it is asked to by `stop`.
pub(crate) fn task(
    name: &'static str,
    stop: CancellationToken,
    run: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, ()> {
    fallible_task(name, stop, run.map(Ok::<(), Infallible>))
}

/// The same for one that returns an error where it gives up.
pub(crate) fn fallible_task<E: std::fmt::Display + 'static>(
    name: &'static str,
    stop: CancellationToken,
    run: impl Future<Output = Result<(), E>> + Send + 'static,
) -> BoxFuture<'static, ()> {
    unended(name, stop, run.map_err(|error| error.to_string()).boxed()).boxed()
}

async fn unended(name: &'static str, stop: CancellationToken, run: BoxFuture<'static, Result<(), String>>) {
    let mut watched = Watched::new(name);
    watched.reason = match run.instrument(tracing::error_span!("task", name)).await {
        Err(reason) => Some(reason),
        Ok(()) => (!stop.is_cancelled()).then(|| "it returned".to_owned()),
    };
}

/// A task that the process cannot do without and that knows itself when it may end: it must not panic.
pub(crate) fn unpanicking(
    name: &'static str,
    run: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, ()> {
    let run = run.boxed();
    async move {
        let _watched = Watched::new(name);
        run.instrument(tracing::error_span!("task", name)).await;
    }
    .boxed()
}

/// Why a thread or task ended that the process cannot do without; `None`: all run.
pub(crate) fn ended() -> Option<String> {
    ENDED.borrow().as_ref().map(|ended| ended.what.clone())
}

/// Waits until one ends, and until the cause is known where another one ended because of it.
pub(crate) async fn one_ended() {
    // The sender is never dropped.
    let _ = ENDED.subscribe().wait_for(Option::is_some).await;
    tokio::time::sleep(CAUSE_WITHIN).await;
}

/// Panics here if a debug build was told to: `ROLLCALL_PANIC_AT=name` or `name:n` (the n-th time).
#[cfg(debug_assertions)]
#[allow(clippy::panic)] // That is what it is for.
pub(crate) fn reach(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static TOLD: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static TIMES: AtomicU32 = AtomicU32::new(0);
    debug_assert!(THREADS.contains(&name), "{name} is not in the list");
    let told = TOLD.get_or_init(|| {
        let told = std::env::var("ROLLCALL_PANIC_AT").ok()?;
        let (name, times) = told.split_once(':').unwrap_or((&told, "1"));
        Some((name.to_owned(), times.parse().unwrap_or(1)))
    });
    if let Some((at, times)) = told
        && at == name
        && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *times
    {
        panic!("told to panic");
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn reach(_name: &'static str) {}
