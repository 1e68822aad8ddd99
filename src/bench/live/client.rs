//! An app's server and a user's client, with as little of their own as a load generator needs.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::Error;

fn unexpected(what: impl Into<String>) -> Error {
    Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, what.into()))
}

async fn open(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads a head; byte by byte, since what is behind it belongs to somebody else.
async fn head(stream: &mut TcpStream) -> Result<String, Error> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A server of the app: calls over one connection.
pub(super) struct Api {
    stream: TcpStream,
    bearer: String,
}

impl Api {
    pub(super) async fn open(address: SocketAddr, bearer: &str) -> Result<Self, Error> {
        Ok(Self { stream: open(address).await?, bearer: bearer.to_owned() })
    }

    /// A call that must succeed; answers its body.
    pub(super) async fn call(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, Error> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.bearer,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let head = head(&mut self.stream).await?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).await?;
        if !head.starts_with("HTTP/1.1 2") {
            return Err(unexpected(format!("{method} {path}: {head}{}", String::from_utf8_lossy(&body))));
        }
        if body.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(&body).map_err(|e| unexpected(e.to_string()))
        }
    }
}

/// What came over a socket.
pub(super) enum Frame {
    /// A text.
    Text(Value),
    /// It was closed.
    Closed,
}

/// A user's client.
pub(super) struct Socket(TcpStream);

/// A frame as clients send it; the mask is zero.
fn masked(first: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(body.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(body);
    frame
}

impl Socket {
    /// Connects with a token, and waits until it is let in.
    pub(super) async fn connect(address: SocketAddr, token: &str) -> Result<Self, Error> {
        let mut socket = Self(open(address).await?);
        let request = "GET /client/v1/connect HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        socket.0.write_all(request.as_bytes()).await?;
        let head = head(&mut socket.0).await?;
        if !head.starts_with("HTTP/1.1 101") {
            return Err(unexpected(head));
        }
        socket.ask("connect", &json!({"token": token, "platform": "web"})).await?;
        Ok(socket)
    }

    /// A request that must succeed; what is told before its answer is dropped.
    pub(super) async fn ask(&mut self, method: &str, params: &Value) -> Result<(), Error> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.0.write_all(&masked(0x81, request.as_bytes())).await?;
        loop {
            match self.next().await? {
                Frame::Text(answer) if answer.get("result").is_some() => return Ok(()),
                Frame::Text(answer) if answer.get("error").is_some() => return Err(unexpected(answer.to_string())),
                Frame::Text(_) => {}
                Frame::Closed => return Err(unexpected(format!("the socket was closed before {method} was answered"))),
            }
        }
    }

    /// Waits until a user is told to be online, or offline.
    pub(super) async fn told(&mut self, online: bool) -> Result<(), Error> {
        loop {
            match self.next().await? {
                Frame::Text(text) if text["params"]["online"] == online => return Ok(()),
                Frame::Text(_) => {}
                Frame::Closed => return Err(unexpected("a follower was closed")),
            }
        }
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&mut self) -> Result<(), Error> {
        while let Frame::Text(_) = self.next().await? {}
        Ok(())
    }

    async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            let (first, length) = (self.0.read_u8().await?, self.0.read_u8().await? & 127);
            let length = match length {
                126 => u64::from(self.0.read_u16().await?),
                127 => self.0.read_u64().await?,
                short => u64::from(short),
            };
            let mut body = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            self.0.read_exact(&mut body).await?;
            match first & 15 {
                1 => return Ok(Frame::Text(serde_json::from_slice(&body).map_err(|e| unexpected(e.to_string()))?)),
                8 => return Ok(Frame::Closed),
                9 => self.0.write_all(&masked(0x8a, &body)).await?,
                _ => {}
            }
        }
    }
}
