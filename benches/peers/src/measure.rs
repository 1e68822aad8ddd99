//! The load and what comes of it, the same for everyone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::cpu;
use crate::user::{self, Profile};

/// Somebody who registers users.
pub(crate) trait Peer: Send + Sync + 'static {
    /// Creates the user's aggregate with its first event, and returns when that is durable: how often it had to be
    /// tried again.
    fn register(&self, user: Uuid, profile: Profile) -> impl Future<Output = Result<u64>> + Send;

    /// Puts the load on it, and checks that what was acknowledged is what is stored.
    async fn measured(self, load: Load, store: &impl Store, table: &str) -> Result<Figures>
    where
        Self: Sized,
    {
        let (figures, acknowledged) = load.on(self, store).await?;
        let stored = store.count(table).await?;
        if stored != acknowledged {
            bail!("{acknowledged} were acknowledged, {stored} are stored");
        }
        Ok(figures)
    }
}

/// Where a peer has its events.
pub(crate) trait Store {
    /// How long one client alone waits for one commit, the median of a few: what the disk is like at the moment.
    async fn lone_commit(&self) -> Result<Duration>;

    /// Has a planner know what the tables hold.
    async fn analyze(&self) -> Result<()>;

    /// How many rows a table has, or how many events there are where there is no table.
    async fn count(&self, table: &str) -> Result<u64>;

    /// What a server of its own has spent on the processors.
    fn server_cpu(&self) -> Result<Option<Duration>>;
}

/// The median of so many times of something.
pub(crate) fn median(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits.get(waits.len() / 2).copied().unwrap_or_default()
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
    ///
    /// Answers with how many were acknowledged, those while warming up too.
    async fn on<P: Peer>(self, peer: P, store: &impl Store) -> Result<(Figures, u64)> {
        let peer = Arc::new(peer);
        let opens = Instant::now() + self.warming;
        let closes = opens + self.measured;
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(client(Arc::clone(&peer), opens, closes));
        }
        sleep_until(opens - self.warming / 2).await;
        store.analyze().await?;
        sleep_until(opens).await;
        let (caller, server) = (cpu::of_this_process()?, store.server_cpu()?);
        sleep_until(closes).await;
        let caller = cpu::of_this_process()?.saturating_sub(caller);
        let server = store.server_cpu()?.zip(server).map(|(now, before)| now.saturating_sub(before));
        let mut all = Tally::default();
        while let Some(tally) = clients.join_next().await {
            let tally = tally??;
            all.latencies.extend(tally.latencies);
            all.retried += tally.retried;
            all.acknowledged += tally.acknowledged;
        }
        let acknowledged = all.acknowledged;
        Ok((self.figures(all, caller, server)?, acknowledged))
    }

    fn figures(self, mut all: Tally, caller: Duration, server: Option<Duration>) -> Result<Figures> {
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
            caller_cpu: caller.as_secs_f64() * 1e6 / f64::from(count),
            server_cpu: server.map(|server| server.as_secs_f64() * 1e6 / f64::from(count)),
            retries: f64::from(u32::try_from(all.retried)?) / f64::from(count),
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

/// What came of a load.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Of the process that registers, with the library in it, for each operation, in microseconds.
    pub(crate) caller_cpu: f64,
    /// Of the server, where there is one and it can be told.
    pub(crate) server_cpu: Option<f64>,
    /// For each operation.
    pub(crate) retries: f64,
}

impl Figures {
    /// What the columns are.
    pub(crate) const HEADER: &'static str =
        "store: library × clients              per second    p50 ms    p99 ms  CPU µs/op: caller  server  retries/op";

    /// A row of the table.
    pub(crate) fn row(&self, name: &str) -> String {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let Self { per_second, caller_cpu, retries, .. } = self;
        let (p50, p99) = (milliseconds(self.p50), milliseconds(self.p99));
        let server = self.server_cpu.map_or_else(|| "-".to_owned(), |server| format!("{server:.1}"));
        format!("{name:<37} {per_second:>10.0} {p50:>9.2} {p99:>9.2} {caller_cpu:>18.1} {server:>7} {retries:>11.2}")
    }
}
