//! Live connections, the feed and webhooks, against a service in a process of its own: how many clients a second, what an idle one
//! costs, how fast a ban closes and a status spreads, how fast events leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use serde_json::json;

use super::load::{self, Request, percentile};
use super::served::{Served, app, command, place};
use super::{Error, KEY, Options, SECRET, admission, ceilings, measure, on_thread, print};
use crate::open_files;
use crate::out::say;
use crate::tasks::{self, Runtime};

mod client;
mod deliveries;

use client::{Api, Socket};

/// Clients that connect at the same time.
const CONNECTING: usize = 64;
/// Files that this process has open beside its clients' sockets; the service in the other process has about as many.
const OTHER_FILES: u64 = 150;
/// Users that one call registers.
const TOGETHER: usize = 500;
/// Bans that are timed.
const BANS: usize = 200;
/// Followers of one user.
const FOLLOWERS: usize = 1_000;
/// How often that user comes.
const ROUNDS: usize = 5;
/// Events of a page of the feed, at most.
const PAGE: u16 = 500;

/// Measures, and prints the figures. With a database for the keys a second node is started, and bans cross from it.
///
/// # Errors
/// Something failed.
pub(super) fn measure_all(options: &Options, clients: usize, runtime: &Runtime) -> Result<(), Error> {
    let wanted = clients as u64 + OTHER_FILES;
    let allowed = open_files::allow(wanted);
    if allowed < wanted {
        return Err(Error::Constant(format!(
            "this process may open {allowed} files, and {wanted} are needed (ulimit -n)"
        )));
    }
    let workers = usize::from(options.workers);
    let (hello_address, hello_server) = on_thread(Box::new(move || ceilings::bare_server(workers)))?;
    let get: Arc<Request> = Arc::new(|_, out| out.extend_from_slice(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let hello = measure(options, runtime, hello_address, 0, get)?;
    print("bare actix-web, JSON hello", &hello, None);
    runtime.block_on(hello_server.stop(false));

    let (place, serve) = (place(options, "one"), serve(options, "one", clients));
    // The app must be there before it can be given a key of another scope.
    drop(Served::start(&serve)?);
    let key = command(&[&["apps", "add-key", KEY, "--scope", "operator"].map(str::to_owned)[..], &place].concat())?;
    let one = Served::start(&serve)?;
    let two =
        options.vault_database.is_some().then(|| Served::start(&self::serve(options, "two", clients))).transpose()?;

    let bearer = format!("{KEY}:{SECRET}");
    runtime.block_on(async {
        let mut api = Api::open(one.address, &bearer).await?;
        let tokens = register(&mut api, "live", clients).await?;
        let mut sockets = connect(&one, &tokens).await?;
        bans(&one, two.as_ref(), &bearer, &mut sockets).await?;
        fan_out(one.address, &tokens, &mut sockets).await?;
        Ok::<_, Error>(())
    })?;
    feed(options, runtime, one.address, clients)?;
    let users = u64::try_from(clients).unwrap_or(u64::MAX);
    let check: Arc<Request> = Arc::new(move |n, out| {
        let user = |n: u64| format!("live{}", n % users);
        admission(&user(n.wrapping_mul(2_654_435_761)), &user(n.wrapping_mul(40_503)), out);
    });
    let admitted = measure(options, runtime, one.address, 0, check.clone())?;
    print("admission of one message over REST", &admitted, None);
    say!("{:<44} {:>10.2} × hello", "  against the bare web framework", admitted.rate / hello.rate);
    print("  at 5,000 a second", &steady(options, runtime, one.address, 5_000, 0, check)?, None);
    deliveries::measure(options, runtime, &one, (&bearer, &key))
}

/// Requests at a rate that does not saturate the service.
fn steady(
    options: &Options,
    runtime: &Runtime,
    address: SocketAddr,
    rate: u32,
    first: u64,
    request: Arc<Request>,
) -> Result<load::Measured, Error> {
    let time = (Duration::from_secs(options.seconds), first);
    Ok(runtime.block_on(load::steady(address, usize::from(options.connections), rate, time, request))?)
}

fn serve(options: &Options, name: &str, clients: usize) -> Vec<String> {
    let (most, workers) = ((clients + CONNECTING).to_string(), options.workers.to_string());
    let more = [
        ["--workers", &workers],
        ["--client-connections", &most],
        ["--client-connections-per-address", &most],
        // Nobody reads a socket that is idle.
        ["--client-heartbeat-seconds", "600"],
        ["--webhook-allow", "127.0.0.0/8"],
    ];
    [place(options, name), app().into(), more.concat().into_iter().map(str::to_owned).collect()].concat()
}

/// Registers users; answers their tokens.
async fn register(api: &mut Api, stem: &str, count: usize) -> Result<Vec<String>, Error> {
    let mut tokens = Vec::with_capacity(count);
    for first in (0..count).step_by(TOGETHER) {
        let numbers = first..count.min(first + TOGETHER);
        let users: Vec<_> = numbers.map(|n| json!({"user_id": format!("{stem}{n}"), "name": "somebody"})).collect();
        let done = api.call("POST", "users/batch", &json!({"users": users})).await?;
        let results = done["results"].as_array().into_iter().flatten();
        tokens.extend(results.filter_map(|result| Some(result["token"].as_str()?.to_owned())));
    }
    if tokens.len() == count { Ok(tokens) } else { Err(Error::Constant("some users were not registered".into())) }
}

/// Connects all clients, and says how fast that goes and what an idle one costs.
async fn connect(node: &Served, tokens: &[String]) -> Result<Vec<Socket>, Error> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, began) = (node.anonymous_memory()? / 1024, Instant::now());
    let address = node.address;
    let share = tokens.len().div_ceil(CONNECTING).max(1);
    let connecting = tokens.chunks(share).map(|some| {
        let some = some.to_vec();
        tasks::spawn(async move {
            let mut sockets = Vec::with_capacity(some.len());
            for token in some {
                sockets.push(Socket::connect(address, &token).await?);
            }
            Ok::<_, Error>(sockets)
        })
    });
    let mut sockets = Vec::with_capacity(tokens.len());
    for connected in join_all(connecting).await {
        sockets.extend(connected.map_err(std::io::Error::other)??);
    }
    let took = began.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = node.anonymous_memory()? / 1024;
    #[allow(clippy::cast_precision_loss)]
    let (count, kib) = (sockets.len() as f64, after.saturating_sub(before) as f64);
    say!("{:<44} {:>10.0}/s  ({count} clients)", "connects", count / took.as_secs_f64());
    say!("{:<44} {:>10.1} KiB  ({before} KiB before, {after} KiB with all of them)", "an idle connection", kib / count);
    Ok(sockets)
}

