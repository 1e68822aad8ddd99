//! `rollcall bench`: the service and its limits measured in one run over loopback, on a throw-away data directory, so
//! that the ratios hold whatever machine this is. The load generator shares the cores with the service.

use std::io::BufWriter;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, EventId, SecretId};
use rollcall_schemas::personal::{Class, Header};
use rollcall_schemas::plain::{Environment, Plan};
use uuid::Uuid;

use crate::audit::replays::Replays;
use crate::database::Database;
use crate::delivery::feed::Feed;
use crate::domain::values::{Name, UserId};
use crate::domain::{app, user};
use crate::engine::rebuild_live::Progress;
use crate::engine::{Caller, Engine};
use crate::http;
use crate::live::presence::Timing;
use crate::live::registry::Registry;
use crate::out::say;
use crate::tasks::{self, Runtime};
use crate::wiring::{CellSpec, DataDir, KeyOptions, LogPlace, Place};

mod ceilings;
mod curves;
mod erasing;
mod error;
mod figures;
mod foreign;
pub mod graph;
mod growth;
#[cfg(feature = "kurrentdb")]
mod kurrentdb;
mod live;
mod load;
mod logins;
mod nodes;
mod served;
mod sizes;

pub use error::Error;
use figures::{Comparison, Figure, Figures, Runs, Settings, Unit};
use load::{Measured, Request, micros, percentile};

pub(crate) const SECRET: &str = "bench-secret-of-no-worth";
const KEY: &str = "bench";
/// For how long registrations are measured: what is written back now and then has to happen meanwhile.
const REGISTRATION_SECONDS: u64 = 60;

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Seconds per measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Measure registrations for no longer than the rest, which does not see what is written back now and then
    #[arg(long)]
    short: bool,
    /// Keep the figures in a file, beside those of earlier runs that it holds, to compare later runs with
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vault_database", "foreign_in"])]
    save: Option<PathBuf>,
    /// Compare the figures with the runs that a file keeps, and say what moved beyond noise; where --save names another file,
    /// all of its runs are compared
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vault_database", "foreign_in"])]
    against: Option<PathBuf>,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// HTTP worker threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Subjects in the vault beside those that register, when users are erased
    #[arg(long, default_value_t = 100_000)]
    subjects: u64,
    /// An empty PostgreSQL database for log and read models, to measure a service that keeps them there
    #[arg(long, value_name = "URL")]
    database: Option<Database>,
    /// Another empty database for the keys: measures two nodes against one, and nothing else
    #[arg(long, value_name = "URL", requires = "database", requires = "root_cell")]
    vault_database: Option<Database>,
    /// Where the root of these keys is, such as transit:KEY
    #[arg(long, value_name = "CELL", value_parser = crate::wiring::places::root_cell)]
    root_cell: Option<CellSpec>,
    /// Measure live connections, feed and webhooks with so many clients (2,000 where it is not said), and nothing else; with
    /// --vault-database on two nodes
    #[arg(long, value_name = "CLIENTS", num_args = 0..=1, default_missing_value = "2000",
        value_parser = clap::value_parser!(u16).range(100..=25_000), conflicts_with_all = ["save", "against"])]
    live: Option<u16>,
    /// A second empty database, in which foreign transactions stay open: measures what they cost, and nothing else
    #[arg(long, value_name = "URL", requires = "database")]
    foreign_in: Option<Database>,
    /// Seconds for which they stay open, half of them under load
    #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    foreign_seconds: u64,
    /// A KurrentDB, as esdb://host:2113?tls=true: measures the log there against the bare client of KurrentDB, and nothing
    /// else, in streams that are deleted afterwards
    #[arg(long, value_name = "URL", conflicts_with = "database", value_parser = crate::wiring::places::kurrentdb)]
    kurrentdb: Option<String>,
    /// Fill a service with so many users, and measure what growth costs beside a service with 10,000 of them, and nothing else
    #[arg(long, value_name = "N", requires = "edges", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000),
        conflicts_with_all = ["database", "kurrentdb", "save", "against"])]
    users: Option<u32>,
    /// How many friendships they have, in a graph of realistic degrees
    #[arg(long, value_name = "N", requires = "users")]
    edges: Option<u64>,
    /// Another seed makes another graph
    #[arg(long, value_name = "N", default_value_t = 1, requires = "users")]
    seed: u64,
    /// Write the graph to a file as JSON Lines, {"user_id": …, "friend_id": …}, or to the output with `-`; and measure nothing
    #[arg(long, value_name = "FILE", requires = "users")]
    write_graph: Option<PathBuf>,
    #[command(flatten)]
    curves: curves::CurveOptions,
    /// Directory for the throw-away data; deleted afterwards
    #[arg(long, default_value = "./bench-data")]
    dir: PathBuf,
}

