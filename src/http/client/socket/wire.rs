//! A WebSocket: what is sent has a time-out, and a close comes to an end whatever the other side does.

use std::time::Duration;

use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError};
use futures_util::StreamExt as _;

use crate::http::socket_place::SocketPlace;
use crate::live::close::Close;

/// How long a client may take before the next frame finds room on its way.
const SEND_WAIT: Duration = Duration::from_secs(10);
/// How long a close frame may take to leave.
const LAST_FRAME_WAIT: Duration = Duration::from_secs(1);
/// How long a client may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// What came from a client.
pub(super) enum Received {
    /// A text.
    Text(String),
    /// A sign of life.
    Sign,
    /// It asks for a sign of life.
    Ping(Vec<u8>),
    /// It has ended the connection.
    End,
    /// What no client may send.
    Fault(Close),
}

/// A WebSocket.
pub(super) struct Wire {
    sink: actix_ws::Session,
    stream: AggregatedMessageStream,
    connection: SocketPlace,
}

impl Wire {
    pub(super) fn new(sink: actix_ws::Session, stream: AggregatedMessageStream, connection: SocketPlace) -> Self {
        Self { sink, stream, connection }
    }

    /// What comes next.
    pub(super) async fn receive(&mut self) -> Received {
        match self.stream.next().await {
            Some(Ok(AggregatedMessage::Text(text))) => Received::Text(text.into()),
            Some(Ok(AggregatedMessage::Ping(bytes))) => Received::Ping(bytes.to_vec()),
            Some(Ok(AggregatedMessage::Pong(_))) => Received::Sign,
            Some(Ok(AggregatedMessage::Close(_))) | None => Received::End,
            Some(Ok(AggregatedMessage::Binary(_))) => Received::Fault(Close::PROTOCOL),
            Some(Err(ProtocolError::Overflow)) => Received::Fault(Close::TOO_LARGE),
            Some(Err(_)) => Received::Fault(Close::PROTOCOL),
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// The client does not take it, or is gone.
    pub(super) async fn send(&mut self, text: String) -> Result<(), Close> {
        sent(tokio::time::timeout(SEND_WAIT, self.sink.text(text)).await)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub(super) async fn ping(&mut self) -> Result<(), Close> {
        sent(tokio::time::timeout(SEND_WAIT, self.sink.ping(b"")).await)
    }

    /// Gives one.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub(super) async fn pong(&mut self, bytes: &[u8]) -> Result<(), Close> {
        sent(tokio::time::timeout(SEND_WAIT, self.sink.pong(bytes)).await)
    }

    /// Closes it, with a reason where it is not the client that ended it.
    pub(super) async fn close(mut self, close: Option<Close>) {
        let reason = close.map(|close| CloseReason {
            code: CloseCode::Other(close.code),
            description: Some(close.reason.to_owned()),
        });
        let left = tokio::time::timeout(LAST_FRAME_WAIT, self.sink.close(reason)).await;
        if close.is_some() && left.is_ok() {
            let answered = async { while let Some(Ok(_)) = self.stream.next().await {} };
            // Whether it answers or not, the connection ends.
            let _ = tokio::time::timeout(CLOSE_WAIT, answered).await;
        }
        self.connection.end();
    }
}

fn sent(sent: Result<Result<(), actix_ws::Closed>, tokio::time::error::Elapsed>) -> Result<(), Close> {
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Close::TOO_SLOW),
    }
}
