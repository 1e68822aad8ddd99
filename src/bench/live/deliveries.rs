//! Webhooks: deliveries per second, and what they add to commands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::client::Api;
use super::{register, steady};
use crate::bench::load::{self, Request};
use crate::bench::served::Served;
use crate::bench::{Error, Options, print, registration, signed};
use crate::out::say;

/// Deliveries that are timed.
const DELIVERIES: usize = 10_000;
/// Commands, and exchanges of others, a second where the service is not saturated.
const STEADY: u32 = 1_000;
/// Connections of others to the receiver: as many as one webhook has.
const OTHERS: usize = 16;

/// A receiver that acknowledges everything, and counts.
async fn receive(listener: TcpListener, count: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(acknowledge(stream, count.clone()));
    }
}

async fn acknowledge(mut stream: TcpStream, count: Arc<AtomicU64>) -> std::io::Result<()> {
    let (mut buffer, mut filled) = (vec![0; 64 * 1024], 0);
    loop {
        filled += match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            read => read,
        };
        while let Some(head) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let end = head + 4 + length.unwrap_or(0);
            if filled < end {
                break;
            }
            buffer.copy_within(end..filled, 0);
            filled -= end;
            count.fetch_add(1, Ordering::Relaxed);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        }
    }
}

/// Waits until no further delivery arrives.
async fn settled(count: &AtomicU64) {
    let mut before = u64::MAX;
    while before != count.load(Ordering::Relaxed) {
        before = count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// An exchange of the size of a delivery, as anybody could make it.
fn exchange(number: u64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let body = json!({"number": number, "data": "x".repeat(400)}).to_string();
    let signature = "x".repeat(140);
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Signature: {signature}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

/// Measures, and prints the figures. The receiver, those who send commands and the service share the processors. So there is a
/// control: the service delivers nothing, and somebody else exchanges as much with the receiver.
pub(super) fn measure(
    options: &Options,
    runtime: &Runtime,
    node: &Served,
    (bearer, key): (&str, &str),
) -> Result<(), Error> {
    let post: Arc<Request> = Arc::new(|n, out| signed("POST", "/user/getToken.json", &registration(n), out));
    let time = Duration::from_secs(options.seconds);
    let connections = usize::from(options.connections);
    let commands = |first| runtime.block_on(load::run(node.address, connections, time, first, post.clone()));
    let some = |first| steady(options, runtime, node.address, STEADY, first, post.clone());
    let count = Arc::new(AtomicU64::new(0));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let receiver = listener.local_addr()?;
    runtime.spawn(receive(listener, count.clone()));
    print("register over v1, no webhook", &commands(0)?, None);
    print("  at 1,000 a second", &some(1 << 34)?, None);
    let others = runtime.spawn(load::steady(receiver, OTHERS, STEADY, (time, 0), Arc::new(exchange)));
    print("  beside 1,000 exchanges a second of others", &some(1 << 38)?, None);
    runtime.block_on(others).map_err(std::io::Error::other)??;
    count.store(0, Ordering::Relaxed);
    runtime.block_on(deliver(node, receiver, (bearer, key), &count))?;
    print("register over v1, each told to a webhook", &commands(1 << 32)?, None);
    // Until what waits is delivered.
    runtime.block_on(settled(&count));
    print("  at 1,000 a second", &some(1 << 36)?, None);
    Ok(())
}

/// Registers a webhook, and users whom it is told.
async fn deliver(
    node: &Served,
    receiver: SocketAddr,
    (bearer, key): (&str, &str),
    count: &AtomicU64,
) -> Result<(), Error> {
    let url = format!("http://{receiver}/");
    let mut operator = Api::open(node.address, key).await?;
    operator.call("POST", "webhooks", &json!({"url": url, "types": ["rollcall.user.registered.*"]})).await?;
    let mut api = Api::open(node.address, bearer).await?;
    let (wanted, began) = (u64::try_from(DELIVERIES).unwrap_or(u64::MAX), Instant::now());
    register(&mut api, "told", DELIVERIES).await?;
    while count.load(Ordering::Relaxed) < wanted && began.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (told, took) = (count.load(Ordering::Relaxed), began.elapsed());
    #[allow(clippy::cast_precision_loss)]
    let rate = told as f64 / took.as_secs_f64();
    say!("{:<44} {rate:>10.0}/s  ({told} of {wanted}, registrations included)", "webhook deliveries");
    Ok(())
}
