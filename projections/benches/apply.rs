//! How fast events become rows, and what a point query costs. Prints figures; asserts nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, missing_docs, unreachable_pub)]

#[path = "../tests/read_models/support.rs"]
mod support;

use std::time::Instant;

use rollcall_projections::store::ReadStore;
use rollcall_projections::{ALL, Projection, user_directory};
use rollcall_schemas::ids::{SecretId, TokenId};
use rollcall_schemas::personal::Class;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{token, user};
use support::{Log, app, at, banned, blocked, now, sealed, subject, tag};

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

/// What a back end's sign-in leaves of a new user: two events, with values as long as sealed ones are.
fn registrations(users: u32) -> Log {
    let mut log = Log::default();
    for number in 0..users {
        let who = subject(number);
        let ciphertext = "c".repeat(92);
        let portrait = Some(sealed(Class::Profile, who, &ciphertext));
        let (user_id, name) =
            (Some(sealed(Class::Identity, who, &ciphertext)), sealed(Class::Profile, who, &ciphertext));
        let registered = user::Registered { subject: who, user_id, name, portrait };
        log.record(Stream::User(who), user::Event::from(registered));
        let (token, secret, issued_at) = (TokenId(who.0), SecretId(1), at(i64::from(number)));
        let issued = token::Issued { subject: who, token, secret, epoch: 0, issued_at, expires_at: None };
        log.record(Stream::Token(who), token::Event::from(issued));
    }
    log
}

/// CPU time of this process so far, in seconds: fields 14 and 15, in ticks of 10 ms, behind a name without spaces.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: f64 = stat.split_whitespace().skip(13).take(2).map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// CPU time and bytes of each registration, applied in batches as they come under load.
fn measure_registrations(users: u32) {
    let log = registrations(users);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("read.db");
    let store = ReadStore::open(&path).unwrap();
    let arrivals = log.after(0);
    let began = cpu();
    for batch in arrivals.chunks(128) {
        now(store.apply(batch, ALL)).unwrap();
    }
    let each = (cpu() - began) * 1e6 / f64::from(users);
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len() / u64::from(users);
    println!("registrations, {users} users in batches of 64: {each:.1} us CPU and {bytes} bytes each");
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
    measure_registrations(300_000);
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
        rollcall_projections::friend_graph::among(&store, owner, &[target]).await.unwrap();
    }
    println!("friend_graph::among: {:.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(asked));
}
