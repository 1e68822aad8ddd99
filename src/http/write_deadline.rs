//! A deadline on writing: a caller that does not take its answer loses the connection, and with it the memory and the
//! place that the answer holds. The web server has deadlines for heads, for idle and for closing connections only.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a caller may take for the next [`PROGRESS_MIN`] bytes of its answer, or for what is left of it.
const WRITE_WAIT: Duration = Duration::from_secs(20);
/// Bytes a caller has to take within [`WRITE_WAIT`]; fewer are not progress, so that a connection cannot be held by
/// taking a byte now and then.
const PROGRESS_MIN: usize = 64 * 1024;

/// A connection whose writes fail once the peer has not taken enough for too long.
pub(super) struct WriteDeadline<T> {
    io: T,
    /// Set while the peer does not take what is written.
    blocked: Option<Blocked>,
}

struct Blocked {
    deadline: Pin<Box<Sleep>>,
    /// Bytes that the peer has taken since then.
    taken: usize,
}

impl<T> WriteDeadline<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, blocked: None }
    }

    /// Waits for a peer that takes nothing, until its time is over.
    fn wait<R>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let blocked = self.blocked.get_or_insert_with(|| Blocked { deadline: Box::pin(sleep(WRITE_WAIT)), taken: 0 });
        ready!(blocked.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer is not taken")))
    }

    /// The connection itself.
    pub(super) fn connection(&self) -> &T {
        &self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteDeadline<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Poll::Ready(written) = Pin::new(&mut this.io).poll_write(cx, buf) {
            if let (Some(blocked), Ok(taken)) = (&mut this.blocked, &written) {
                blocked.taken += taken;
                if blocked.taken >= PROGRESS_MIN {
                    this.blocked = None;
                }
            }
            return Poll::Ready(written);
        }
        this.wait(cx)
    }

    /// The web server flushes once everything it has was taken; what is encrypted may still have to leave.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(flushed) = Pin::new(&mut this.io).poll_flush(cx) {
            this.blocked = None;
            return Poll::Ready(flushed);
        }
        this.wait(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_or_takes_a_byte_now_and_then_is_cut_off_after_twenty_seconds() {
        for pause in [Duration::from_secs(3_600), Duration::from_millis(1)] {
            let (ours, mut theirs) = duplex(1_024);
            let reads = tokio::spawn(async move {
                let mut byte = [0];
                loop {
                    sleep(pause).await;
                    if theirs.read(&mut byte).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
            });
            let began = Instant::now();
            let failed = WriteDeadline::new(ours).write_all(&vec![0; 1024 * 1024]).await.unwrap_err();
            assert_eq!((failed.kind(), began.elapsed().as_secs()), (ErrorKind::TimedOut, 20), "{pause:?}");
            reads.abort();
        }
    }

    #[tokio::test]
    async fn a_reader_that_takes_its_answer_gets_all_of_it_and_may_then_be_idle() {
        let (ours, mut theirs) = duplex(1_024);
        let reads = tokio::spawn(async move {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.map(|_| read.len())
        });
        let mut writer = WriteDeadline::new(ours);
        writer.write_all(&vec![0; 1024 * 1024]).await.unwrap();
        writer.flush().await.unwrap();
        assert!(writer.blocked.is_none(), "a deadline runs although nothing is to be written");
        drop(writer);
        assert_eq!(reads.await.unwrap().unwrap(), 1024 * 1024);
    }

    /// Takes everything and lets nothing leave.
    struct Stuck;

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_and_does_not_leave_has_the_same_deadline() {
        let (mut writer, began) = (WriteDeadline::new(Stuck), Instant::now());
        writer.write_all(b"an answer").await.unwrap();
        assert_eq!(writer.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 20);
    }
}
