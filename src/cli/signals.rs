//! How a running service is asked to stop.

use std::io;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Who asked it to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A supervisor, with SIGTERM: others may still send requests here.
    Supervisor,
    /// Somebody at a terminal, with SIGINT, who waits for it.
    Terminal,
}

/// Listens for signals from now on, on a thread of its own; the first one is sent to the receiver. The second one ends
/// the process at once: what was acknowledged is durable, and requests under way are not answered.
///
/// # Errors
/// The handlers or the thread cannot be set up.
pub(super) fn listen() -> io::Result<oneshot::Receiver<Stop>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let (first, asked) = oneshot::channel();
    let listen = async move {
        let _ = first.send(next(&mut terminate, &mut interrupt).await);
        let number = match next(&mut terminate, &mut interrupt).await {
            Stop::Supervisor => SignalKind::terminate().as_raw_value(),
            Stop::Terminal => SignalKind::interrupt().as_raw_value(),
        };
        tracing::warn!("asked to stop a second time: it ends at once");
        std::process::exit(128 + number)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(listen))?;
    Ok(asked)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> Stop {
    tokio::select! {
        _ = terminate.recv() => Stop::Supervisor,
        _ = interrupt.recv() => Stop::Terminal,
    }
}