impl Options {
    fn size(&self) -> Option<growth::Size> {
        Some(growth::Size { users: self.users?, edges: self.edges?, seed: self.seed })
    }

    fn settings(&self) -> Settings {
        let registration_seconds = if self.short { self.seconds } else { self.seconds.max(REGISTRATION_SECONDS) };
        Settings {
            seconds: self.seconds,
            registration_seconds,
            connections: self.connections,
            workers: self.workers,
            database: self.database.is_some(),
        }
    }
}

/// Measures, and prints the figures and their ratios.
///
/// # Errors
/// Something failed; the directory is left for inspection.
pub fn run(options: &Options) -> Result<ExitCode, Error> {
    let size = options.size();
    if let (Some(size), Some(file)) = (size, &options.write_graph) {
        return write_graph(size, file);
    }
    if options.dir.exists() {
        return Err(Error::DirectoryExists(options.dir.clone()));
    }
    options.curves.check(options.database.is_some())?;
    let settings = options.settings();
    let kept = options.against.as_deref().map(|path| Runs::load(path, &settings)).transpose()?;
    let mut runs = match &options.save {
        Some(path) => Runs::load_or_begin(path, &settings)?,
        None => Runs::new(settings.clone()),
    };
    std::fs::create_dir_all(&options.dir)?;
    let runtime = Runtime::start(2)?;
    if let Some(file) = &options.curves.curves {
        curves::measure(options, file, &runtime)?;
    } else if let Some(size) = size {
        growth::measure(options, size, &runtime)?;
    } else if let Some(address) = &options.kurrentdb {
        measure_kurrentdb(address, options, &runtime)?;
    } else if let Some(clients) = options.live {
        live::measure_all(options, usize::from(clients), &runtime)?;
    } else if options.vault_database.is_some() {
        let (database, cell) = (options.vault_database.clone(), options.root_cell.clone().unwrap_or_default());
        nodes::measure(options, &KeyOptions { database, cell, ..KeyOptions::default() }, &runtime)?;
    } else if let (Some(database), Some(foreign_in)) = (&options.database, &options.foreign_in) {
        foreign::measure(options, [database, foreign_in], &runtime)?;
    } else {
        let mut figures = Figures::default();
        let ceilings = measure_ceilings(options, &runtime, &mut figures)?;
        measure_service(options, &runtime, &ceilings, &mut figures)?;
        let alone = Runs::with(settings, figures.clone());
        runs.add(figures);
        if let Some(path) = &options.save {
            runs.save(path)?;
        }
        if let Some(kept) = &kept {
            // In a file of the same build the earlier runs are what this one is compared with.
            let new = if options.save == options.against { &alone } else { &runs };
            say!("{}", Comparison::of(new, kept));
        }
    }
    std::fs::remove_dir_all(&options.dir)?;
    Ok(ExitCode::SUCCESS)
}

fn write_graph(growth::Size { users, edges, seed }: growth::Size, file: &Path) -> Result<ExitCode, Error> {
    let graph = graph::FriendGraph::new(users, edges, seed)?;
    let written = if file == Path::new("-") {
        graph::write(graph, &mut BufWriter::new(std::io::stdout().lock()))
    } else {
        graph::write(graph, &mut BufWriter::new(std::fs::File::create(file)?))
    };
    match written {
        // Nobody reads any more, as behind `| head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => Ok(written.map(|()| ExitCode::SUCCESS)?),
    }
}

