//! Curves: registrations and point queries over growing numbers of connections, and over growing numbers of users, against a
//! service in a process of its own. They are kept as JSON, from which `benches/peers` makes its table and its plots.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::load::{self, Measured, Request, micros};
use super::served::{Served, app, place};
use super::{Error, Options, registration, signed};
use crate::out::say;
use crate::tasks::Runtime;
use registered::Registered;

mod registered;

/// Format of the file.
const VERSION: u32 = 1;
/// Requests are sent for this part of the time before those that are measured.
const WARMING: u32 = 5;
/// Numbers of users at which is measured.
const STEPS: [u64; 7] = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
/// Registrations are measured until there are half as many users more, but for so long at least, and for the seconds of the
/// options at most.
const SECONDS_MIN: Duration = Duration::from_secs(1);
/// Longest time that users are added without a look at how many there are.
const FILL_MAX: Duration = Duration::from_secs(5);
/// Numbers of users so far apart that no two runs of requests have one in common.
const APART: u64 = 1 << 32;

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(super) struct CurveOptions {
    /// Measure registrations and point queries over growing numbers of connections and of users, against a service in a
    /// process of its own, write the figures to a JSON file, and measure nothing else
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["save", "against", "live", "kurrentdb", "users", "vault_database", "foreign_in"])]
    pub(super) curves: Option<PathBuf>,
    /// Numbers of connections, separated by commas
    #[arg(long, value_name = "N,N", requires = "curves", value_delimiter = ',',
        default_values_t = [1_u16, 2, 4, 8, 16, 32, 64, 128, 256, 512],
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    over_connections: Vec<u16>,
    /// Up to how many users, with --connections connections; 0: not at all
    #[arg(long, value_name = "N", requires = "curves", default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    over_users: u64,
}

impl CurveOptions {
    /// Refuses what would fail after minutes only.
    ///
    /// # Errors
    /// One database is named for two curves, or the file is in a folder that does not exist.
    pub(super) fn check(&self, database: bool) -> Result<(), Error> {
        let Some(file) = &self.curves else { return Ok(()) };
        if database && self.over_users > 0 {
            let why = "each curve begins with an empty service, and --database names one: add --over-users 0";
            return Err(Error::Constant(why.into()));
        }
        if file.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            return Err(Error::Constant(format!("the folder of {} does not exist", file.display())));
        }
        Ok(())
    }
}

/// All of it, as it is written.
#[derive(Debug, Serialize)]
struct Curves {
    version: u32,
    /// Of this program.
    build: &'static str,
    /// Where log and read models are.
    store: &'static str,
    cores: usize,
    workers: u16,
    seconds: u64,
    connections: Vec<OverConnections>,
    users: Vec<OverUsers>,
}

#[derive(Debug, Serialize)]
struct OverConnections {
    connections: u16,
    register: Point,
    query: Point,
}

#[derive(Debug, Serialize)]
struct OverUsers {
    /// Amid the registrations that were measured.
    users: u64,
    connections: u16,
    register: Point,
    query: Point,
}

/// What one run of requests came to.
#[derive(Debug, Clone, Copy, Serialize)]
struct Point {
    /// Answers with status 200.
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    /// Processor time of the service for each answer, without a database server's and without the load generator's.
    service_cpu_micros: f64,
    /// Of the load generator.
    caller_cpu_micros: f64,
    /// Answers with another status.
    failed: usize,
}

/// Measures, and writes the file.
///
/// # Errors
/// The file cannot be written, a service fails, or has not stored what it acknowledged; the directory is left for inspection.
pub(super) fn measure(options: &Options, file: &Path, runtime: &Runtime) -> Result<(), Error> {
    let CurveOptions { over_connections, over_users, .. } = &options.curves;
    let curves = Curves {
        version: VERSION,
        build: env!("CARGO_PKG_VERSION"),
        store: if options.database.is_some() { "PostgreSQL" } else { "SQLite" },
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        workers: options.workers,
        seconds: options.seconds,
        connections: over(over_connections, options, runtime)?,
        users: up_to(*over_users, options, runtime)?,
    };
    let text = serde_json::to_string_pretty(&curves).map_err(std::io::Error::other)?;
    Ok(std::fs::write(file, text + "\n")?)
}

/// With so many connections, one number after the other.
fn over(numbers: &[u16], options: &Options, runtime: &Runtime) -> Result<Vec<OverConnections>, Error> {
    let mut bench = Bench::start(options, "connections", runtime)?;
    let mut points = Vec::new();
    let time = Duration::from_secs(options.seconds);
    for &connections in numbers {
        bench.register(connections, time / WARMING)?;
        let register = bench.register(connections, time)?;
        bench.query(connections, time / WARMING)?;
        let query = bench.query(connections, time)?;
        note(&format!("{connections} connections"), register, query);
        points.push(OverConnections { connections, register, query });
    }
    bench.check_stored()?;
    Ok(points)
}

