//! The place that a connection has among those of the process, and what becomes of it when it is made a WebSocket.
//!
//! Connections that carry requests and sockets are counted apart: a request's head is buffered by the web server, up to 128 KiB
//! of it, and thousands of idle sockets must not keep requests waiting.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use tokio::sync::OwnedSemaphorePermit;

const REQUESTS: u8 = 0;
const SOCKET: u8 = 1;
const ENDED: u8 = 2;

#[derive(Default)]
struct Inner {
    state: AtomicU8,
    reader: AtomicWaker,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// The place of one connection, shared by the connection and the handler that makes a socket of it.
#[derive(Clone, Default)]
pub(super) struct SocketPlace(Arc<Inner>);

impl SocketPlace {
    /// Of a connection that carries requests.
    pub(super) fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Inner { permit: Mutex::new(permit), ..Inner::default() }))
    }

    /// From now on it is a socket, which ends by itself when the server closes, and is not counted among those that carry
    /// requests.
    pub(super) fn become_socket(&self) {
        self.0.state.store(SOCKET, Ordering::Release);
        drop(self.0.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Ends it: it reads as if its peer had closed it.
    pub(super) fn end(&self) {
        self.0.state.store(ENDED, Ordering::Release);
        self.0.reader.wake();
    }

    /// Whether it has ended; whoever is told that it has not is woken once it has.
    pub(super) fn has_ended(&self, reader: &Waker) -> bool {
        self.0.reader.register(reader);
        self.0.state.load(Ordering::Acquire) == ENDED
    }

    /// Whether it carries requests.
    pub(super) fn carries_requests(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == REQUESTS
    }
}
