//! A WebSocket over the transport of its connection: what is sent has a time-out, and a close comes to an end whatever the other
//! side does. Nothing is buffered for a client that is silent: most are, and there are thousands.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use actix_http::ws::{CloseCode, CloseReason, Codec, Message};
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio_util::codec::Encoder as _;

pub(super) use super::decoder::Received;

use super::decoder::Decoder;
use crate::http::socket_place::{Handover, SocketEnd};
use crate::http::tls::Transport;
use crate::live::close::Close;

/// How long a client may take to take what is sent to it together.
const SEND_WAIT: Duration = Duration::from_secs(10);
/// How long a close frame may take to leave.
const LAST_FRAME_WAIT: Duration = Duration::from_secs(1);
/// How long a client may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Bytes that are read together.
const READ_MAX: usize = 4_096;

/// A WebSocket.
pub(super) struct Wire {
    transport: Transport,
    decoder: Decoder,
    /// Whether a frame was sent in part: whatever followed would be taken for the rest of it.
    is_cut: bool,
    /// Dropped with the socket.
    _end: SocketEnd,
}

impl Wire {
    /// Takes the transport of a connection, as soon as its request is answered. `early`: where the web server puts what the client
    /// has sent before that. `None`: the connection has ended.
    pub(super) async fn take(handover: Handover<Transport>, mut early: web::Payload) -> Option<Self> {
        let (transport, end) = handover.transport().await?;
        transport.set_nodelay();
        let mut decoder = Decoder::new();
        while let Some(Some(Ok(bytes))) = early.next().now_or_never() {
            decoder.push(&bytes);
        }
        Some(Self { transport, decoder, is_cut: false, _end: end })
    }

    /// What comes next. Nothing is lost where this is not waited for to its end.
    pub(super) async fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.decoder.next() {
                return received;
            }
            if !self.read().await {
                return Received::End;
            }
        }
    }

    /// Waits until something has come; `false`: nothing comes any more.
    async fn read(&mut self) -> bool {
        let read: io::Result<usize> = poll_fn(|cx| {
            // On the stack: between two reads there is no buffer.
            let mut bytes = [0; READ_MAX];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer))?;
            self.decoder.push(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await;
        read.is_ok_and(|read| read > 0)
    }

    /// Sends a text.
    ///
    /// # Errors
    /// The client does not take it, or is gone.
    pub(super) async fn send(&mut self, text: String) -> Result<(), Close> {
        self.write([Message::Text(text.into())]).await
    }

    /// Sends texts together.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub(super) async fn send_all(&mut self, texts: impl Iterator<Item = String>) -> Result<(), Close> {
        self.write(texts.map(|text| Message::Text(text.into()))).await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub(super) async fn ping(&mut self) -> Result<(), Close> {
        self.write([Message::Ping(Bytes::new())]).await
    }

    /// Gives one.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub(super) async fn pong(&mut self, bytes: &[u8]) -> Result<(), Close> {
        self.write([Message::Pong(Bytes::copy_from_slice(bytes))]).await
    }

    async fn write(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), Close> {
        let mut bytes = BytesMut::new();
        for message in messages {
            // It fails for parts of messages only.
            Codec::new().encode(message, &mut bytes).map_err(|_| Close::PROTOCOL)?;
        }
        if self.is_cut {
            return Err(Close::TOO_SLOW);
        }
        // So it is, too, where whoever waits for this gives up.
        self.is_cut = true;
        let written = async {
            self.transport.write_all(&bytes).await?;
            self.transport.flush().await
        };
        match tokio::time::timeout(SEND_WAIT, written).await {
            Ok(Ok(())) => {
                self.is_cut = false;
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(Close::TOO_SLOW),
        }
    }

    /// Closes it, with a reason where it is not the client that ended it.
    pub(super) async fn close(mut self, close: Option<Close>) {
        let reason = close.map(|close| CloseReason {
            code: CloseCode::Other(close.code),
            description: Some(close.reason.to_owned()),
        });
        let left = tokio::time::timeout(LAST_FRAME_WAIT, self.write([Message::Close(reason)])).await;
        if close.is_some() && left == Ok(Ok(())) {
            // Whether it answers or not, the connection ends.
            let _ = tokio::time::timeout(CLOSE_WAIT, self.answered()).await;
        }
        let _ = tokio::time::timeout(LAST_FRAME_WAIT, self.transport.shutdown()).await;
    }

    /// Waits until the client has answered a close frame, or is gone; what comes before is dropped.
    async fn answered(&mut self) {
        loop {
            match self.decoder.next() {
                Some(Received::End) => return,
                Some(Received::Fault(_)) => self.decoder.clear(),
                Some(Received::Text(_) | Received::Sign | Received::Ping(_)) => {}
                None if self.read().await => {}
                None => return,
            }
        }
    }
}