#[cfg(feature = "kurrentdb")]
fn measure_kurrentdb(address: &str, options: &Options, runtime: &Runtime) -> Result<(), Error> {
    runtime.block_on(kurrentdb::measure(address, &options.dir, Duration::from_secs(options.seconds)))
}

/// Such an address is not taken by a build without `KurrentDB`.
#[cfg(not(feature = "kurrentdb"))]
fn measure_kurrentdb(_: &str, _: &Options, _: &Runtime) -> Result<(), Error> {
    Ok(())
}

struct Ceilings {
    hello: Figure,
    echo: Figure,
    group_commit: Figure,
}

fn signed(method: &str, path: &str, body: &str, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let (nonce, timestamp) = ("4711", "1795420824");
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        [SECRET, nonce, timestamp].concat().as_bytes(),
    );
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nApp-Key: {KEY}\r\nNonce: {nonce}\r\nTimestamp: {timestamp}\r\n\
         Signature: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        hex::encode(digest),
        body.len()
    );
}

/// Whether one user may message another.
fn admission(from: &str, to: &str, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let body = format!(r#"{{"from":"{from}","to":"{to}"}}"#);
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "POST /api/v1/messages/admission HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}:{SECRET}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn registration(number: u64) -> String {
    format!("userId=user{number}&name=Person+{number}&portraitUri=https%3A%2F%2Fexample.com%2Fp%2F{number}.jpg")
}

/// Makes a server on the thread that runs it, as it must be.
type MakeServer = Box<dyn FnOnce() -> std::io::Result<(SocketAddr, actix_web::dev::Server)> + Send>;

fn on_thread(server: MakeServer) -> Result<(SocketAddr, actix_web::dev::ServerHandle), Error> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            match server() {
                Ok((address, server)) => {
                    let _ = ready.send(Ok((address, server.handle())));
                    let _ = server.await;
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
    });
    Ok(is_ready.recv().map_err(|_| Error::Constant("the server thread ended early".into()))??)
}

