//! Registers users with other event-sourcing libraries and stores on this machine, and with the whole of Rollcall, so that
//! its figures have company.

mod cluster;
mod cpu;
mod measure;
mod peers;
mod place;
mod service;
mod sqlite;
mod umadb;
mod user;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use cluster::Cluster;
use measure::{Figures, Load, Peer as _, Store};
use peers::{
    bare, bare_on_sqlite, with_cqrs_es, with_disintegrate, with_esrs, with_evento, with_sqlite_es, with_umadb,
};
use place::Server;
use sqlite::Folder;

/// Producers of a group commit besides `--clients`: what it gives when the queue is long.
const MANY: usize = 512;

/// For the connections, the statements and the processor to be ready.
const WARMING: Duration = Duration::from_secs(2);

/// Measures how fast peers register users durably.
#[derive(Parser)]
struct Arguments {
    /// The cluster to measure on, as a `postgres://` address whose user may create databases; without it, a throw-away
    /// cluster of its own in the temporary directory.
    #[arg(long, value_name = "ADDRESS")]
    postgres: Option<String>,
    /// How long each one is measured, after two seconds of warming up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many register at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,
    /// Connections in each library's pool; by default as many as each does best with.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=90))]
    pool: Option<u32>,
    /// How often everything is measured, one after the other each time: a disk has its moods.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Which ones, separated by commas; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Peer>,
    /// The binary of Rollcall, built with `cargo build --profile dist`.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/dist/rollcall"))]
    rollcall: PathBuf,
    /// Be the server of `UmaDB` over this folder, at the address of `--listen`: what this program starts itself as.
    #[arg(long, hide = true, requires = "listen")]
    serve_umadb: Option<PathBuf>,
    #[arg(long, hide = true)]
    listen: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    CqrsEs,
    Esrs,
    Disintegrate,
    Bare,
    Rollcall,
    SqliteEs,
    Evento,
    BareOnSqlite,
    RollcallOnSqlite,
    Umadb,
}

/// What stores the events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Postgres,
    Sqlite,
    UmaDb,
}

impl Peer {
    const fn on(self) -> On {
        match self {
            Self::CqrsEs | Self::Esrs | Self::Disintegrate | Self::Bare | Self::Rollcall => On::Postgres,
            Self::SqliteEs | Self::Evento | Self::BareOnSqlite | Self::RollcallOnSqlite => On::Sqlite,
            Self::Umadb => On::UmaDb,
        }
    }

    const fn is_rollcall(self) -> bool {
        matches!(self, Self::Rollcall | Self::RollcallOnSqlite)
    }

    /// How many connections a pool has if nothing else is said.
    const fn connections(self) -> u32 {
        match self {
            // As in its documentation: with more of them its transactions only conflict more.
            Self::Disintegrate => 10,
            // A file has one writer, and those who wait for it sleep and try again.
            Self::SqliteEs | Self::Evento => 1,
            // One connection of HTTP/2 carries all requests.
            Self::Umadb => 1,
            Self::CqrsEs | Self::Esrs | Self::Bare => 32,
            // They have no pool of this program's.
            Self::BareOnSqlite | Self::Rollcall | Self::RollcallOnSqlite => 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::CqrsEs => "PostgreSQL: cqrs-es",
            Self::Esrs => "PostgreSQL: esrs",
            Self::Disintegrate => "PostgreSQL: disintegrate",
            Self::Bare => "PostgreSQL: bare group commit",
            Self::Rollcall => "PostgreSQL: Rollcall, HTTP",
            Self::SqliteEs => "SQLite: cqrs-es",
            Self::Evento => "SQLite: evento",
            Self::BareOnSqlite => "SQLite: bare group commit",
            Self::RollcallOnSqlite => "SQLite: Rollcall, HTTP",
            Self::Umadb => "UmaDB, gRPC",
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let (Some(folder), Some(listen)) = (&arguments.serve_umadb, &arguments.listen) {
        return umadb::serve(folder, listen).await;
    }
    let chosen = chosen(&arguments);
    if chosen.iter().any(|(peer, _)| peer.is_rollcall()) && !arguments.rollcall.exists() {
        let path = arguments.rollcall.display();
        bail!(
            "{path} does not exist: build it (cargo build --profile dist), name it (--rollcall), or leave it out (--only)"
        );
    }
    sqlite::refuse_memory(&std::env::temp_dir())?;
    let needs_cluster = chosen.iter().any(|(peer, _)| peer.on() == On::Postgres) && arguments.postgres.is_none();
    let cluster = if needs_cluster { Some(Cluster::start()?) } else { None };
    let address = cluster.as_ref().map(Cluster::address).or_else(|| arguments.postgres.clone());
    let server = address.map(|address| Server::new(&address, cluster.as_ref())).transpose()?;
    // Either way the cluster is dropped, and with it removed.
    tokio::select! {
        outcome = run(&arguments, &chosen, server.as_ref()) => outcome,
        _ = tokio::signal::ctrl_c() => {
            if let Some(server) = &server {
                server.clear().await?;
            }
            bail!("interrupted")
        }
    }
}

async fn run(arguments: &Arguments, chosen: &[(Peer, usize)], server: Option<&Server>) -> Result<()> {
    if let Some(server) = server {
        println!("{}", server.describe().await?);
    }
    println!("SQLite {}: WAL, synchronous full", rusqlite::version());
    println!("{} s each after 2 s of warming up, {} cores", arguments.seconds, std::thread::available_parallelism()?);
    println!("{}  lone commit ms, before and after", Figures::HEADER);
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); chosen.len()];
    let mut failed = false;
    for _ in 0..arguments.rounds {
        for (&(peer, clients), figures) in chosen.iter().zip(&mut rounds) {
            let load = Load { clients, warming: WARMING, measured: Duration::from_secs(arguments.seconds) };
            let name = label(peer, clients);
            match measure(peer, arguments, server, load).await {
                Ok((measured, [before, after])) => {
                    println!("{}  {before:.2} {after:.2}", measured.row(&name));
                    figures.push(measured);
                }
                Err(error) => {
                    failed = true;
                    println!("{name:<37} failed: {error:#}");
                }
            }
        }
    }
    if arguments.rounds > 1 {
        println!("\nThe median round of each by its rate\n{}", Figures::HEADER);
        for (&(peer, clients), figures) in chosen.iter().zip(&mut rounds) {
            figures.sort_unstable_by(|left, right| left.per_second.total_cmp(&right.per_second));
            if let Some(median) = figures.get(figures.len() / 2) {
                println!("{}", median.row(&label(peer, clients)));
            }
        }
    }
    if failed { bail!("not everything could be measured") } else { Ok(()) }
}

