//! A stop that cuts off no request.
//!
//! While it drains, the service is not ready and still answers, each time with `Connection: close`, so that proxies and
//! callers use other nodes. Then it accepts no new connection, and closes each open one once no request is under way on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_server::ServerHandle;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::socket_place::SocketPlace;

/// What the web server writes before a body that its caller holds back (`Expect: 100-continue`). It is no answer.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a connection is still read from once the server closes.
const ARRIVED_AFTER: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Not ready; every answer ends its connection.
    Draining {
        /// How long this lasts: sockets end within that time.
        wait: Duration,
    },
    /// Idle connections end as well.
    Closing,
}

/// How far the stop of a server has come.
#[derive(Debug, Clone)]
pub struct Drain(watch::Sender<Phase>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Drain {
    /// Stops a server: it drains for `wait`, then closes its listener and answers the requests under way. Returns once all
    /// connections have ended; those that have not after 15 s are cut off.
    pub async fn stop(&self, server: &ServerHandle, wait: Duration) {
        self.0.send_replace(Phase::Draining { wait });
        tokio::time::sleep(wait).await;
        let stopped = server.stop(true);
        self.0.send_replace(Phase::Closing);
        stopped.await;
    }

    /// Whether a stop has begun.
    pub(super) fn has_begun(&self) -> bool {
        *self.0.borrow() > Phase::Serving
    }

    /// Waits until a stop has begun; answers within what time sockets are to end, so that not all of their clients come to
    /// another node at once.
    pub(super) fn begun(&self) -> impl Future<Output = Duration> + Send + use<> {
        let mut phase = self.0.subscribe();
        async move {
            // An error says that the server is gone.
            match phase.wait_for(|phase| *phase > Phase::Serving).await.as_deref() {
                Ok(Phase::Draining { wait }) => wait.mul_f64(0.8),
                _ => Duration::ZERO,
            }
        }
    }

    /// Waits until the server closes.
    pub(super) async fn closes(&self) {
        // An error says that the server is gone.
        let _ = self.0.subscribe().wait_for(|phase| *phase == Phase::Closing).await;
    }

    /// A connection that ends by itself while the server closes.
    pub(super) fn connection<T>(&self, io: T, place: SocketPlace<T>) -> Connection<T> {
        let mut phase = self.0.subscribe();
        let closing = async move {
            // An error says that the server is gone.
            let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
            // The runtime looks at its sockets before it looks at the time: what had arrived is known by then.
            tokio::time::sleep(ARRIVED_AFTER).await;
        };
        Connection { io: Some(io), closing: Some(Box::pin(closing)), exchange: Exchange::UnderWay, place }
    }
}

/// Where a connection stands between requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    /// A request is awaited on a new connection, or is not answered yet.
    UnderWay,
    /// An answer is written and not flushed.
    Answered,
    Idle,
}

/// A connection that looks closed by its caller once the server closes and no request is under way on it. What had arrived
/// by then is read and answered. A new connection is given the time that the web server grants for a head.
///
/// One that becomes a socket looks closed as well, once its request is answered: the socket has the transport from then on.
pub(super) struct Connection<T> {
    /// `None`: a socket has it.
    io: Option<T>,
    /// Ready once the server closes; then `None`.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    exchange: Exchange,
    place: SocketPlace<T>,
}

impl<T> Connection<T> {
    /// Its place.
    pub(super) fn place(&self) -> &SocketPlace<T> {
        &self.place
    }

