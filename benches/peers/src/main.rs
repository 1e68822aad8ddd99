//! Registers users with other event-sourcing libraries on one `PostgreSQL`, so that Rollcall's figures have company.

mod cluster;
mod measure;
mod peers;
mod place;
mod user;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use cluster::Cluster;
use measure::{Figures, Load};
use peers::{bare, with_cqrs_es, with_disintegrate, with_esrs};
use place::{Place, Server};

/// Producers of the group commit besides `--clients`: what it gives when the queue is long.
const MANY: usize = 512;

/// Measures how fast peers register users durably.
#[derive(Parser)]
struct Arguments {
    /// The cluster to measure on, as a `postgres://` address whose user may create databases; without it, a throw-away
    /// cluster of its own in the temporary directory.
    #[arg(long, value_name = "ADDRESS")]
    postgres: Option<String>,
    /// How long each one is measured, after a second of warming up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many register at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,
    /// Connections in each library's pool.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=90))]
    pool: u32,
    /// Which ones, separated by commas; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Peer>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    CqrsEs,
    Esrs,
    Disintegrate,
    Bare,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let cluster = if arguments.postgres.is_none() { Some(Cluster::start()?) } else { None };
    let address = cluster.as_ref().map(Cluster::address).or_else(|| arguments.postgres.clone());
    let server = Server::new(&address.context("no address")?)?;
    // Either way the cluster is dropped, and with it removed.
    tokio::select! {
        outcome = run(&arguments, &server) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn run(arguments: &Arguments, server: &Server) -> Result<()> {
    println!("{}", server.describe().await?);
    println!(
        "{} s each after 1 s of warming up, pools of {} connections, {} cores",
        arguments.seconds,
        arguments.pool,
        std::thread::available_parallelism()?
    );
    println!("{}", Figures::HEADER);
    let mut failed = false;
    for (peer, clients) in chosen(arguments) {
        let load = Load { clients, warming: Duration::from_secs(1), measured: Duration::from_secs(arguments.seconds) };
        let place = server.place(arguments.pool).await?;
        let outcome = measure(peer, &place, load).await;
        server.remove(place).await?;
        let name = format!("{} × {clients}", name(peer));
        match outcome {
            Ok(figures) => println!("{}", figures.row(&name)),
            Err(error) => {
                failed = true;
                println!("{name:<20} failed: {error:#}");
            }
        }
    }
    if failed { bail!("not everything could be measured") } else { Ok(()) }
}

/// What to measure, each with its number of clients.
fn chosen(arguments: &Arguments) -> Vec<(Peer, usize)> {
    let clients = usize::from(arguments.clients);
    let mut all: Vec<_> = Peer::value_variants().iter().map(|peer| (*peer, clients)).collect();
    if clients != MANY {
        all.push((Peer::Bare, MANY));
    }
    all.retain(|(peer, _)| arguments.only.is_empty() || arguments.only.contains(peer));
    all
}

const fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::CqrsEs => "cqrs-es",
        Peer::Esrs => "esrs",
        Peer::Disintegrate => "disintegrate",
        Peer::Bare => "bare group commit",
    }
}

async fn measure(peer: Peer, place: &Place, load: Load) -> Result<Figures> {
    let (figures, table) = match peer {
        Peer::CqrsEs => (load.on(with_cqrs_es::open(place).await?).await?, with_cqrs_es::TABLE),
        Peer::Esrs => (load.on(with_esrs::open(place).await?).await?, with_esrs::TABLE),
        Peer::Disintegrate => (load.on(with_disintegrate::open(place).await?).await?, with_disintegrate::TABLE),
        Peer::Bare => (load.on(bare::open(place).await?).await?, bare::TABLE),
    };
    let stored = place.count(table).await?;
    if stored != figures.acknowledged {
        bail!("{} were acknowledged, {stored} are stored", figures.acknowledged);
    }
    Ok(figures)
}
