//! A load generator: keep-alive connections over loopback, one request in flight on each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What one run came to.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Answers with status 200 per second.
    pub(super) rate: f64,
    /// Half of the answers were faster.
    pub(super) p50: Duration,
    /// All but one in a hundred were faster.
    pub(super) p99: Duration,
    /// Answers with another status.
    pub(super) failed: usize,
    /// How many answers there were.
    pub(super) answered: usize,
}

/// Writes the n-th request into a buffer.
pub(super) type Request = dyn Fn(u64, &mut Vec<u8>) + Send + Sync;

/// Sends requests on so many connections for so long. Each connection counts its own requests: connection c sends
/// the numbers c, c + connections, c + 2 × connections, ….
pub(super) async fn run(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    first: u64,
    request: Arc<Request>,
) -> std::io::Result<Measured> {
    let began = Instant::now();
    let until = began + time;
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let request = request.clone();
            tokio::spawn(
                async move { one(address, until, first + connection as u64, connections as u64, &*request).await },
            )
        })
        .collect();
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (more, bad) = task.await.map_err(std::io::Error::other)??;
        latencies.extend(more);
        failed += bad;
    }
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    let at = |share: f64| {
        // The index of a percentile: exactness beyond one place does not matter.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = ((latencies.len() as f64) * share) as usize;
        latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    #[allow(clippy::cast_precision_loss)]
    let rate = (latencies.len() - failed) as f64 / elapsed.as_secs_f64();
    Ok(Measured { rate, p50: at(0.5), p99: at(0.99), failed, answered: latencies.len() })
}

async fn one(
    address: SocketAddr,
    until: Instant,
    first: u64,
    step: u64,
    request: &Request,
) -> std::io::Result<(Vec<Duration>, usize)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut out, mut buffer) = (Vec::with_capacity(1024), vec![0; 64 * 1024]);
    let (mut latencies, mut failed, mut number) = (Vec::with_capacity(1 << 14), 0, first);
    while Instant::now() < until {
        out.clear();
        request(number, &mut out);
        number += step;
        let began = Instant::now();
        stream.write_all(&out).await?;
        let good = answer(&mut stream, &mut buffer).await?;
        latencies.push(began.elapsed());
        failed += usize::from(!good);
    }
    Ok((latencies, failed))
}

/// Reads one answer; whether its status is 200.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(invalid("the connection was closed in the middle of an answer"));
        }
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).map_err(|_| invalid("a head that is not ASCII"))?;
        let length: usize = text
            .lines()
            .find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")))
            .and_then(|(_, value)| value.trim().parse().ok())
            .ok_or_else(|| invalid("an answer without Content-Length"))?;
        if filled >= head + 4 + length {
            return Ok(text.starts_with("HTTP/1.1 200"));
        }
    }
}
