//! The contract of the event log: every adapter behaves as the model in memory does.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rollcall::database::Database;
use rollcall::eventlog::embedded::Embedded;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Append, Assert, Error, EventLog, Idempotency, Item, NewEvent, Outcome, RawEvent};
use uuid::Uuid;

use crate::support::Cluster;

const NAMES: [&str; 3] = ["user.registered", "user.renamed", "ban.imposed"];
const KEYS: u8 = 5;
const STREAMS: u8 = 4;

fn embedded(dir: &Path) -> Arc<dyn EventLog> {
    Arc::new(Embedded::open(&dir.join("events.db")).unwrap())
}

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
}

fn stream(number: u8) -> String {
    format!("stream-{number}")
}

pub fn event(number: u64, blobs: Option<u8>) -> NewEvent {
    NewEvent {
        id: Uuid::from_u128(u128::from(number)),
        name: NAMES[usize::try_from(number % 3).unwrap()],
        version: u16::try_from(1 + number % 2).unwrap(),
        recorded_at: at(i64::try_from(number).unwrap()),
        core: Bytes::from(vec![u8::try_from(number % 251).unwrap(); 1 + usize::try_from(number % 7).unwrap()]),
        blobs: blobs.map(|byte| Bytes::from(vec![byte; usize::from(byte)])),
    }
}

pub fn append(stream: &str, expected: u64, events: Vec<NewEvent>) -> Item {
    let appends = vec![Append { stream: stream.into(), expected, events }];
    Item { appends, ..Item::default() }
}

/// What a log is, in the simplest words.
#[derive(Clone, Default)]
struct Model {
    events: Vec<RawEvent>,
    outcomes: HashMap<[u8; 32], Idempotency>,
    /// What refused items of the append at hand would have appended to, and what they expected.
    refused: Vec<(String, u64)>,
}

impl Model {
    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    fn revision(&self, stream: &str) -> u64 {
        self.events.iter().filter(|event| *event.stream == *stream).count() as u64
    }

    fn append(&mut self, item: &Item) -> Outcome {
        let outcome = self.outcome(item);
        if !matches!(outcome, Outcome::Appended { .. }) {
            self.refused.extend(item.appends.iter().map(|append| (append.stream.clone(), append.expected)));
        }
        outcome
    }

    fn outcome(&mut self, item: &Item) -> Outcome {
        if let Some(first) = item.idempotency.as_ref().and_then(|guard| self.outcomes.get(&guard.key)) {
            return Outcome::Replayed { fingerprint: first.fingerprint, outcome: first.outcome.clone() };
        }
        let appends = item.appends.iter().map(|append| (&append.stream, append.expected));
        for (stream, expected) in appends.chain(item.asserts.iter().map(|assert| (&assert.stream, assert.expected))) {
            let current = self.revision(stream);
            let rests_on_refused = self.refused.iter().any(|(of, refused)| of == stream && expected > *refused);
            if current != expected || rests_on_refused {
                return Outcome::Conflict { stream: stream.clone(), current };
            }
        }
        let mut seen = Vec::new();
        for append in &item.appends {
            if seen.contains(&&append.stream) {
                return Outcome::Conflict { stream: append.stream.clone(), current: append.expected };
            }
            seen.push(&append.stream);
        }
        let first = self.head() + 1;
        for Append { stream, events, .. } in &item.appends {
            for event in events.clone() {
                let NewEvent { id, name, version, recorded_at, core, blobs } = event;
                let (position, revision) = (self.head() + 1, self.revision(stream) + 1);
                let (stream, name) = (stream.as_str().into(), name.into());
                self.events.push(RawEvent { position, stream, revision, id, name, version, recorded_at, core, blobs });
            }
        }
        if let Some(guard) = &item.idempotency {
            self.outcomes.insert(guard.key, guard.clone());
        }
        Outcome::Appended { first, last: self.head() }
    }

    fn detach(&mut self, remaining: &[(u64, Option<Bytes>)]) -> u64 {
        let mut changed = 0;
        for (position, blobs) in remaining {
            if let Some(event) = self.events.iter_mut().find(|event| event.position == *position)
                && event.blobs != *blobs
            {
                event.blobs.clone_from(blobs);
                changed += 1;
            }
        }
        changed
    }

