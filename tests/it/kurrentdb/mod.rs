//! The log in `KurrentDB`: the contract over a double of the server, and over a server where `KURRENTDB_URL` names one.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rollcall::eventlog::kurrentdb::Kurrent;
use rollcall::eventlog::{EventLog, RawEvent};
use uuid::Uuid;

use crate::eventlog_contract::{behaves_like_the_model, runtime, step};

mod bench;
mod cluster;
mod double;
mod faults;
mod nodes;
mod proto;
mod rights;
mod served;
pub mod server;

use server::Double;

const STREAM: &str = "rollcall-log";

async fn connect(url: &str, stream: &str, replica: &Path) -> Arc<dyn EventLog> {
    Arc::new(Kurrent::connect(url, stream, replica).await.unwrap())
}

async fn all(log: &dyn EventLog) -> Vec<RawEvent> {
    log.read_all(0, usize::MAX).await.unwrap()
}

fn delete(replica: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", replica.display()));
    }
}

/// Every case has a stream of its own. With `forgetful`, the replica is deleted whenever the log is opened.
fn behaves_on(url: &str, cases: u32, forgetful: bool) {
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(), 1..12), |steps| {
        let dir = tempfile::tempdir().unwrap();
        let (stream, replica) = (format!("rollcall-{}", Uuid::new_v4()), dir.path().join("replica.db"));
        let open = async || {
            if forgetful {
                delete(&replica);
            }
            connect(url, &stream, &replica).await
        };
        runtime().block_on(behaves_like_the_model(open, steps))
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

#[test]
fn the_log_in_kurrentdb_behaves_like_the_model() {
    let double = Double::start();
    behaves_on(&double.url(), 40, false);
}

#[test]
fn a_log_in_kurrentdb_whose_replica_is_always_lost_behaves_like_the_model() {
    let double = Double::start();
    behaves_on(&double.url(), 20, true);
}

#[test]
fn the_log_on_a_real_kurrentdb_behaves_like_the_model() {
    match std::env::var("KURRENTDB_URL") {
        Ok(url) => {
            behaves_on(&url, 40, false);
            behaves_on(&url, 10, true);
        }
        Err(_) => eprintln!("skipped: KURRENTDB_URL names no server"),
    }
}