    fn is_closing(&mut self, cx: &mut Context<'_>) -> bool {
        if self.closing.as_mut().is_some_and(|closing| closing.as_mut().poll(cx).is_ready()) {
            self.closing = None;
        }
        self.closing.is_none()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.place.carries_requests() {
            // What comes now belongs to the socket. A flush of the answer wakes this task.
            if self.exchange != Exchange::Idle {
                return Poll::Pending;
            }
            if let Some(io) = self.io.take() {
                self.place.hand_over(io);
            }
        }
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(io).poll_read(cx, buf) {
            if buf.filled().len() > before {
                self.exchange = Exchange::UnderWay;
            }
            return Poll::Ready(read);
        }
        // Asked in any case, so that this task is woken once the server closes.
        let is_closing = self.is_closing(cx);
        if is_closing && self.exchange == Exchange::Idle { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let written = Pin::new(io).poll_write(cx, buf);
        if written.is_ready() && buf != CONTINUE {
            self.exchange = Exchange::Answered;
        }
        written
    }

    /// The web server also flushes where it has written nothing.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
        let flushed = Pin::new(io).poll_flush(cx);
        // Until then the answer is under way, where it is encrypted before it is sent.
        if self.exchange == Exchange::Answered && flushed.is_ready() {
            self.exchange = Exchange::Idle;
            // It has to read once more to learn that the connection ends, or is a socket.
            if self.closing.is_none() || !self.place.carries_requests() {
                cx.waker().wake_by_ref();
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn close(drain: &Drain) {
        drain.0.send_replace(Phase::Closing);
    }

    fn connected() -> (Drain, Connection<DuplexStream>, DuplexStream) {
        let (drain, (ours, theirs)) = (Drain::default(), duplex(1_024));
        (drain.clone(), drain.connection(ours, SocketPlace::new(None)), theirs)
    }

    /// What arrives next; `None`: nothing yet.
    fn next(connection: &mut Connection<DuplexStream>) -> Option<Vec<u8>> {
        let mut buffer = [0; 64];
        let read = connection.read(&mut buffer).now_or_never()?.unwrap();
        Some(buffer[..read].to_vec())
    }

    async fn answer(connection: &mut Connection<DuplexStream>, with: &[u8]) {
        connection.write_all(with).await.unwrap();
        connection.flush().await.unwrap();
    }

    #[test]
    fn sockets_end_within_the_time_of_the_drain_and_at_once_where_there_is_none() {
        let drain = Drain::default();
        assert_eq!(drain.begun().now_or_never(), None, "nothing stops");
        let wait = Duration::from_secs(30);
        drain.0.send_replace(Phase::Draining { wait });
        assert_eq!(drain.begun().now_or_never(), Some(Duration::from_secs(24)), "before the listener closes");
        assert!(drain.has_begun() && drain.closes().now_or_never().is_none());
        close(&drain);
        assert_eq!(drain.begun().now_or_never(), Some(Duration::ZERO), "who asks late ends at once");
        assert!(drain.closes().now_or_never().is_some());
    }

    #[tokio::test]
    async fn an_idle_connection_ends_when_the_server_closes_and_a_request_that_had_arrived_is_read_first() {
        let (drain, mut connection, mut caller) = connected();
        caller.write_all(b"one").await.unwrap();
        assert_eq!(next(&mut connection).unwrap(), b"one");
        answer(&mut connection, b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(next(&mut connection), None, "the control: it is kept alive");
        caller.write_all(b"two").await.unwrap();
        close(&drain);
        assert_eq!(next(&mut connection).unwrap(), b"two");
        assert_eq!(next(&mut connection), None, "a request is under way");
        answer(&mut connection, b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(connection.read(&mut [0; 64]).await.unwrap(), 0, "nothing is under way");
    }

    #[tokio::test]
    async fn a_connection_does_not_end_before_its_first_request_nor_while_a_body_is_held_back() {
        let (drain, mut connection, mut caller) = connected();
        close(&drain);
        assert_eq!(next(&mut connection), None, "its first request is awaited");
        caller.write_all(b"head").await.unwrap();
        assert_eq!(next(&mut connection).unwrap(), b"head");
        connection.flush().await.unwrap();
        assert_eq!(next(&mut connection), None, "a flush of nothing is no answer");
        answer(&mut connection, CONTINUE).await;
        assert_eq!(next(&mut connection), None, "the body is awaited");
        caller.write_all(b"body").await.unwrap();
        assert_eq!(next(&mut connection).unwrap(), b"body");
        answer(&mut connection, b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(connection.read(&mut [0; 64]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_becomes_a_socket_is_handed_over_once_its_request_is_answered_and_looks_closed() {
        let (_drain, mut connection, mut client) = connected();
        client.write_all(b"head").await.unwrap();
        assert_eq!(next(&mut connection).unwrap(), b"head");
        let handover = connection.place().become_socket();
        client.write_all(b"frame").await.unwrap();
        assert_eq!(
            next(&mut connection),
            None,
            "the answer comes first, and what the client sends is not for the web server"
        );
        answer(&mut connection, b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
        assert_eq!(next(&mut connection).unwrap(), b"");
        connection.shutdown().await.unwrap();
        assert_eq!(connection.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let (mut transport, _end) = handover.transport().await.unwrap();
        let mut frame = [0; 5];
        transport.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"frame", "and the shutdown did not reach it");
        transport.write_all(b"welcome").await.unwrap();
        let mut told = vec![0; 48];
        let read = client.read(&mut told).await.unwrap();
        assert!(told[..read].ends_with(b"welcome"));
    }

    #[tokio::test]
    async fn whoever_waits_for_the_next_request_is_woken_when_the_server_closes() {
        let (drain, mut connection, _caller) = connected();
        answer(&mut connection, b"HTTP/1.1 200 OK\r\n\r\n").await;
        let waits = tokio::spawn(async move { connection.read(&mut [0; 64]).await.unwrap() });
        tokio::task::yield_now().await;
        close(&drain);
        assert_eq!(waits.await.unwrap(), 0);
    }
}
