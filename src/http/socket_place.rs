//! The place that a connection has among those of the process, and how a WebSocket is made of it.
//!
//! Connections that carry requests and sockets are counted apart: a request's head is buffered by the web server, up to 128 KiB
//! of it, and thousands of idle sockets must not keep requests waiting. Once its request is answered, a socket takes the
//! transport out of the web server, which then drops everything that it keeps for a connection, 16 KiB of buffers above all.

use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Dropped when a socket ends; nothing is ever sent.
pub(super) type SocketEnd = oneshot::Sender<Infallible>;

enum State<T> {
    /// It carries requests. Without a permit it was not counted, or it has ended.
    Requests { _permit: Option<OwnedSemaphorePermit> },
    /// A request to make a socket of it was accepted: `taker` waits for the transport.
    Accepted { taker: oneshot::Sender<T>, ended: oneshot::Receiver<Infallible> },
    /// The socket has the transport.
    Socket { ended: oneshot::Receiver<Infallible> },
}

/// The place of one connection, shared by the connection and the handler that makes a socket of it.
pub(super) struct SocketPlace<T>(Arc<Mutex<State<T>>>);

impl<T> Clone for SocketPlace<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The transport of a connection that becomes a socket, as soon as the web server has answered its request.
pub(super) struct Handover<T> {
    taken: oneshot::Receiver<T>,
    end: SocketEnd,
}

impl<T> Handover<T> {
    /// Waits for the transport; `None`: the connection has ended before.
    pub(super) async fn transport(self) -> Option<(T, SocketEnd)> {
        let transport = self.taken.await.ok()?;
        Some((transport, self.end))
    }
}

impl<T> SocketPlace<T> {
    /// Of a connection that carries requests.
    pub(super) fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Mutex::new(State::Requests { _permit: permit })))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // It is whole after every statement: a panic elsewhere does not make it wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is not counted among those that carry requests, and its transport is handed over once the request is
    /// answered.
    pub(super) fn become_socket(&self) -> Handover<T> {
        let ((taker, taken), (end, ended)) = (oneshot::channel(), oneshot::channel());
        *self.state() = State::Accepted { taker, ended };
        Handover { taken, end }
    }

    /// Whether it carries requests.
    pub(super) fn carries_requests(&self) -> bool {
        matches!(*self.state(), State::Requests { .. })
    }

    /// Gives the transport to the socket; where that has ended meanwhile, the transport is closed.
    pub(super) fn hand_over(&self, transport: T) {
        let mut state = self.state();
        match mem::replace(&mut *state, State::Requests { _permit: None }) {
            State::Accepted { taker, ended } => {
                *state = State::Socket { ended };
                drop(state);
                drop(taker.send(transport));
            }
            other @ (State::Requests { .. } | State::Socket { .. }) => *state = other,
        }
    }

    /// To be called when the web server is done with the connection: waits for the end of the socket that was made of it, if one
    /// was.
    pub(super) async fn socket_ended(&self) {
        let state = mem::replace(&mut *self.state(), State::Requests { _permit: None });
        if let State::Socket { ended } = state {
            // The error is the end.
            let _ = ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_socket_gives_back_the_place_among_requests_and_keeps_its_connection_until_it_ends() {
        let places = Arc::new(Semaphore::new(1));
        let place = SocketPlace::new(Some(places.clone().acquire_owned().await.unwrap()));
        assert!(place.carries_requests() && places.available_permits() == 0);
        let handover = place.become_socket();
        assert!(!place.carries_requests() && places.available_permits() == 1);
        place.hand_over("the transport");
        let (transport, end) = handover.transport().await.unwrap();
        assert_eq!(transport, "the transport");
        let mut ended = std::pin::pin!(place.socket_ended());
        assert!(ended.as_mut().now_or_never().is_none());
        drop(end);
        ended.await;
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_its_request_is_answered_makes_no_socket_and_holds_up_nobody() {
        let place = SocketPlace::<&str>::new(None);
        place.socket_ended().await;
        let handover = place.become_socket();
        place.socket_ended().await;
        assert!(handover.transport().await.is_none());
    }
}
