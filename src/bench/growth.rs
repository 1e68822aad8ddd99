//! What growth costs: a service with many users and friendships beside one with 10,000 users, both as `rollcall serve` in
//! processes of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::graph::user_id;
use super::load::{self, Measured, Request};
use super::served::{Served, call, place};
use super::{Error, Options, registration, signed};
use crate::out::say;
use crate::tasks::Runtime;

mod fill;

/// Users of the service that is compared with.
const SMALL_USERS: u32 = 10_000;
/// How often both services are loaded in turn.
const ROUNDS: u64 = 3;
/// The first number of users that register while it is measured: nobody has it yet.
const NEW_USERS: u64 = 100_000_000;
/// Pairs of one check.
const PAIRS: u64 = 1_000;

const MEMORY_MAX: u64 = 512 * 1024 * 1024;
const START_MAX: Duration = Duration::from_secs(5);
const THROUGHPUT_MIN: f64 = 0.8;
const GRAPH_MAX: Duration = Duration::from_millis(20);
const PATH_MAX: Duration = Duration::from_millis(200);
const CHECK_MAX: Duration = Duration::from_millis(20);
const SEARCH_BUILT_MAX: Duration = Duration::from_secs(20);
const SEARCH_MAX: Duration = Duration::from_millis(10);
/// How long the index of the users is waited for.
const SEARCH_WAIT_MAX: Duration = Duration::from_mins(10);

/// How large a service is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) users: u32,
    pub(super) edges: u64,
    pub(super) seed: u64,
}

impl Size {
    /// 10,000 users with as many friends each, or as many users as there are.
    fn small(self) -> Self {
        let users = self.users.min(SMALL_USERS);
        Self { users, edges: self.edges * u64::from(users) / u64::from(self.users.max(1)), ..self }
    }
}

/// Says a figure and whether it is as good as it is to be.
fn verdict(what: &str, figure: &str, holds: bool, goal: &str) {
    let word = if holds { "holds" } else { "MISSED" };
    say!("{what:<44} {figure:>24}  {word}: {goal}");
}

/// Fills both services and measures.
///
/// # Errors
/// The graph is too dense, or something failed; the directory is left for inspection.
pub(super) fn measure(options: &Options, size: Size, runtime: &Runtime) -> Result<(), Error> {
    let (small_dir, large_dir) = (options.dir.join("small"), options.dir.join("large"));
    fill::fill(&small_dir, size.small(), runtime)?;
    fill::fill(&large_dir, size, runtime)?;
    // The app is there already.
    let start =
        |name| Served::start(&[place(options, name), vec!["--workers".into(), options.workers.to_string()]].concat());
    let (small, large) = (start("small")?, start("large")?);
    verdict("start", &format!("{:.2?}", large.started_in), large.started_in <= START_MAX, "5 s");
    say!("{:<44} {:>24}", "  anonymous memory after it", mebibytes(large.anonymous_memory()?));
    let bench = Bench { options, runtime };
    bench.pages(&large, size)?;
    bench.graph(&large, size)?;
    bench.throughput(&small, &large)?;
    let memory = large.anonymous_memory()?;
    let goal = "512 MiB";
    verdict("anonymous memory after all of this", &mebibytes(memory), memory <= MEMORY_MAX, goal);
    bench.search(&large, size)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / 1024 / 1024)
}

struct Bench<'o> {
    options: &'o Options,
    runtime: &'o Runtime,
}