/// What to measure, each with its number of clients.
fn chosen(arguments: &Arguments) -> Vec<(Peer, usize)> {
    let clients = usize::from(arguments.clients);
    let mut all = Vec::new();
    for peer in Peer::value_variants().iter().copied() {
        all.push((peer, clients));
        if clients != MANY && matches!(peer, Peer::Bare | Peer::BareOnSqlite) {
            all.push((peer, MANY));
        }
    }
    all.retain(|(peer, _)| arguments.only.is_empty() || arguments.only.contains(peer));
    all
}

fn label(peer: Peer, clients: usize) -> String {
    format!("{} × {clients}", peer.name())
}

/// The figures, and how many milliseconds a lone commit took before and after.
async fn measure(
    peer: Peer,
    arguments: &Arguments,
    server: Option<&Server>,
    load: Load,
) -> Result<(Figures, [f64; 2])> {
    let pool = arguments.pool.unwrap_or(peer.connections());
    match peer.on() {
        On::Postgres => {
            let server = server.context("no address")?;
            let place = server.place(pool).await?;
            let outcome = alone(&place, || on_postgres(peer, &arguments.rollcall, &place, load)).await;
            server.remove(place).await?;
            outcome
        }
        On::Sqlite => {
            let folder = Folder::new(pool)?;
            alone(&folder, || on_sqlite(peer, &arguments.rollcall, &folder, load)).await
        }
        On::UmaDb => {
            let server = umadb::Server::start().await?;
            alone(&server, || async { with_umadb::open(&server, pool).await?.measured(load, &server, "").await }).await
        }
    }
}

/// Between two looks at the disk.
async fn alone<F: Future<Output = Result<Figures>>>(
    store: &impl Store,
    measured: impl FnOnce() -> F,
) -> Result<(Figures, [f64; 2])> {
    let before = store.lone_commit().await?;
    let figures = measured().await?;
    let after = store.lone_commit().await?;
    Ok((figures, [before, after].map(|wait| wait.as_secs_f64() * 1e3)))
}

async fn on_postgres(peer: Peer, rollcall: &Path, place: &place::Place, load: Load) -> Result<Figures> {
    match peer {
        Peer::CqrsEs => with_cqrs_es::open(place).await?.measured(load, place, with_cqrs_es::TABLE).await,
        Peer::Esrs => with_esrs::open(place).await?.measured(load, place, with_esrs::TABLE).await,
        Peer::Disintegrate => {
            with_disintegrate::open(place).await?.measured(load, place, with_disintegrate::TABLE).await
        }
        Peer::Bare => bare::open(place).await?.measured(load, place, bare::TABLE).await,
        _ => service::measure(rollcall, Some(&place.address), load).await,
    }
}

async fn on_sqlite(peer: Peer, rollcall: &Path, folder: &Folder, load: Load) -> Result<Figures> {
    match peer {
        Peer::SqliteEs => with_sqlite_es::open(folder).await?.measured(load, folder, with_sqlite_es::TABLE).await,
        Peer::Evento => with_evento::open(folder).await?.measured(load, folder, with_evento::TABLE).await,
        Peer::BareOnSqlite => bare_on_sqlite::open(folder)?.measured(load, folder, bare_on_sqlite::TABLE).await,
        _ => service::measure(rollcall, None, load).await,
    }
}