fn spread(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
    say!("{what:<44} {:>12} p50 {p50:>8.2?}  p99 {p99:>8.2?}  ({} times)", "", times.len());
}

/// From the request of a ban until the socket of its user is closed, by the node of the socket and by the other one.
async fn bans(one: &Served, two: Option<&Served>, bearer: &str, sockets: &mut Vec<Socket>) -> Result<(), Error> {
    for (what, node) in [("ban to closed socket, one node", Some(one)), ("ban to closed socket, across nodes", two)] {
        let Some(node) = node else { continue };
        let mut api = Api::open(node.address, bearer).await?;
        let mut times = vec![];
        // The users of the last sockets are those with the highest numbers.
        for _ in 0..BANS.min(sockets.len() / 4) {
            let number = sockets.len() - 1;
            let Some(mut socket) = sockets.pop() else { break };
            let began = Instant::now();
            let (path, ban) = (format!("users/live{number}/ban"), json!({"minutes": 10}));
            tokio::try_join!(api.call("PUT", &path, &ban), socket.closed())?;
            times.push(began.elapsed());
        }
        spread(what, times);
    }
    Ok(())
}

/// From the connect of a user until each of its followers is told.
async fn fan_out(address: SocketAddr, tokens: &[String], sockets: &mut Vec<Socket>) -> Result<(), Error> {
    let number = sockets.len() - 1;
    let Some(followed) = sockets.pop() else { return Ok(()) };
    drop(followed);
    // Until it is offline for everybody: what is told first is not what is timed.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let followers = sockets.len().min(FOLLOWERS);
    let follow = json!({"user_ids": [format!("live{number}")], "seconds": 3_600});
    for some in sockets[..followers].chunks_mut(CONNECTING) {
        try_join_all(some.iter_mut().map(|socket| socket.ask("subscriptions.add", &follow))).await?;
    }
    let mut times = vec![];
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let told = sockets[..followers].iter_mut().map(async |socket| {
            socket.told(true).await?;
            Ok::<_, Error>(began.elapsed())
        });
        let (connected, told) = tokio::try_join!(Socket::connect(address, &tokens[number]), try_join_all(told))?;
        times.extend(told);
        drop(connected);
        try_join_all(sockets[..followers].iter_mut().map(|socket| socket.told(false))).await?;
    }
    spread(&format!("a status to {followers} followers"), times);
    Ok(())
}

/// Pages of the feed, by as many callers as read one app's at the same time.
fn feed(options: &Options, runtime: &Runtime, address: SocketAddr, users: usize) -> Result<(), Error> {
    const CALLERS: usize = 2;
    // Each user has two events at least.
    let limit = u16::try_from(users).map_or(PAGE, |users| users.min(PAGE));
    let page: Arc<Request> = Arc::new(move |_, out| {
        let head = format!("GET /api/v1/events?limit={limit} HTTP/1.1\r\nHost: localhost\r\n");
        out.extend_from_slice(format!("{head}Authorization: Bearer {KEY}:{SECRET}\r\n\r\n").as_bytes());
    });
    let read = runtime.block_on(load::run(address, CALLERS, Duration::from_secs(options.seconds), 0, page))?;
    let rate = read.rate * f64::from(limit);
    say!("{:<44} {rate:>10.0} events/s  (pages of {limit}, {CALLERS} callers)", "feed over HTTP");
    Ok(())
}
