//! The users' own face, as a client meets it.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::support::{App, Reply, Service};

mod across_nodes;
mod blocked;
mod cutting;
mod documents;
mod erased;
mod flood;
mod friend_groups;
mod hostile;
mod presence;
mod refused;
mod rest;
mod scopes;
mod slow;
mod sockets;
mod unique_ids;

const APP: App = App::PRODUCTION;
const DEADLINE: Duration = Duration::from_secs(60);

/// Registers a user; answers its access token.
#[track_caller]
pub(super) fn token(service: &Service, app: App, user: &str) -> String {
    let name = format!("Name of {user}");
    let reply = service.post(app, "/user/getToken.json", &[("userId", user), ("name", &name)]).ok();
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// The next second, as the platform writes it: every token that there is was issued before.
#[allow(clippy::disallowed_methods)] // Tokens are issued by the clock of the machine.
fn a_second_from_now() -> String {
    (chrono::Utc::now() + chrono::Duration::seconds(1)).timestamp_millis().to_string()
}

/// A call of the client face.
#[track_caller]
fn call(service: &Service, token: &str, method: &str, path: &str, body: &str) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {token}"))];
    service.request(method, &format!("/client/v1/{path}"), &headers, body.as_bytes())
}

/// Fails unless a call was refused with this status and this number of the platform.
#[track_caller]
fn refused(reply: &Reply, status: u16, number: u64) {
    let json = reply.json();
    assert_eq!((reply.status, json["code"].as_u64()), (status, Some(number)), "{json}");
    assert!(json["type"].as_str().unwrap().starts_with("urn:rollcall:problem:"), "{json}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
}

/// Why a socket was closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) code: u16,
    reason: String,
}

impl Closed {
    fn of(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The close frame among the frames that a server has sent; `None`: there is none.
    fn among(mut frames: &[u8]) -> Option<Self> {
        while let [first, length, rest @ ..] = frames {
            let (length, rest) = match length {
                126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
                length => (usize::from(*length), rest),
            };
            let (body, rest) = rest.split_at(length);
            if first & 0x0f == 8 {
                let code = u16::from_be_bytes([body[0], body[1]]);
                return Some(Self { code, reason: String::from_utf8_lossy(&body[2..]).into_owned() });
            }
            frames = rest;
        }
        None
    }

    /// The first word of the reason: the platform's number.
    fn number(&self) -> &str {
        self.reason.split(' ').next().unwrap()
    }
}

/// A WebSocket.
pub(super) struct Socket {
    inner: WebSocket<TcpStream>,
    /// Notifications that came while an answer was awaited.
    told: Vec<Value>,
}

impl Socket {
    /// Opens one that has not said anything yet.
    #[track_caller]
    fn open(service: &Service) -> Self {
        Self::try_open(service).unwrap()
    }

    fn try_open(service: &Service) -> Result<Self, u16> {
        let stream = TcpStream::connect(service.address).unwrap();
        Self::over(service, stream)
    }

    /// Opens one as a proxy does for a client with this address.
    pub(super) fn open_for(service: &Service, address: &str) -> Result<Self, u16> {
        Self::open_with(service, TcpStream::connect(service.address).unwrap(), Some(address))
    }

    fn over(service: &Service, stream: TcpStream) -> Result<Self, u16> {
        Self::open_with(service, stream, None)
    }

    fn open_with(service: &Service, stream: TcpStream, forwarded_for: Option<&str>) -> Result<Self, u16> {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{}/client/v1/connect", service.address).into_client_request().unwrap();
        if let Some(address) = forwarded_for {
            request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        }
        match tungstenite::client(request, stream) {
            Ok((inner, _)) => Ok(Self { inner, told: vec![] }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens one and says who connects; answers what it is answered.
    #[track_caller]
    fn connect(service: &Service, token: &str) -> (Self, Value) {
        Self::connect_with(service, &json!({"token": token, "platform": "web"}))
    }

    #[track_caller]
    pub(super) fn connect_with(service: &Service, params: &Value) -> (Self, Value) {
        let mut socket = Self::open(service);
        let answer = socket.ask("connect", params);
        assert!(answer["result"].is_object(), "{answer}");
        (socket, answer["result"].clone())
    }

    fn send(&mut self, text: &str) {
        // Who was closed meanwhile hears of it when it reads.
        let _ = self.inner.send(Message::text(text));
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub(super) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}).to_string());
        loop {
            let frame = self.frame().unwrap_or_else(|closed| panic!("{method} was not answered: {closed:?}"));
            if frame.get("id").is_some() {
                return frame;
            }
            self.told.push(frame);
        }
    }

    /// The next notification.
    #[track_caller]
    fn told(&mut self) -> (String, Value) {
        let frame = if self.told.is_empty() { self.frame().unwrap() } else { self.told.remove(0) };
        assert!(frame.get("id").is_none(), "{frame}");
        (frame["method"].as_str().unwrap().to_owned(), frame["params"].clone())
    }

    /// The next frame with text, or why the socket was closed.
    fn frame(&mut self) -> Result<Value, Closed> {
        loop {
            match self.inner.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(Some(close))) => {
                    let closed = Closed { code: close.code.into(), reason: close.reason.to_string() };
                    let _ = self.inner.flush();
                    return Err(closed);
                }
                Ok(Message::Close(None)) => return Err(Closed::of(0, "")),
                Ok(_) => {}
                Err(error) => return Err(Closed::of(0, &error.to_string())),
            }
        }
    }

    /// Why the socket is closed; what is told before is dropped.
    pub(super) fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.frame() {
                return closed;
            }
        }
    }

    /// The socket without what makes frames of bytes.
    fn raw(self) -> TcpStream {
        self.inner.into_inner()
    }

    fn from_raw(stream: TcpStream) -> Self {
        Self { inner: WebSocket::from_raw_socket(stream, Role::Client, None), told: vec![] }
    }
}
