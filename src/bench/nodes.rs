//! Two nodes on one database, against one of them: what sharing costs.

use std::net::TcpListener;
use std::sync::Arc;

use rollcall_schemas::ids::AppId;

use super::load::{Measured, Request};
use super::{Error, KEY, Options, create_app, load, on_thread, registration, signed};
use crate::audit::replays::Replays;
use crate::delivery::feed::Feed;
use crate::engine::start::Service;
use crate::http;
use crate::live::presence::Timing;
use crate::live::registry::Registry;
use crate::out::say;
use crate::tasks::Runtime;
use crate::wiring::{DataDir, KeyOptions, LogPlace, Place};

/// How often one and two take turns.
const ROUNDS: u64 = 3;
/// Numbers of users so far apart that none is registered twice; the first ones begin here.
const APART: u64 = 1 << 32;
/// Users that are asked for.
const ASKED: u64 = 1_000;

/// One node of this process, with the server in front of it.
struct Node {
    data: DataDir,
    service: Service,
    server: actix_web::dev::ServerHandle,
    address: std::net::SocketAddr,
}

impl Node {
    fn start(name: &str, options: &Options, keys: &KeyOptions, runtime: &Runtime) -> Result<Self, Error> {
        let data = DataDir::create(&Place {
            dir: options.dir.join(name),
            log: LogPlace::of(None, options.database.clone()).map_err(Error::Constant)?,
            keys: keys.clone(),
        })?;
        let service = runtime.block_on(data.start())?;
        let (engine, keeper) = (service.engine.clone(), runtime.block_on(data.keeper())?);
        runtime.spawn(keeper.clone().run(service.stopping()));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, workers) = (listener.local_addr()?, usize::from(options.workers));
        let replays = Arc::new(Replays::start(runtime.handle().clone())?);
        let feed = Arc::new(Feed::new(engine.clone(), runtime.handle().clone()));
        let options = http::Options {
            workers,
            ready_with_parked: true,
            answer_max: http::ANSWER_MAX,
            slow_after: http::SLOW_AFTER,
            sockets: http::SocketOptions::default(),
            cors_origins: vec![],
            tls: None,
        };
        let live = data.live(engine.clone(), Registry::default(), Timing::DEFAULT)?;
        let (address, server) = on_thread(Box::new(move || {
            let parts = http::Parts { engine, keeper, replays, live, feed, webhooks: None };
            Ok((address, http::run(parts, listener, options, &http::Drain::default())?))
        }))?;
        Ok(Self { data, service, server, address })
    }
}

/// Measures, and prints what two nodes come to in parts of one.
///
/// # Errors
/// Something failed.
pub(super) fn measure(options: &Options, keys: &KeyOptions, runtime: &Runtime) -> Result<(), Error> {
    let one = Node::start("one", options, keys, runtime)?;
    let app: AppId = KEY.parse().map_err(|_| Error::Constant("the app key is not one".into()))?;
    runtime.block_on(create_app(&one.service.engine, &app))?;
    let two = Node::start("two", options, keys, runtime)?;
    runtime.block_on(two.service.engine.reload_apps())?;
    let nodes = [one, two];

    let (mut first, mut registered, mut asked) = (0, vec![], vec![]);
    for round in 0..ROUNDS {
        // Whoever comes second finds the server busy with what the first one left behind.
        let alone_first = round % 2 == 0;
        let post: Arc<Request> = Arc::new(|n, out| signed("POST", "/user/getToken.json", &registration(n), out));
        registered.push(both(&nodes, options, runtime, (&mut first, alone_first), &post)?);
        let get: Arc<Request> =
            Arc::new(|n, out| signed("POST", "/user/info.json", &format!("userId=user{}", APART + n % ASKED), out));
        asked.push(both(&nodes, options, runtime, (&mut 0, alone_first), &get)?);
    }
    print("register over v1", &registered);
    print("point query over v1", &asked);
    for node in nodes {
        runtime.block_on(node.server.stop(false));
        node.service.stop();
        drop(node.data);
    }
    Ok(())
}

/// Requests per second through one node, and through both with half of the connections each.
fn both(
    nodes: &[Node; 2],
    options: &Options,
    runtime: &Runtime,
    (first, alone_first): (&mut u64, bool),
    request: &Arc<Request>,
) -> Result<[f64; 2], Error> {
    let time = std::time::Duration::from_secs(options.seconds);
    let connections = usize::from(options.connections);
    let mut through = |node: &Node, connections: usize| {
        *first += APART;
        load::run(node.address, connections, time, *first, request.clone())
    };
    let [one, two] = nodes;
    let alone = alone_first.then(|| runtime.block_on(through(one, connections))).transpose()?;
    let (half, other) = (through(one, connections / 2), through(two, connections - connections / 2));
    let (half, other) = runtime.block_on(async { tokio::try_join!(half, other) })?;
    let alone = alone.map_or_else(|| runtime.block_on(through(one, connections)), Ok)?;
    let unanswered = |of: &Measured| of.failed;
    if [&alone, &half, &other].map(unanswered).iter().sum::<usize>() > 0 {
        return Err(Error::Constant("some requests were not answered 200: the figures would mean nothing".into()));
    }
    Ok([alone.rate, half.rate + other.rate])
}

fn print(what: &str, rounds: &[[f64; 2]]) {
    let median = |at: usize| {
        let mut rates: Vec<_> = rounds.iter().map(|round| round[at]).collect();
        rates.sort_unstable_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (one, two) = (median(0), median(1));
    say!("{what:<44} one node {one:>8.0}/s  two nodes {two:>8.0}/s  = {:.2} × one", two / one);
}
