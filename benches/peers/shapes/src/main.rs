//! What a registration costs in each shape that the embedded log could have: the same bytes, the same batches, in turn.
//!
//! Every batch is durable before the next one begins, as in the log's own writer. What is written is what that writer
//! has packed: two events of one stream, of which the first has ciphertexts. Nothing else of a log is here: no dictionary,
//! no outcomes, no readers beside the writer.

mod registration;
mod rows;
mod segment;
mod shape;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use registration::{Naming, Registrations};
use shape::Shape;

/// How many streams are read, and how many have their ciphertexts taken away.
const SAMPLE: usize = 2_000;

#[derive(Parser)]
struct Options {
    /// Registrations in each shape.
    #[arg(long, default_value_t = 1_000_000)]
    registrations: usize,
    /// Registrations of one commit.
    #[arg(long, default_value_t = 24)]
    batch: usize,
    /// How streams are named: as those of users are (time first), or at random.
    #[arg(long, value_enum, default_value_t = Naming::ByTime)]
    naming: Naming,
    /// Registrations in one shape before it is the turn of the next.
    #[arg(long, default_value_t = 20_000)]
    turn: usize,
    /// Where the files are made; they are removed afterwards.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

/// What this process has spent on the processors, in itself and in the kernel.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let spent = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(spent)?))
}

struct Candidate {
    name: &'static str,
    shape: Box<dyn Shape>,
    registrations: Registrations,
    /// Of the first half and of the second.
    spent: [Duration; 2],
    lasted: Duration,
    dir: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.batch > 0 && options.turn >= options.batch, "a turn has at least one batch of one registration");
    let dir = tempfile::tempdir_in(&options.dir)?;
    let mut candidates = candidates(dir.path(), options.naming)?;
    let turns = options.registrations.div_ceil(options.turn);
    for turn in 0..turns {
        for candidate in &mut candidates {
            let batches = options.turn / options.batch;
            let batches: Vec<_> = (0..batches).map(|_| candidate.registrations.make(options.batch)).collect();
            let (began, before) = (Instant::now(), cpu()?);
            for batch in &batches {
                candidate.shape.append(batch)?;
            }
            candidate.lasted += began.elapsed();
            candidate.spent[usize::from(turn >= turns / 2)] += cpu()? - before;
        }
    }
    println!(
        "| {:<24} | append µs, first half | second half | per second | bytes | read all µs | one stream µs | detach µs |",
        "shape"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for candidate in &mut candidates {
        report(candidate, turns / 2 * (options.turn / options.batch) * options.batch)?;
    }
    Ok(())
}

fn candidates(dir: &Path, naming: Naming) -> Result<Vec<Candidate>> {
    type Open = fn(&Path) -> Result<Box<dyn Shape>>;
    let all: [(&'static str, Open); 6] = [
        ("rows", |dir| Ok(Box::new(rows::Rows::open(dir, rows::Index::Stream)?))),
        ("rows, hash of stream", |dir| Ok(Box::new(rows::Rows::open(dir, rows::Index::Hash)?))),
        ("rows, no index", |dir| Ok(Box::new(rows::Rows::open(dir, rows::Index::None)?))),
        ("one row an append", |dir| Ok(Box::new(rows::Appends::open(dir)?))),
        ("segment file", |dir| Ok(Box::new(segment::Segment::open(dir, true)?))),
        ("segment file, no index", |dir| Ok(Box::new(segment::Segment::open(dir, false)?))),
    ];
    let mut candidates = Vec::new();
    for (index, (name, open)) in all.into_iter().enumerate() {
        let dir = dir.join(index.to_string());
        std::fs::create_dir(&dir)?;
        let shape = open(&dir)?;
        let registrations = Registrations::new(naming);
        candidates.push(Candidate {
            name,
            shape,
            registrations,
            spent: Default::default(),
            lasted: Duration::ZERO,
            dir,
        });
    }
    Ok(candidates)
}

fn micros(spent: Duration, over: usize) -> f64 {
    spent.as_secs_f64() * 1e6 / over.max(1) as f64
}

fn report(candidate: &mut Candidate, half: usize) -> Result<()> {
    let made = candidate.registrations.made();
    candidate.shape.settle()?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(&candidate.dir)? {
        bytes += entry?.metadata()?.len();
    }
    let before = cpu()?;
    let read = candidate.shape.read_all()?;
    let reading = cpu()? - before;
    ensure!(read == made * 2, "{}: {read} events of {made} registrations", candidate.name);
    let sample: Vec<_> = candidate.registrations.sample(SAMPLE);
    let of_sample = |spent| micros(spent, sample.len());
    let before = cpu()?;
    let mut is_found = true;
    for stream in &sample {
        match candidate.shape.read_stream(stream)? {
            Some(events) => ensure!(events == 2, "{}: {events} events of a stream", candidate.name),
            None => is_found = false,
        }
    }
    let finding = cpu()? - before;
    let before = cpu()?;
    if is_found {
        for stream in &sample {
            candidate.shape.detach(stream)?;
        }
    }
    let detaching = cpu()? - before;
    let shown = |spent| if is_found { format!("{:.1}", of_sample(spent)) } else { "–".into() };
    let rate = made as f64 / candidate.lasted.as_secs_f64();
    println!(
        "| {:<24} | {:.1} | {:.1} | {rate:.0} | {} | {:.2} | {} | {} |",
        candidate.name,
        micros(candidate.spent[0], half),
        micros(candidate.spent[1], made.checked_sub(half).context("no second half")?),
        bytes / made as u64,
        micros(reading, read),
        shown(finding),
        shown(detaching),
    );
    Ok(())
}