/// While the number of users grows.
fn up_to(most: u64, options: &Options, runtime: &Runtime) -> Result<Vec<OverUsers>, Error> {
    let (mut points, connections) = (Vec::new(), options.connections);
    let mut steps: Vec<_> = STEPS.into_iter().filter(|step| *step <= most).collect();
    if most == 0 {
        return Ok(points);
    }
    if steps.is_empty() {
        steps.push(most);
    }
    let longest = Duration::from_secs(options.seconds);
    let mut bench = Bench::start(options, "users", runtime)?;
    for step in steps {
        let rate = bench.grow_to(step, connections)?;
        let time = seconds_for(step / 2, rate).clamp(SECONDS_MIN, longest);
        let before = bench.acknowledged;
        let register = bench.register(connections, time)?;
        let users = u64::midpoint(before, bench.acknowledged);
        bench.query(connections, longest / WARMING)?;
        let query = bench.query(connections, longest)?;
        note(&format!("{users} users"), register, query);
        points.push(OverUsers { users, connections, register, query });
    }
    bench.check_stored()?;
    Ok(points)
}

/// How long so many take at a rate.
fn seconds_for(count: u64, per_second: f64) -> Duration {
    #[allow(clippy::cast_precision_loss)]
    let seconds = count as f64 / per_second.max(1.0);
    Duration::from_secs_f64(seconds)
}

fn note(at: &str, register: Point, query: Point) {
    for (what, point) in [("register", register), ("query", query)] {
        let Point { per_second, p50_ms, p99_ms, service_cpu_micros: cpu, failed, .. } = point;
        let failed = if failed > 0 { format!("  ({failed} not answered 200)") } else { String::new() };
        say!(
            "{at:<20} {what:<10} {per_second:>10.0}/s  p50 {p50_ms:>8.2} ms  p99 {p99_ms:>8.2} ms  service {cpu:>6.1} µs{failed}"
        );
    }
}

/// A service, and who was registered with it.
struct Bench<'o> {
    runtime: &'o Runtime,
    args: Vec<String>,
    service: Served,
    registered: Registered,
    /// Registrations that were answered 200, and all of them.
    acknowledged: u64,
    answered: u64,
    /// Where the numbers of the next run begin.
    next: u64,
}

impl<'o> Bench<'o> {
    fn start(options: &Options, name: &str, runtime: &'o Runtime) -> Result<Self, Error> {
        let workers = ["--workers".to_owned(), options.workers.to_string()];
        let args = [place(options, name), app().into(), workers.into()].concat();
        let service = Served::start(&args)?;
        let (acknowledged, answered, next) = (0, 0, 0);
        Ok(Self { runtime, args, service, registered: Registered::default(), acknowledged, answered, next })
    }

    fn load(
        &self,
        connections: u16,
        time: Duration,
        (first, request): (u64, Arc<Request>),
    ) -> Result<(Measured, Point), Error> {
        let (service, caller) = (self.service.cpu_time()?, super::cpu_time("self")?);
        let load = load::run(self.service.address, connections.into(), time, first, request);
        let measured = self.runtime.block_on(load)?;
        let (service, caller) =
            (self.service.cpu_time()?.saturating_sub(service), super::cpu_time("self")?.saturating_sub(caller));
        let each = |time: Duration| micros(time / u32::try_from(measured.answered.max(1)).unwrap_or(u32::MAX));
        let Measured { rate, p50, p99, p999, failed, .. } = measured;
        let [p50_ms, p99_ms, p999_ms] = [p50, p99, p999].map(|time| micros(time) / 1_000.0);
        let (service_cpu_micros, caller_cpu_micros) = (each(service), each(caller));
        let point = Point { per_second: rate, p50_ms, p99_ms, p999_ms, service_cpu_micros, caller_cpu_micros, failed };
        Ok((measured, point))
    }

    fn register(&mut self, connections: u16, time: Duration) -> Result<Point, Error> {
        let post: Arc<Request> = Arc::new(|n, out| signed("POST", "/user/getToken.json", &registration(n), out));
        let first = self.next;
        self.next += APART;
        let (measured, point) = self.load(connections, time, (first, post))?;
        self.registered.add(first, measured.unbroken);
        self.answered += measured.answered as u64;
        self.acknowledged += (measured.answered - measured.failed) as u64;
        Ok(point)
    }

    /// Asks for one of all the users.
    fn query(&self, connections: u16, time: Duration) -> Result<Point, Error> {
        let registered = self.registered.clone();
        let get: Arc<Request> = Arc::new(move |n, out| {
            let user = registered.number(n.wrapping_mul(2_654_435_761));
            signed("POST", "/user/info.json", &format!("userId=user{user}"), out);
        });
        Ok(self.load(connections, time, (0, get))?.1)
    }

    /// Registers users until there are about so many; answers how many a second.
    fn grow_to(&mut self, users: u64, connections: u16) -> Result<f64, Error> {
        // As long as nothing is known, a rate that is not too high.
        let mut rate = 5_000.0_f64;
        while self.acknowledged < users {
            let time = seconds_for(users - self.acknowledged, rate).clamp(Duration::from_millis(50), FILL_MAX);
            rate = self.register(connections, time)?.per_second;
        }
        Ok(rate)
    }

    /// Kills the service, starts it again, and counts the users.
    fn check_stored(self) -> Result<(), Error> {
        let Self { args, service, acknowledged, answered, .. } = self;
        drop(service);
        let stored = Served::start(&args)?.count_users()?;
        if !(acknowledged..=answered).contains(&stored) {
            let said =
                format!("{acknowledged} registrations were acknowledged, and {stored} users are there after a kill");
            return Err(Error::Constant(said));
        }
        say!("{stored} users are there after the service was killed, {acknowledged} registrations were acknowledged");
        Ok(())
    }
}
