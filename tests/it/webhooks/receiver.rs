//! An app's server that is told of events: real, on a port of its own, and as unreliable as a test wants.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }

    pub fn subject(&self) -> String {
        self.json()["subject"].as_str().unwrap_or_default().to_owned()
    }

    /// Place of its event in the log.
    pub fn position(&self) -> u64 {
        self.json()["sequence"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

/// What it does with a request.
#[derive(Debug, Clone)]
pub enum Does {
    /// Answers with a status, and this in its head.
    Answer(u16, &'static str),
    /// Says nothing until the other side gives up.
    Hang,
    /// Answers 200 and sends its body a byte at a time, without an end.
    Drip,
    /// Answers bytes that are no HTTP.
    Garble,
}

type Decide = dyn FnMut(&Received) -> Does + Send;

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    acknowledged: Arc<Mutex<Vec<Received>>>,
    decide: Arc<Mutex<Box<Decide>>>,
}

impl Receiver {
    /// One that acknowledges everything.
    pub fn start() -> Self {
        Self::that(|_| Does::Answer(200, ""))
    }

    pub fn that(decide: impl FnMut(&Received) -> Does + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            acknowledged: Arc::default(),
            decide: Arc::new(Mutex::new(Box::new(decide))),
        };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        receiver
    }

    /// Does something else from now on.
    pub fn now(&self, decide: impl FnMut(&Received) -> Does + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What came, in order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// What was answered 2xx, in order.
    pub fn acknowledged(&self) -> Vec<Received> {
        self.acknowledged.lock().unwrap().clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let Some(request) = read(&mut stream) else { return };
        self.received.lock().unwrap().push(request.clone());
        let does = (self.decide.lock().unwrap())(&request);
        match does {
            Does::Answer(status, head) => {
                if (200..300).contains(&status) {
                    self.acknowledged.lock().unwrap().push(request);
                }
                let answer = format!("HTTP/1.1 {status} X\r\n{head}Content-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
            Does::Hang => {
                let _ = stream.read(&mut [0]);
            }
            Does::Garble => {
                let _ = stream.write_all(b"\x16\x03\x01 this is not the protocol that you are looking for\r\n\r\n");
            }
            Does::Drip => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                while stream.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let (mut request, mut buffer) = (Vec::new(), [0; 16_384]);
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&buffer[..count]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).into_owned();
        let headers: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, text)| text.parse().ok());
        let body = &request[end + 4..];
        if body.len() >= length.unwrap_or(0) {
            let path = head.split(' ').nth(1)?.to_owned();
            return Some(Received { path, headers, body: body.to_vec() });
        }
    }
}
