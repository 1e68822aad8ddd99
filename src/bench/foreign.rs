//! What foreign transactions cost that stay open in the same database: the server cannot clean up behind them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rollcall_schemas::ids::AppId;
use tokio_postgres::Client;

use super::{Error, KEY, Options, create_app, register};
use crate::database::{self, Database};
use crate::engine::Engine;
use crate::engine::start::Service;
use crate::out::say;
use crate::tasks::{self, Runtime};
use crate::wiring::{DataDir, LogPlace, Place};

/// One that has written, and one that has looked: the first has a transaction id, the second a snapshot.
const FOREIGN: [&str; 2] = [
    "create table if not exists rollcall_bench_foreign (n bigint); begin; insert into rollcall_bench_foreign values (1)",
    "begin isolation level repeatable read; select count(*) from rollcall_log.event",
];
/// Pairs of slices before they are opened: what differs between the two databases anyway.
const BEFORE: usize = 3;
/// Of so many registrations, one waits until it is visible.
const WAITS: u64 = 16;

/// What a slice came to: registrations per second, and how long until one was visible, the median.
struct Slice {
    rate: f64,
    lag: Duration,
}

/// Slices without and with foreign transactions, in pairs.
#[derive(Default)]
struct Pairs {
    without: Vec<Slice>,
    with: Vec<Slice>,
}

fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

impl Pairs {
    fn print(&self, what: &str, first: usize) {
        let (without, with) = (self.without.iter().skip(first), self.with.iter().skip(first));
        let ratio = median(without.clone().zip(with.clone()).map(|(without, with)| with.rate / without.rate).collect());
        let medians = |slices: std::iter::Skip<std::slice::Iter<'_, Slice>>| {
            (median(slices.clone().map(|slice| slice.rate).collect()), median(slices.map(|slice| slice.lag).collect()))
        };
        let ((rate, lag), (held_rate, held_lag)) = (medians(without), medians(with));
        say!(
            "{what:<44} {:>6.0}/s, visible after {:>8.2?}  beside {:>6.0}/s, {:>8.2?}  = {:.2} ×",
            held_rate.unwrap_or_default(),
            held_lag.unwrap_or_default(),
            rate.unwrap_or_default(),
            lag.unwrap_or_default(),
            ratio.unwrap_or_default()
        );
    }
}

/// Registers in two databases in leadership, in slices of `seconds`; in the second one, foreign transactions are open for so
/// long. Both have as much in them and share the server, its disk and its moods.
pub(super) fn measure(options: &Options, databases: [&Database; 2], runtime: &Runtime) -> Result<(), Error> {
    let [without, with] = databases;
    let dirs = [place(&options.dir.join("without"), without)?, place(&options.dir.join("with"), with)?];
    // To stop them waits for their threads, which nobody may do within the runtime.
    runtime.block_on(in_turn(options, &dirs, with))?.into_iter().for_each(Service::stop);
    Ok(())
}

fn place(dir: &Path, database: &Database) -> Result<DataDir, Error> {
    let log = LogPlace::of(None, Some(database.clone())).map_err(Error::Constant)?;
    Ok(DataDir::create(&Place { dir: dir.to_owned(), log, ..Place::default() })?)
}

async fn in_turn(
    options: &Options,
    [without, with]: &[DataDir; 2],
    database: &Database,
) -> Result<[Service; 2], Error> {
    let app: AppId = KEY.parse().map_err(|_| Error::Constant("the app key is not one".into()))?;
    let (without, with) = (without.start().await?, with.start().await?);
    create_app(&without.engine, &app).await?;
    create_app(&with.engine, &app).await?;
    let mut number = 0;
    let mut pair = async |pairs: &mut Pairs| {
        for (service, slices) in [(&without, &mut pairs.without), (&with, &mut pairs.with)] {
            slices.push(slice(options, &service.engine, &app, number).await?);
        }
        number += 1;
        Ok::<_, Error>(())
    };
    let mut before = Pairs::default();
    for _ in 0..BEFORE {
        pair(&mut before).await?;
    }
    before.print("before the foreign transactions", 0);
    let foreign = hold(database).await?;
    let open_for = Duration::from_secs(options.foreign_seconds);
    let (began, mut pairs) = (Instant::now(), Pairs::default());
    while began.elapsed() < open_for {
        pair(&mut pairs).await?;
    }
    let took = began.elapsed();
    for client in foreign {
        client.batch_execute("commit").await.map_err(database::Error::from)?;
    }
    let count = pairs.with.len();
    pairs.print(&format!("foreign transactions, open for {took:.0?}"), 0);
    pairs.print("  the last quarter of that", count - count.div_ceil(4));
    Ok([without, with])
}

async fn hold(database: &Database) -> Result<Vec<Client>, Error> {
    let mut held = Vec::new();
    for begin in FOREIGN {
        let client = database.connect(None).await?;
        client.batch_execute(begin).await.map_err(database::Error::from)?;
        held.push(client);
    }
    Ok(held)
}

async fn slice(options: &Options, engine: &Arc<Engine>, app: &AppId, number: u64) -> Result<Slice, Error> {
    let began = Instant::now();
    let until = began + Duration::from_secs(options.seconds);
    let running: Vec<_> = (0..options.connections)
        .map(|task| {
            let (engine, app) = (engine.clone(), app.clone());
            tasks::spawn(async move {
                let (mut registered, mut lags) = (0_u64, Vec::new());
                while Instant::now() < until {
                    let position = register(&engine, &app, &format!("u{number}x{task}x{registered}")).await?;
                    registered += 1;
                    if registered % WAITS == 0 {
                        let acknowledged = Instant::now();
                        engine.applied_up_to(position).await?;
                        lags.push(acknowledged.elapsed());
                    }
                }
                Ok::<_, Error>((registered, lags))
            })
        })
        .collect();
    let (mut registered, mut lags) = (0, Vec::new());
    for task in running {
        let (more, its_lags) = task.await.map_err(std::io::Error::other)??;
        registered += more;
        lags.extend(its_lags);
    }
    #[allow(clippy::cast_precision_loss)]
    let rate = registered as f64 / began.elapsed().as_secs_f64();
    Ok(Slice { rate, lag: median(lags).unwrap_or_default() })
}