    fn expire(&mut self, time: DateTime<Utc>) -> u64 {
        let before = self.outcomes.len();
        self.outcomes.retain(|_, guard| guard.recorded_at >= time);
        (before - self.outcomes.len()) as u64
    }
}

/// An item before it is known what the streams' revisions will be.
#[derive(Debug, Clone)]
pub struct Plan {
    appends: Vec<(u8, i8, Vec<Option<u8>>)>,
    asserts: Vec<(u8, i8)>,
    guard: Option<(u8, u8)>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Append(Vec<Plan>),
    Detach(BTreeMap<u64, Option<u8>>),
    Expire(i64),
    Reopen,
}

/// How far an expectation is off: mostly not at all.
fn off() -> impl Strategy<Value = i8> {
    prop_oneof![8 => Just(0_i8), 1 => Just(1_i8), 1 => Just(-1_i8)]
}

fn plan() -> impl Strategy<Value = Plan> {
    let blobs = prop::collection::vec(prop::option::of(1_u8..9), 1..4);
    let appends = prop::collection::vec((0..STREAMS, off(), blobs), 0..3);
    let asserts = prop::collection::vec((0..STREAMS, off()), 0..2);
    let guard = prop::option::weighted(0.3, (0..KEYS, 0_u8..3));
    (appends, asserts, guard).prop_map(|(appends, asserts, guard)| Plan { appends, asserts, guard })
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(plan(), 0..5).prop_map(Step::Append),
        2 => prop::collection::btree_map(0_u64..30, prop::option::of(1_u8..9), 0..4).prop_map(Step::Detach),
        1 => (0_i64..40).prop_map(Step::Expire),
        1 => Just(Step::Reopen),
    ]
}

fn key(number: u8) -> [u8; 32] {
    [number; 32]
}

/// Fills a plan in with what the model says at its turn.
fn item(plan: &Plan, model: &Model, next: &mut u64) -> Item {
    let expected = |number: u8, off: i8| model.revision(&stream(number)).saturating_add_signed(off.into());
    let mut events = |blobs: &[Option<u8>]| {
        let made = blobs.iter().map(|blobs| {
            *next += 1;
            event(*next, *blobs)
        });
        made.collect::<Vec<_>>()
    };
    Item {
        appends: (plan.appends.iter())
            .map(|(of, off, blobs)| Append {
                stream: stream(*of),
                expected: expected(*of, *off),
                events: events(blobs),
            })
            .collect(),
        asserts: (plan.asserts.iter())
            .map(|(of, off)| Assert { stream: stream(*of), expected: expected(*of, *off) })
            .collect(),
        idempotency: plan.guard.map(|(number, fingerprint)| Idempotency {
            key: key(number),
            fingerprint: [fingerprint; 32],
            outcome: vec![number, fingerprint],
            recorded_at: at(i64::try_from(*next).unwrap()),
        }),
    }
}

