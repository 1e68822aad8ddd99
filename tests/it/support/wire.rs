//! A bare connection to the service, for requests that an ordinary client would not send.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::service::parse;
use super::{App, Reply, Service};

/// Longer than any deadline of the service for a client.
const DEADLINE: Duration = Duration::from_secs(60);

/// A connection that may carry several requests.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub fn open(service: &Service) -> Self {
        Self::to(service.address)
    }

    /// To whoever listens at this address.
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: vec![] }
    }

    /// Sends bytes; answers whether the service still took them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next answer. `None`: the service closed the connection without one.
    #[track_caller]
    pub fn reply(&mut self) -> Option<Reply> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(reply) = self.complete() {
                return Some(reply);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("neither an answer nor an end; so far: {:?}", String::from_utf8_lossy(&self.unread))
                }
                Err(_) => return None,
            }
        }
    }

    /// Fails unless the next bytes that come are these.
    #[track_caller]
    pub fn arrives(&mut self, text: &str) {
        let mut buffer = [0; 1024];
        while self.unread.len() < text.len() {
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.unread.extend_from_slice(&buffer[..count]),
                end => panic!("{text:?} did not come: {end:?}, {:?}", String::from_utf8_lossy(&self.unread)),
            }
        }
        let come: Vec<u8> = self.unread.drain(..text.len()).collect();
        assert_eq!(String::from_utf8_lossy(&come), text);
    }

    /// Takes one answer of announced length from what was read.
    fn complete(&mut self) -> Option<Reply> {
        let head = self.unread.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let length: usize = parse(&self.unread[..head])?.header("content-length")?.parse().unwrap();
        let end = head + length;
        (self.unread.len() >= end).then(|| parse(&self.unread.drain(..end).collect::<Vec<_>>()).unwrap())
    }

    /// Fails unless the service ends the connection by itself, within its own time.
    #[track_caller]
    pub fn ends(&mut self) {
        assert!(self.reply().is_none(), "an answer instead of an end");
    }
}

/// The head of a signed form whose body has that length, with more header lines (each with its line end).
pub fn signed_head(app: App, path: &str, length: usize, more: &str) -> String {
    format!("{}Content-Length: {length}\r\n\r\n", unfinished_head(app, path, more))
}

/// The same without a length and without an end.
pub fn unfinished_head(app: App, path: &str, more: &str) -> String {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{more}");
    for (name, value) in app.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
    head
}
