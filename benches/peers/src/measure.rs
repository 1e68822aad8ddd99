//! The load and what comes of it, the same for everyone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::place::Place;
use crate::user::{self, Profile};

/// Somebody who registers users.
pub(crate) trait Peer: Send + Sync + 'static {
    /// Creates the user's aggregate with its first event, and returns when that is durable: how often it had to be
    /// tried again.
    fn register(&self, user: Uuid, profile: Profile) -> impl Future<Output = Result<u64>> + Send;
}

/// How many register at once, and how long.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) warming: Duration,
    pub(crate) measured: Duration,
}

/// What one client saw.
#[derive(Default)]
struct Tally {
    /// In microseconds, of what ended while measuring.
    latencies: Vec<u64>,
    retried: u64,
    acknowledged: u64,
}

impl Load {
    /// Puts the load on a peer. Amid the warming up the tables get statistics, as they have in every database older
    /// than a minute: without them the planner may read all events of a type to find one user's.
    pub(crate) async fn on<P: Peer>(self, peer: P, place: &Place) -> Result<Figures> {
        let peer = Arc::new(peer);
        let opens = Instant::now() + self.warming;
        let closes = opens + self.measured;
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(client(Arc::clone(&peer), opens, closes));
        }
        sleep_until(opens - self.warming / 2).await;
        place.analyze().await?;
        sleep_until(opens).await;
        let before = cpu()?;
        sleep_until(closes).await;
        let cpu = cpu()?.saturating_sub(before);
        let mut all = Tally::default();
        while let Some(tally) = clients.join_next().await {
            let tally = tally??;
            all.latencies.extend(tally.latencies);
            all.retried += tally.retried;
            all.acknowledged += tally.acknowledged;
        }
        self.figures(all, cpu)
    }

    fn figures(self, mut all: Tally, cpu: Duration) -> Result<Figures> {
        all.latencies.sort_unstable();
        let operations = all.latencies.len();
        if operations == 0 {
            bail!("nothing was registered in time");
        }
        let at =
            |percent: usize| Duration::from_micros(all.latencies[(operations * percent / 100).min(operations - 1)]);
        let count = u32::try_from(operations).context("too many operations")?;
        Ok(Figures {
            per_second: f64::from(count) / self.measured.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            cpu: cpu.as_secs_f64() * 1e6 / f64::from(count),
            retries: f64::from(u32::try_from(all.retried)?) / f64::from(count),
            acknowledged: all.acknowledged,
        })
    }
}

async fn client<P: Peer>(peer: Arc<P>, opens: Instant, closes: Instant) -> Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let began = Instant::now();
        if began >= closes {
            return Ok(tally);
        }
        let (user, profile) = user::new();
        let retried = peer.register(user, profile).await?;
        let ended = Instant::now();
        tally.acknowledged += 1;
        if (opens..closes).contains(&ended) {
            tally.latencies.push(u64::try_from((ended - began).as_micros())?);
            tally.retried += retried;
        }
    }
}

/// What this process has spent on the processors, in itself and in the kernel.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let spent = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(spent)?))
}

/// What came of a load.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    p50: Duration,
    p99: Duration,
    /// Of the client process, for each operation, in microseconds.
    cpu: f64,
    /// For each operation.
    retries: f64,
    /// While warming up and afterwards too: as many must be stored.
    pub(crate) acknowledged: u64,
}

impl Figures {
    /// What the columns are.
    pub(crate) const HEADER: &'static str =
        "name × clients            per second    p50 ms    p99 ms  CPU µs/op  retries/op";

    /// A row of the table.
    pub(crate) fn row(&self, name: &str) -> String {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let Self { per_second, cpu, retries, .. } = self;
        let (p50, p99) = (milliseconds(self.p50), milliseconds(self.p99));
        format!("{name:<25} {per_second:>10.0} {p50:>9.2} {p99:>9.2} {cpu:>10.1} {retries:>11.2}")
    }
}