fn measure_ceilings(options: &Options, runtime: &Runtime, figures: &mut Figures) -> Result<Ceilings, Error> {
    let workers = usize::from(options.workers);
    let (address, server) = on_thread(Box::new(move || ceilings::bare_server(workers)))?;
    let get: Arc<Request> = Arc::new(|_, out| out.extend_from_slice(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let hello = measure(options, runtime, address, 0, get)?;
    print("bare actix-web, JSON hello", &hello, None);
    let post: Arc<Request> = Arc::new(|n, out| signed("POST", "/echo", &registration(n), out));
    let echo = measure(options, runtime, address, 0, post)?;
    print("bare actix-web, echo behind a signature", &echo, None);
    runtime.block_on(server.stop(false));
    let producers = usize::from(options.connections);
    let time = Duration::from_secs(options.seconds);
    let (what, group_commit) = match &options.database {
        None => ("SQLite", ceilings::bare_group_commit(&options.dir, producers, time)?),
        Some(database) => ("PostgreSQL", runtime.block_on(ceilings::bare_group_commit_on(database, producers, time))?),
    };
    say!("{:<44} {group_commit:>10.0}/s", format!("bare {what} group commit, {producers} producers"));
    let log = log_alone(options, runtime, producers, time)?;
    let ratio = log / group_commit;
    say!("{:<44} {log:>10.0}/s  = {ratio:.2} × bare group commit", format!("log alone, {producers} producers"));
    let group_commit = Figure::once(group_commit, Unit::Ceiling);
    let (hello, echo) = (hello.rate_figure(Unit::Ceiling), echo.rate_figure(Unit::Ceiling));
    figures.add("ceiling: hello", hello);
    figures.add("ceiling: echo", echo);
    figures.add("ceiling: group commit", group_commit);
    figures.add("log alone, share of group commit", Figure::once(log, Unit::Rate).share_of(group_commit));
    Ok(Ceilings { hello, echo, group_commit })
}

/// The log without the service, in the place where the service's will be, and gone afterwards.
fn log_alone(options: &Options, runtime: &Runtime, producers: usize, time: Duration) -> Result<f64, Error> {
    let place = place(options, &options.dir)?;
    let Some(database) = &options.database else {
        let log = runtime.block_on(place.log_alone())?;
        return runtime.block_on(ceilings::log_alone(log, producers, time));
    };
    let mut client = database.connect_blocking()?;
    let failed = crate::database::Error::from;
    let empty = "select to_regnamespace('rollcall_log') is null";
    if !client.query_typed_one(empty, &[]).map_err(failed)?.get::<_, bool>(0) {
        return Err(Error::Constant("there is a log in the database already; name an empty one".into()));
    }
    let log = runtime.block_on(place.log_alone())?;
    let rate = runtime.block_on(ceilings::log_alone(log, producers, time))?;
    client.batch_execute("drop schema rollcall_log cascade; drop table rollcall_log_history").map_err(failed)?;
    Ok(rate)
}

fn measure(
    options: &Options,
    runtime: &Runtime,
    address: SocketAddr,
    first: u64,
    request: Arc<Request>,
) -> Result<Measured, Error> {
    measure_for(options.seconds, options, runtime, address, first, request)
}

fn measure_for(
    seconds: u64,
    options: &Options,
    runtime: &Runtime,
    address: SocketAddr,
    first: u64,
    request: Arc<Request>,
) -> Result<Measured, Error> {
    let time = Duration::from_secs(seconds);
    Ok(runtime.block_on(load::run(address, usize::from(options.connections), time, first, request))?)
}

/// Prints a measurement with its share of a ceiling, and keeps the figures.
fn note(figures: &mut Figures, what: &str, measured: &Measured, (of, ceiling): (&str, Figure)) {
    let share = measured.rate_figure(Unit::Rate).share_of(ceiling);
    print(what, measured, Some((of, share)));
    figures.add(&format!("{what}, share of {of}"), share);
    for (name, figure) in measured.latencies() {
        figures.add(&format!("{what}, {name}"), figure);
    }
}

fn print(what: &str, measured: &Measured, ratio: Option<(&str, Figure)>) {
    let Measured { rate, p50, p99, failed, .. } = measured;
    let ratio = ratio.map_or_else(String::new, |(of, ratio)| format!("  = {:.2} × {of}", ratio.value));
    let failed = if *failed > 0 { format!("  ({failed} not answered 200)") } else { String::new() };
    say!("{what:<44} {rate:>10.0}/s  p50 {p50:>8.2?}  p99 {p99:>8.2?}{ratio}{failed}");
}

/// Log and read models where the options say, and the rest in a directory.
fn place(options: &Options, dir: &Path) -> Result<Place, Error> {
    let log = LogPlace::of(None, options.database.clone()).map_err(Error::Constant)?;
    Ok(Place { dir: dir.into(), log, ..Place::default() })
}

fn measure_service(
    options: &Options,
    runtime: &Runtime,
    ceilings: &Ceilings,
    figures: &mut Figures,
) -> Result<(), Error> {
    let data = DataDir::create(&place(options, &options.dir.join("data"))?)?;
    let service = runtime.block_on(data.start())?;
    let engine = service.engine.clone();
    let keeper = runtime.block_on(data.keeper())?;
    let keeping = runtime.spawn(keeper.clone().run(service.stopping()));
    let app: AppId = KEY.parse().map_err(|_| Error::Constant("the app key is not one".into()))?;
    runtime.block_on(create_app(&engine, &app))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let workers = usize::from(options.workers);
    let replays = Arc::new(Replays::start(runtime.handle().clone())?);
    let feed = Arc::new(Feed::new(engine.clone(), runtime.handle().clone()));
    let live = data.live(engine.clone(), Registry::default(), Timing::DEFAULT)?;
    let (address, server) = on_thread({
        let (engine, keeper) = (engine.clone(), keeper.clone());
        let parts = http::Parts { engine, keeper, replays, live, feed, webhooks: None };
        Box::new(move || {
            let options = http::Options {
                workers,
                ready_with_parked: true,
                answer_max: http::ANSWER_MAX,
                slow_after: http::SLOW_AFTER,
                sockets: http::SocketOptions::default(),
                cors_origins: vec![],
                tls: None,
            };
            Ok((address, http::run(parts, listener, options, &http::Drain::default())?))
        })
    })?;

    let (registered, cpu) = measure_registration(options, runtime, address, ceilings, figures)?;
    if options.database.is_none() {
        runtime.block_on(engine.all_applied())?;
        sizes::measure(&options.dir.join("data"), registered, figures)?;
    }

    let lag = runtime.block_on(measure_lag(&engine, &app, options))?;
    say!("{:<44} p50 {:>8.2?}  p99 {:>8.2?}", "acknowledged to visible, under load", lag.0, lag.1);
    figures.add("acknowledged to visible, p50", Figure::once(micros(lag.0), Unit::Micros));
    figures.add("acknowledged to visible, p99", Figure::once(micros(lag.1), Unit::Tail));

    let users = registered / 2 + 1;
    let get: Arc<Request> = Arc::new(move |n, out| {
        signed("POST", "/user/info.json", &format!("userId=user{}", n.wrapping_mul(2_654_435_761) % users), out);
    });
    let info = measure(options, runtime, address, 0, get)?;
    note(figures, "point query over v1", &info, ("hello", ceilings.hello));

    for block in 0..10 {
        let targets: String = (0..20).map(|n| format!("&blackUserId=user{}", block * 20 + n + 1)).collect();
        let mut out = Vec::new();
        signed("POST", "/user/blacklist/add.json", &format!("userId=user0{targets}"), &mut out);
        let once: Arc<Request> = Arc::new(move |_, buffer| buffer.extend_from_slice(&out));
        runtime.block_on(load::run(address, 1, Duration::from_millis(5), 0, once))?;
    }
    let page: Arc<Request> =
        Arc::new(|_, out| signed("POST", "/user/blacklist/query.json", "userId=user0&size=50", out));
    let listed = measure(options, runtime, address, 0, page)?;
    note(figures, "list page of 50 over v1", &listed, ("hello", ceilings.hello));

    let check: Arc<Request> = Arc::new(move |n, out| {
        let user = |n: u64| format!("user{}", n % users);
        admission(&user(n.wrapping_mul(2_654_435_761)), &user(n.wrapping_mul(40_503)), out);
    });
    let admitted = measure(options, runtime, address, 0, check)?;
    note(figures, "admission of one message over REST", &admitted, ("hello", ceilings.hello));

    runtime.block_on(server.stop(false));
    runtime.block_on(measure_sealing(&engine, &app))?;
    runtime.block_on(erasing::measure(&engine, &keeper, &app, options.subjects))?;
    drop(engine);
    service.stop();
    runtime.block_on(keeping).map_err(std::io::Error::other)??;
    runtime.block_on(erasing::measure_tree(&data, cpu))?;

    let events = data.log.head();
    let began = Instant::now();
    runtime.block_on(data.rebuild(rollcall_projections::ALL, Progress { events: &|_, _| {}, rows: &|_, _| {} }))?;
    let took = began.elapsed();
    #[allow(clippy::cast_precision_loss)]
    let rate = events as f64 / took.as_secs_f64();
    say!("{:<44} {rate:>10.0} events/s  ({events} events, every read model, {took:.1?})", "rebuild");
    figures.add("rebuild", Figure::once(rate, Unit::Rate));
    logins::measure(&data, runtime, &app)
}

/// Registers users over HTTP; answers how many, and the CPU time of each.
fn measure_registration(
    options: &Options,
    runtime: &Runtime,
    address: SocketAddr,
    ceilings: &Ceilings,
    figures: &mut Figures,
) -> Result<(u64, Duration), Error> {
    const WHAT: &str = "register over v1";
    let seconds = options.settings().registration_seconds;
    let began = cpu_time("self")?;
    let post: Arc<Request> = Arc::new(|n, out| signed("POST", "/user/getToken.json", &registration(n), out));
    let registered = measure_for(seconds, options, runtime, address, 0, post)?;
    let cpu = cpu_time("self")?.saturating_sub(began);
    let cpu = cpu / u32::try_from(registered.answered.max(1)).unwrap_or(u32::MAX);
    note(figures, WHAT, &registered, ("echo", ceilings.echo));
    say!(
        "{:<44} {:>10} p99.9 {:>7.2?}  longest {:>8.2?}, over {seconds} s",
        "  the slowest of them",
        "",
        registered.p999,
        registered.longest
    );
    say!("{:<44} {cpu:>10.2?}  (service and load generator together)", "  CPU per registration");
    figures.add("register over v1, CPU", Figure::once(micros(cpu), Unit::Micros));
    let share = registered.rate_figure(Unit::Rate).share_of(ceilings.group_commit);
    say!("{:<44} {:>10.2} × bare group commit", "  against the bare database", share.value);
    figures.add("register over v1, share of group commit", share);
    Ok((u64::try_from(registered.answered).unwrap_or(1).max(1), cpu))
}

async fn create_app(engine: &Engine, app: &AppId) -> Result<(), Error> {
    engine.vault().put_secret(app, SecretId(1), SECRET)?;
    let caller = Caller::internal(app.clone(), Actor::Operator);
    let command = app::Command::Register(Environment::Production, Plan::Pro);
    let done = engine.execute(&caller, command).await?;
    engine.applied_up_to(done.position).await?;
    engine.reload_apps().await?;
    Ok(())
}

/// How long after its acknowledgement a registration is visible, while others register too.
async fn measure_lag(engine: &Arc<Engine>, app: &AppId, options: &Options) -> Result<(Duration, Duration), Error> {
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let tasks: Vec<_> = (0..options.connections)
        .map(|task| {
            let (engine, app) = (engine.clone(), app.clone());
            tasks::spawn(async move {
                let mut lags = Vec::new();
                let mut number = 0_u64;
                while Instant::now() < until {
                    number += 1;
                    let position = register(&engine, &app, &format!("lag{task}x{number}")).await?;
                    let began = Instant::now();
                    engine.applied_up_to(position).await?;
                    lags.push(began.elapsed());
                }
                Ok::<_, Error>(lags)
            })
        })
        .collect();
    let mut lags = Vec::new();
    for task in tasks {
        lags.extend(task.await.map_err(std::io::Error::other)??);
    }
    lags.sort_unstable();
    Ok((percentile(&lags, 0.5), percentile(&lags, 0.99)))
}

async fn register(engine: &Engine, app: &AppId, user_id: &str) -> Result<u64, Error> {
    let constant = |error: crate::domain::values::Invalid| Error::Constant(error.to_string());
    let who = UserId::parse("userId", user_id).map_err(constant)?;
    let name = Name::parse("somebody").map_err(constant)?;
    let caller = Caller::internal(app.clone(), Actor::Operator);
    Ok(engine.execute(&caller, user::Register { who, name, portrait: None }).await?.position)
}

async fn measure_sealing(engine: &Engine, app: &AppId) -> Result<(), Error> {
    const TIMES: u32 = 20_000;
    let vault = engine.vault();
    let subject = vault.allocate().await?;
    let mut header = Header {
        app: app.clone(),
        stream: format!("user-{subject}"),
        event: EventId(Uuid::now_v7()),
        name: "user.registered".into(),
        version: 1,
        path: "name".into(),
        subject,
        class: Class::Profile,
        epoch: 0,
    };
    let (mut sealed, mut opened) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TIMES {
        header.event = EventId(Uuid::now_v7());
        let began = Instant::now();
        let value = vault.seal(&header, b"\"Ada Lovelace\"")?;
        sealed += began.elapsed();
        let began = Instant::now();
        vault.open(&header, &value)?;
        opened += began.elapsed();
    }
    say!("{:<44} seal {:>8.2?}  open {:>8.2?}", "one personal field", sealed / TIMES, opened / TIMES);
    Ok(())
}

/// CPU time of a process so far, user and system; `self` is this one.
fn cpu_time(process: &str) -> Result<Duration, Error> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Fields 14 and 15, counted behind the command's name, which may hold spaces; in ticks of 10 ms.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