async fn compare(log: &dyn EventLog, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(log.head(), model.head());
    prop_assert_eq!(*log.watch().borrow(), model.head());
    for after in [0, 1, model.head() / 2, model.head().saturating_sub(1), model.head(), model.head() + 3] {
        for limit in [0, 1, 3, 1_000] {
            let read = log.read_all(after, limit).await.unwrap();
            let expected: Vec<_> = model.events.iter().filter(|e| e.position > after).take(limit).cloned().collect();
            prop_assert_eq!(read, expected, "read_all({}, {})", after, limit);
        }
    }
    for step in [1, 2, 5] {
        let scattered = || (1..=model.head()).step_by(step);
        let expected: Vec<_> =
            model.events.iter().filter(|e| scattered().any(|at| at == e.position)).cloned().collect();
        let positions: Vec<_> = scattered().collect();
        prop_assert_eq!(log.read_at(&positions).await.unwrap(), expected, "read_at({:?})", positions);
    }
    let beyond = log.read_at(&[model.head() + 1]).await;
    prop_assert!(matches!(beyond, Err(Error::Corrupt { .. })), "an event that is not there is no empty answer");
    for number in 0..=STREAMS {
        let name = stream(number);
        for (after, limit) in [(0, 1_000), (0, 2), (1, 1), (2, 1_000), (50, 1)] {
            let read = log.read_stream(&name, after, limit).await.unwrap();
            let of_stream = model.events.iter().filter(|e| *e.stream == *name && e.revision > after);
            let expected: Vec<_> = of_stream.take(limit).cloned().collect();
            prop_assert_eq!(read, expected, "read_stream({}, {}, {})", name, after, limit);
        }
        for (before, limit) in [(u64::MAX, 1_000), (u64::MAX, 1), (u64::MAX, 0), (3, 1), (3, 1_000), (1, 1), (0, 1)] {
            let read = log.read_stream_back(&name, before, limit).await.unwrap();
            let of_stream = model.events.iter().rev().filter(|e| *e.stream == *name && e.revision < before);
            let mut expected: Vec<_> = of_stream.take(limit).cloned().collect();
            expected.reverse();
            prop_assert_eq!(read, expected, "read_stream_back({}, {}, {})", name, before, limit);
        }
    }
    for number in 0..=KEYS {
        let expected = model.outcomes.get(&key(number)).map(|guard| (guard.fingerprint, guard.outcome.clone()));
        prop_assert_eq!(log.stored_outcome(key(number)).await.unwrap(), expected);
    }
    Ok(())
}

/// Does the steps to a log and to the model and compares all that can be seen, after each step.
pub async fn behaves_like_the_model(
    open: impl AsyncFn() -> Arc<dyn EventLog>,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let (mut log, mut model, mut next) = (open().await, Model::default(), 0);
    for step in steps.into_iter().chain([Step::Reopen]) {
        match step {
            Step::Append(plans) => {
                let (mut items, mut expected) = (vec![], vec![]);
                model.refused.clear();
                for plan in &plans {
                    let item = item(plan, &model, &mut next);
                    expected.push(model.append(&item));
                    items.push(item);
                }
                prop_assert_eq!(log.append(items).await.unwrap(), expected);
            }
            Step::Detach(remaining) => {
                let remaining: Vec<_> =
                    remaining.into_iter().map(|(at, left)| (at, left.map(|byte| Bytes::from(vec![byte])))).collect();
                prop_assert_eq!(log.detach(remaining.clone()).await.unwrap(), model.detach(&remaining));
            }
            Step::Expire(time) => {
                prop_assert_eq!(log.expire_outcomes(at(time)).await.unwrap(), model.expire(at(time)));
            }
            Step::Reopen => {
                drop(log);
                log = open().await;
            }
        }
        compare(log.as_ref(), &model).await?;
    }
    Ok(())
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_log_behaves_like_the_model(steps in prop::collection::vec(step(), 1..12)) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(behaves_like_the_model(async || embedded(dir.path()), steps))?;
    }
}

#[test]
fn the_log_in_postgresql_behaves_like_the_model() {
    let cluster = Cluster::start();
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(), 1..12), |steps| {
        let database: Database = cluster.address(&cluster.database()).parse().unwrap();
        let open = async || Arc::new(Postgres::open(&database, Mode::Append).await.unwrap()) as Arc<dyn EventLog>;
        runtime().block_on(behaves_like_the_model(open, steps))
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

fn asserting(stream: &str, expected: u64, asserted: (&str, u64)) -> Item {
    let (of, at) = asserted;
    let asserts = vec![Assert { stream: of.into(), expected: at }];
    Item { asserts, ..append(stream, expected, vec![event(100 + expected, None)]) }
}

/// `log` and `other` are two nodes' views of one log; without a second node they are the same.
pub async fn refuses_what_rests_on_a_refused_item(log: &dyn EventLog, other: &dyn EventLog) {
    let one = |stream: &str, expected: u64, number: u64| append(stream, expected, vec![event(number, None)]);
    let appended = |at: u64| Outcome::Appended { first: at, last: at };
    let conflict = |stream: &str, current: u64| Outcome::Conflict { stream: stream.into(), current };
    assert_eq!(log.append(vec![one("s", 0, 1)]).await.unwrap(), [appended(1)]);
    assert_eq!(other.append(vec![one("s", 1, 2)]).await.unwrap(), [appended(2)]);
    let batch = vec![
        one("s", 1, 3),
        // Decided on the item before, whose place another node's event has.
        one("s", 2, 4),
        asserting("t", 0, ("s", 2)),
        // And on that in turn.
        asserting("u", 0, ("t", 1)),
        one("v", 0, 5),
        one("v", 1, 6),
        one("t", 0, 7),
    ];
    let outcomes = log.append(batch).await.unwrap();
    let expected = [
        conflict("s", 2),
        conflict("s", 2),
        conflict("s", 2),
        conflict("t", 0),
        appended(3),
        appended(4),
        // It rests on nothing that was refused.
        appended(5),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(log.append(vec![one("s", 2, 8)]).await.unwrap(), [appended(6)], "it was decided anew");
}

#[test]
fn what_rests_on_a_refused_item_is_refused_by_the_embedded_log() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let log = embedded(dir.path());
        refuses_what_rests_on_a_refused_item(log.as_ref(), log.as_ref()).await;
    });
}