impl Bench<'_> {
    fn load(&self, service: &Served, connections: u16, first: u64, request: Arc<Request>) -> Result<Measured, Error> {
        let time = Duration::from_secs(self.options.seconds);
        Ok(self.runtime.block_on(load::run(service.address, connections.into(), time, first, request))?)
    }

    /// Latencies of one caller that asks one question after the other.
    fn alone(
        &self,
        service: &Served,
        request: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Result<Measured, Error> {
        let request: Arc<Request> = Arc::new(move |number, out| out.extend_from_slice(request(number).as_bytes()));
        self.load(service, 1, 0, request)
    }

    /// Registrations per second, of both in turn.
    fn throughput(&self, small: &Served, large: &Served) -> Result<(), Error> {
        let (mut of_small, mut of_large) = (vec![], vec![]);
        for round in 0..ROUNDS {
            for (service, rates) in [(small, &mut of_small), (large, &mut of_large)] {
                let post: Arc<Request> =
                    Arc::new(|n, out| signed("POST", "/user/getToken.json", &registration(n), out));
                let first = NEW_USERS * (round + 1);
                rates.push(self.load(service, self.options.connections, first, post)?.rate);
            }
        }
        let (small, large) = (median(&mut of_small), median(&mut of_large));
        let figure = format!("{large:.0}/s = {:.2} × {small:.0}/s", large / small);
        verdict("registrations over v1", &figure, large >= THROUGHPUT_MIN * small, "0.8 × that at 10,000 users");
        Ok(())
    }

    /// The first and a far page of the list of users.
    fn pages(&self, service: &Served, size: Size) -> Result<(), Error> {
        let (mut far, mut cursor, mut seen) = (String::new(), String::new(), 0);
        let far_from = u64::from(size.users) * 9 / 10;
        loop {
            let page = service.get(&format!("users?limit=500{cursor}"))?;
            seen += page["users"].as_array().map_or(0, Vec::len) as u64;
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
            if far.is_empty() && seen >= far_from {
                far.clone_from(&cursor);
            }
        }
        if seen < u64::from(size.users) {
            return Err(Error::Constant(format!("the list has {seen} users")));
        }
        let first = self.alone(service, |_| get("users?limit=50"))?;
        let far = self.alone(service, move |_| get(&format!("users?limit=50{far}")))?;
        let figure = format!("p50 {:.2?}, first {:.2?}", far.p50, first.p50);
        verdict("page of 50 users, far", &figure, far.p50 <= first.p50 * 3 / 2, "what a first page costs");
        Ok(())
    }

    /// How long the index takes from the first search to its answer, what searches take then, and what the index takes of memory.
    fn search(&self, service: &Served, size: Size) -> Result<(), Error> {
        let (memory, began) = (service.anonymous_memory()?, Instant::now());
        // Each is answered "not ready" after two seconds, until it is.
        while let Err(not_ready) = service.get("users?name=nobody%20is%20called%20so") {
            if began.elapsed() > SEARCH_WAIT_MAX {
                return Err(not_ready);
            }
        }
        let built = began.elapsed();
        let goal = format!("{SEARCH_BUILT_MAX:?} for a million users");
        verdict("index of users to search, built", &format!("{built:.2?}"), built <= SEARCH_BUILT_MAX, &goal);
        let more = service.anonymous_memory()?.saturating_sub(memory);
        let each = more.checked_div(size.users.into()).unwrap_or_default();
        say!("{:<44} {:>24}", "  memory that it takes", format!("{}, {each} B a user", mebibytes(more)));
        let users = u64::from(size.users);
        let by_name = self.alone(service, move |n| get(&format!("users?name=ERSON%20{}", scattered(n, users))))?;
        latency("search for a part of a name", &by_name, SEARCH_MAX);
        let nobody = self.alone(service, |n| get(&format!("users?name=nobody%20{n}")))?;
        latency("search for a name that nobody has", &nobody, SEARCH_MAX);
        let by_id = self.alone(service, move |n| get(&format!("users?prefix=user{}", scattered(n, users) / 100)))?;
        latency("search for the beginning of a userId", &by_id, SEARCH_MAX);
        Ok(())
    }

    /// What is asked of the friend graph.
    fn graph(&self, service: &Served, size: Size) -> Result<(), Error> {
        let mut friends = vec![];
        for user in 0..size.users.min(20) {
            let list = service.get(&format!("users/{}/friends?limit=1", user_id(user)))?;
            friends.push(list["total"].as_u64().unwrap_or_default());
        }
        let most = friends.iter().copied().max().unwrap_or_default();
        let most_friends: Vec<u64> =
            (0..).zip(&friends).filter(|(_, count)| **count * 10 >= most * 9).map(|(user, _)| user).collect();
        say!("{:<44} {:>24}", "users with the most friends", format!("{} with about {most}", most_friends.len()));
        let users = u64::from(size.users);
        let hub = move |number: u64| {
            let at = usize::try_from(number % most_friends.len().max(1) as u64).unwrap_or_default();
            most_friends.get(at).copied().unwrap_or_default()
        };
        let (one, other) = (hub.clone(), hub.clone());
        let mutual =
            self.alone(service, move |n| get(&format!("users/user{}/friends/mutual/user{}", one(n), other(n + 1))))?;
        latency("mutual friends, of two of them", &mutual, GRAPH_MAX);
        let suggested = self.alone(service, move |n| get(&format!("users/user{}/friends/suggestions", hub(n))))?;
        latency("suggestions, to one of them", &suggested, GRAPH_MAX);
        let any =
            self.alone(service, move |n| get(&format!("users/user{}/friends/suggestions", scattered(n, users))))?;
        latency("suggestions, to anybody", &any, GRAPH_MAX);
        let path = self.alone(service, move |n| {
            get(&format!("friends/path?from=user{}&to=user{}", scattered(2 * n, users), scattered(2 * n + 1, users)))
        })?;
        latency("path from anybody to anybody", &path, PATH_MAX);
        let checked = self.alone(service, move |n| {
            let pair = |at| format!(r#"["user{}","user{}"]"#, scattered(at, users), scattered(at + 7, users));
            let pairs: Vec<_> = (0..PAIRS).map(|at| pair(n * PAIRS + at)).collect();
            post("blocks/check", &format!(r#"{{"pairs":[{}]}}"#, pairs.join(",")))
        })?;
        latency("1,000 pairs of users, who blocks whom", &checked, CHECK_MAX);
        Ok(())
    }
}

/// A user for each number, scattered over all of them.
fn scattered(number: u64, users: u64) -> u64 {
    number.wrapping_mul(2_654_435_761) % users.max(1)
}

fn latency(what: &str, measured: &Measured, max: Duration) {
    let Measured { p50, p99, failed, answered, .. } = measured;
    verdict(what, &format!("p50 {p50:.2?}, p99 {p99:.2?}"), *p99 <= max, &format!("p99 {max:?}"));
    if *failed > 0 {
        say!("{:<44} {failed:>24} of {answered} not answered 200", "");
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn get(path: &str) -> String {
    call("GET", path, "")
}

fn post(path: &str, body: &str) -> String {
    call("POST", path, body)
}
