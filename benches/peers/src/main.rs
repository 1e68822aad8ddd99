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
    /// Connections in each library's pool; by default as many as each does best with: 10 for disintegrate, 32 otherwise.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=90))]
    pool: Option<u32>,
    /// How often everything is measured, one after the other each time: a disk has its moods.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
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
        _ = tokio::signal::ctrl_c() => {
            server.clear().await?;
            bail!("interrupted")
        }
    }
}

async fn run(arguments: &Arguments, server: &Server) -> Result<()> {
    println!("{}", server.describe().await?);
    println!("{} s each after 2 s of warming up, {} cores", arguments.seconds, std::thread::available_parallelism()?);
    println!("{}  lone commit ms, before and after", Figures::HEADER);
    let chosen = chosen(arguments);
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); chosen.len()];
    let mut failed = false;
    for _ in 0..arguments.rounds {
        for (&(peer, clients), figures) in chosen.iter().zip(&mut rounds) {
            let load = Load { clients, warming: WARMING, measured: Duration::from_secs(arguments.seconds) };
            let place = server.place(arguments.pool.unwrap_or(connections(peer))).await?;
            let outcome = measured_alone(peer, &place, load).await;
            server.remove(place).await?;
            let name = label(peer, clients);
            match outcome {
                Ok((measured, before, after)) => {
                    println!("{}  {before:.2} {after:.2}", measured.row(&name));
                    figures.push(measured);
                }
                Err(error) => {
                    failed = true;
                    println!("{name:<25} failed: {error:#}");
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

/// The figures, and how many milliseconds a lone commit took before and after.
async fn measured_alone(peer: Peer, place: &Place, load: Load) -> Result<(Figures, f64, f64)> {
    let before = place.lone_commit().await?;
    let figures = measure(peer, place, load).await?;
    let after = place.lone_commit().await?;
    Ok((figures, before.as_secs_f64() * 1e3, after.as_secs_f64() * 1e3))
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

/// How many connections a library's pool has if nothing else is said.
const fn connections(peer: Peer) -> u32 {
    match peer {
        // As in its documentation: with more of them its transactions only conflict more.
        Peer::Disintegrate => 10,
        Peer::CqrsEs | Peer::Esrs | Peer::Bare => 32,
    }
}

fn label(peer: Peer, clients: usize) -> String {
    let name = match peer {
        Peer::CqrsEs => "cqrs-es",
        Peer::Esrs => "esrs",
        Peer::Disintegrate => "disintegrate",
        Peer::Bare => "bare group commit",
    };
    format!("{name} × {clients}")
}

async fn measure(peer: Peer, place: &Place, load: Load) -> Result<Figures> {
    let (figures, table) = match peer {
        Peer::CqrsEs => (load.on(with_cqrs_es::open(place).await?, place).await?, with_cqrs_es::TABLE),
        Peer::Esrs => (load.on(with_esrs::open(place).await?, place).await?, with_esrs::TABLE),
        Peer::Disintegrate => (load.on(with_disintegrate::open(place).await?, place).await?, with_disintegrate::TABLE),
        Peer::Bare => (load.on(bare::open(place).await?, place).await?, bare::TABLE),
    };
    let stored = place.count(table).await?;
    if stored != figures.acknowledged {
        bail!("{} were acknowledged, {stored} are stored", figures.acknowledged);
    }
    Ok(figures)
}