#[test]
fn what_rests_on_a_refused_item_is_refused_by_the_log_in_postgresql() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    runtime().block_on(async {
        let open = async || Postgres::open(&database, Mode::Append).await.unwrap();
        let (log, other) = (open().await, open().await);
        refuses_what_rests_on_a_refused_item(&log, &other).await;
    });
}

pub async fn appends_to_a_contended_stream(log: Arc<dyn EventLog>, task: u64) -> u64 {
    let (mut appended, mut expected) = (0, 0);
    while appended < 25 {
        let number = 10_000 * (task + 1) + appended;
        let own = append(&format!("own-{task}"), appended, vec![event(number, None)]);
        let shared = append("shared", expected, vec![event(number + 5_000, Some(3))]);
        let mut item = own;
        item.appends.extend(shared.appends);
        match log.append(vec![item]).await.unwrap().remove(0) {
            Outcome::Appended { first, last } => {
                assert_eq!(last, first + 1);
                assert!(log.head() >= last, "acknowledged before it was visible");
                appended += 1;
                expected += 1;
            }
            Outcome::Conflict { stream, current } => {
                assert_eq!(stream, "shared");
                expected = current;
            }
            Outcome::Replayed { .. } => unreachable!("no keys were used"),
        }
    }
    appended
}

#[test]
fn every_read_during_concurrent_appends_sees_a_gapless_prefix() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let log = embedded(dir.path());
        log.append(vec![append("before", 0, (1..20).map(|n| event(n, None)).collect())]).await.unwrap();
        drop(log);
        // Re-opened: what is older stands on disk only, what comes now also in memory.
        let log = embedded(dir.path());
        let appenders: Vec<_> =
            (0..6).map(|task| tokio::spawn(appends_to_a_contended_stream(log.clone(), task))).collect();
        let mut after = 0;
        while !appenders.iter().all(tokio::task::JoinHandle::is_finished) {
            for from in [0, after, 19] {
                let head = log.head();
                let positions: Vec<_> =
                    log.read_all(from, 10_000).await.unwrap().iter().map(|event| event.position).collect();
                let last = positions.last().copied().unwrap_or(from);
                assert!(last >= head, "head {head} was told but only {last} is visible");
                assert!(positions.iter().copied().eq(from + 1..=last), "a gap after {from}");
                after = last;
            }
            tokio::task::yield_now().await;
        }
        for appender in appenders {
            assert_eq!(appender.await.unwrap(), 25);
        }
        assert_eq!(log.head(), 19 + 6 * 50);
        assert_eq!(log.read_stream("shared", 0, 1_000).await.unwrap().len(), 150);
    });
}

#[test]
fn a_reader_at_the_head_never_takes_the_first_append_for_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for round in 0..40 {
            let log = embedded(dir.path());
            let reader = tokio::spawn({
                let log = log.clone();
                async move {
                    loop {
                        let events = log.read_all(round, 10).await.unwrap();
                        if let Some(event) = events.first() {
                            return event.position;
                        }
                        tokio::task::yield_now().await;
                    }
                }
            });
            log.append(vec![append("one", round, vec![event(round + 1, None)])]).await.unwrap();
            assert_eq!(reader.await.unwrap(), round + 1);
        }
    });
}
