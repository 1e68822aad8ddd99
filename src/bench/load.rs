//! A load generator: keep-alive connections over loopback, one request in flight on each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::figures::{Figure, Unit};
use crate::tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Into how many slices of the time a run is divided, to see how much its figures vary by chance.
const SLICES: usize = 20;

/// What one run came to.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Answers with status 200 per second.
    pub(super) rate: f64,
    /// Half of the answers were faster.
    pub(super) p50: Duration,
    /// All but one in a hundred were faster.
    pub(super) p99: Duration,
    /// All but one in a thousand were faster.
    pub(super) p999: Duration,
    /// The longest.
    pub(super) longest: Duration,
    /// Answers with another status.
    pub(super) failed: usize,
    /// How many answers there were.
    pub(super) answered: usize,
    /// So many numbers, from the first one on without a gap, were sent and answered.
    pub(super) unbroken: u64,
    /// Answers per second, p50, p99 and p99.9 in microseconds, in each slice of the time.
    slices: Vec<[f64; 4]>,
}

impl Measured {
    /// Of answers that each connection noted: when they came, after the beginning, and how long each took.
    fn of(mut answers: Vec<(Duration, Duration)>, failed: usize, elapsed: Duration) -> Self {
        answers.sort_unstable();
        let slice = elapsed / u32::try_from(SLICES).unwrap_or(1);
        let mut slices = Vec::with_capacity(SLICES);
        let mut rest = &answers[..];
        for number in 1..=u32::try_from(SLICES).unwrap_or(1) {
            let (these, later) = rest.split_at(rest.partition_point(|(came, _)| *came <= slice * number));
            rest = later;
            let mut latencies: Vec<_> = these.iter().map(|(_, took)| *took).collect();
            latencies.sort_unstable();
            let at = |share| micros(percentile(&latencies, share));
            slices.push([per_second(these.len(), slice), at(0.5), at(0.99), at(0.999)]);
        }
        let mut latencies: Vec<_> = answers.into_iter().map(|(_, took)| took).collect();
        latencies.sort_unstable();
        Self {
            rate: per_second(latencies.len() - failed, elapsed),
            p50: percentile(&latencies, 0.5),
            p99: percentile(&latencies, 0.99),
            p999: percentile(&latencies, 0.999),
            longest: latencies.last().copied().unwrap_or_default(),
            failed,
            answered: latencies.len(),
            unbroken: 0,
            slices,
        }
    }

    /// Answers per second.
    pub(super) fn rate_figure(&self, unit: Unit) -> Figure {
        Figure::sliced(self.rate, &self.sliced(0), unit)
    }

    /// p50, p99 and p99.9 with their names.
    pub(super) fn latencies(&self) -> [(&'static str, Figure); 3] {
        let of = |at, value, unit| Figure::sliced(micros(value), &self.sliced(at), unit);
        [
            ("p50", of(1, self.p50, Unit::Micros)),
            ("p99", of(2, self.p99, Unit::Tail)),
            ("p99.9", of(3, self.p999, Unit::Tail)),
        ]
    }

    fn sliced(&self, at: usize) -> Vec<f64> {
        self.slices.iter().map(|slice| slice[at]).collect()
    }
}

/// In microseconds.
pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

fn per_second(count: usize, time: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / time.as_secs_f64()
}

/// That one of sorted latencies below which such a share of them lies.
pub(super) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    // The index of a percentile: exactness beyond one place does not matter.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let index = ((sorted.len() as f64) * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
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
    paced(address, (connections, None), time, first, request).await
}

/// As [`run`], but so many requests a second, whether earlier ones were answered in time or not: how long one takes counts from
/// when it was due. A service that is not busy is measured so.
pub(super) async fn steady(
    address: SocketAddr,
    connections: usize,
    rate: u32,
    (time, first): (Duration, u64),
    request: Arc<Request>,
) -> std::io::Result<Measured> {
    let every = Duration::from_secs(1) * u32::try_from(connections).unwrap_or(u32::MAX) / rate.max(1);
    paced(address, (connections, Some(every)), time, first, request).await
}

async fn paced(
    address: SocketAddr,
    (connections, every): (usize, Option<Duration>),
    time: Duration,
    first: u64,
    request: Arc<Request>,
) -> std::io::Result<Measured> {
    let began = Instant::now();
    let until = began + time;
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let request = request.clone();
            let numbers = (first + connection as u64, connections as u64);
            let share = u32::try_from(connection).unwrap_or(0);
            let due = every.map(|every| (began + every / connections.try_into().unwrap_or(1) * share, every));
            tasks::spawn(async move { one(address, (began, until), numbers, due, &*request).await })
        })
        .collect();
    let (mut answers, mut failed, mut fewest) = (Vec::new(), 0, usize::MAX);
    for task in tasks {
        let (more, bad) = task.await.map_err(std::io::Error::other)??;
        fewest = fewest.min(more.len());
        answers.extend(more);
        failed += bad;
    }
    let unbroken = fewest.min(answers.len()) as u64 * connections as u64;
    Ok(Measured { unbroken, ..Measured::of(answers, failed, began.elapsed()) })
}

async fn one(
    address: SocketAddr,
    (start, until): (Instant, Instant),
    (first, step): (u64, u64),
    mut due: Option<(Instant, Duration)>,
    request: &Request,
) -> std::io::Result<(Vec<(Duration, Duration)>, usize)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut out, mut buffer) = (Vec::with_capacity(1024), vec![0; 64 * 1024]);
    let (mut answers, mut failed, mut number) = (Vec::with_capacity(1 << 14), 0, first);
    while Instant::now() < until {
        out.clear();
        request(number, &mut out);
        number += step;
        let began = match &mut due {
            None => Instant::now(),
            Some((at, every)) => {
                let due = *at;
                *at += *every;
                if due > Instant::now() {
                    tokio::time::sleep_until(due.into()).await;
                    // The timer is up to a millisecond late, which is not the service's.
                    Instant::now()
                } else {
                    due
                }
            }
        };
        stream.write_all(&out).await?;
        let good = answer(&mut stream, &mut buffer).await?;
        answers.push((start.elapsed(), began.elapsed()));
        failed += usize::from(!good);
    }
    Ok((answers, failed))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_in_one_slice_is_seen_in_the_tail_and_in_the_noise_of_the_run() {
        let ms = Duration::from_millis;
        let mut answers: Vec<_> = (1..=10_000).map(|number| (ms(number), ms(1))).collect();
        answers.iter_mut().skip(4_000).take(50).for_each(|(_, took)| *took = ms(300));
        let measured = Measured::of(answers, 0, ms(10_000));
        assert_eq!((measured.p50, measured.p99, measured.p999), (ms(1), ms(1), ms(300)));
        assert_eq!((measured.longest, measured.answered), (ms(300), 10_000));
        assert_eq!(measured.slices.len(), SLICES);
        assert!((measured.rate - 1_000.0).abs() < 1e-6);
        let [(_, p50), (_, p99), _] = measured.latencies();
        assert!(p50.noise == 0.0 && p99.noise > 0.0, "{p50:?} {p99:?}");
    }

    #[test]
    fn a_run_without_an_answer_has_figures_too() {
        let measured = Measured::of(vec![], 0, Duration::from_secs(1));
        assert_eq!((measured.p999, measured.answered), (Duration::ZERO, 0));
    }
}
