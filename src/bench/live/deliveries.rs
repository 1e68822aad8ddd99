//! Webhooks: deliveries per second, and what they add to commands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::client::Api;
use super::{register, steady};
use crate::bench::load::{self, Measured, Request};
use crate::bench::served::Served;
use crate::bench::{Error, Options, print, registration, signed};
use crate::out::say;
use crate::tasks::{self, Runtime};

/// Deliveries that are timed.
const DELIVERIES: usize = 10_000;
/// Commands, and exchanges of others, a second where the service is not saturated.
const STEADY: u32 = 1_000;
/// How often each is measured.
const ROUNDS: usize = 5;
/// Connections of others to the receiver: as many as one webhook has.
const OTHERS: usize = 16;

/// A receiver that acknowledges everything, and counts.
async fn receive(listener: TcpListener, count: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        tasks::spawn(acknowledge(stream, count.clone()));
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
/// control: the service delivers nothing, and somebody else exchanges as much with the receiver. The three are measured in turn,
/// several times: from one run to the next they differ more by chance than from each other.
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
    let mut firsts = (1_u64..).map(|number| number << 34);
    let mut some = || {
        let first = firsts.next().unwrap_or_default();
        steady(options, runtime, node.address, STEADY, first, post.clone())
    };
    let count = Arc::new(AtomicU64::new(0));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let receiver = listener.local_addr()?;
    runtime.spawn(receive(listener, count.clone()));
    let mut operator = runtime.block_on(Api::open(node.address, key))?;

    let webhook = runtime.block_on(register_webhook(&mut operator, receiver))?;
    runtime.block_on(deliver(node, bearer, &count))?;
    print("register over v1, each told to a webhook", &commands(1 << 32)?, None);
    // Until what waits is delivered.
    runtime.block_on(settled(&count));
    runtime.block_on(remove_webhook(&mut operator, &webhook))?;
    print("register over v1, no webhook", &commands(0)?, None);

    let (mut alone, mut beside, mut told) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        alone.push(some()?);
        let others = runtime.spawn(load::steady(receiver, OTHERS, STEADY, (time, 0), Arc::new(exchange)));
        beside.push(some()?);
        runtime.block_on(others).map_err(std::io::Error::other)??;
        let webhook = runtime.block_on(register_webhook(&mut operator, receiver))?;
        told.push(some()?);
        runtime.block_on(remove_webhook(&mut operator, &webhook))?;
    }
    say!("register over v1 at {STEADY} a second, the medians of {ROUNDS} rounds");
    print_medians("  no webhook", &alone);
    print_medians(&format!("  beside {STEADY} exchanges a second of others"), &beside);
    print_medians("  each told to a webhook", &told);
    Ok(())
}

/// The medians of p50 and p99 over several runs, and from where to where they are.
fn print_medians(what: &str, runs: &[Measured]) {
    let spread = |of: fn(&Measured) -> Duration| {
        let mut times: Vec<_> = runs.iter().map(of).collect();
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        format!("{:.2?} ({:.2?} to {:.2?})", at(times.len() / 2), at(0), at(times.len().saturating_sub(1)))
    };
    let failed: usize = runs.iter().map(|run| run.failed).sum();
    let failed = if failed > 0 { format!("  ({failed} not answered 200)") } else { String::new() };
    say!("{what:<44} p50 {}, p99 {}{failed}", spread(|run| run.p50), spread(|run| run.p99));
}

async fn register_webhook(operator: &mut Api, receiver: SocketAddr) -> Result<String, Error> {
    let url = format!("http://{receiver}/");
    let webhook = json!({"url": url, "types": ["rollcall.user.registered.*"]});
    let registered = operator.call("POST", "webhooks", &webhook).await?;
    // Until it is looked which webhooks there are.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(registered["webhook_id"].as_str().unwrap_or_default().to_owned())
}

async fn remove_webhook(operator: &mut Api, webhook: &str) -> Result<(), Error> {
    operator.call("DELETE", &format!("webhooks/{webhook}"), &Value::Null).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Registers users whom the webhook is told.
async fn deliver(node: &Served, bearer: &str, count: &AtomicU64) -> Result<(), Error> {
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
