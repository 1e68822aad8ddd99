//! How fast events become rows, and what a point query costs. Prints figures; asserts nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, missing_docs, unreachable_pub)]

#[path = "../tests/read_models/support.rs"]
mod support;

use std::time::Instant;

use rollcall_projections::store::ReadStore;
use rollcall_projections::{ALL, Projection, user_directory};
use rollcall_schemas::stream::Stream;
use support::{Log, app, at, banned, blocked, now, subject, tag};

fn log(users: u32) -> Log {
    let mut log = Log::default();
    for number in 0..users {
        let who = subject(number);
        log.register(who);
        match number % 4 {
            0 => {
                let targets = vec![subject(number + 1)];
                log.record(Stream::Blocklist(who), blocked(who, targets));
            }
            1 => {
                log.record(Stream::Ban(who), banned(who, at(i64::from(number))));
            }
            _ => {}
        }
    }
    log
}

fn measure(label: &str, log: &Log, batch: usize, models: &[&dyn Projection]) -> (tempfile::TempDir, ReadStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ReadStore::open(&directory.path().join("read.db")).unwrap();
    let arrivals = log.after(0);
    let start = Instant::now();
    for part in arrivals.chunks(batch) {
        now(store.apply(part, models)).unwrap();
    }
    let rate = arrivals.len() as f64 / start.elapsed().as_secs_f64();
    println!("{label}: {} events in batches of {batch}: {rate:.0} events/s", arrivals.len());
    (directory, store)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let log = log(200_000);
    for batch in [200, 1_000, 5_000] {
        measure("live, all read models", &log, batch, ALL);
    }
    let (_directory, store) = measure("bulk, all read models", &log, 50_000, ALL);
    for model in ALL {
        measure(&format!("bulk, {}", model.name()), &log, 50_000, &[*model]);
    }
    let app = app("app-one");
    let asked = 200_000;
    let start = Instant::now();
    for number in 0..asked {
        let found = user_directory::by_tag(&store, &app, tag(subject(number * 7 % 200_000))).await.unwrap();
        assert!(found.is_some());
    }
    println!("by_tag: {:.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(asked));
    let start = Instant::now();
    for number in 0..asked {
        let (owner, target) = (subject(number), subject(number + 1));
        rollcall_projections::friend_graph::check(&store, owner, &[target]).await.unwrap();
    }
    println!("friend_graph::check: {:.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(asked));
}
