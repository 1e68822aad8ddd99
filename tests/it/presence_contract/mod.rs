//! The contract of presence: every adapter behaves as the model in memory does, and on several nodes the bounds hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rollcall::database::Database;
use rollcall::live::presence::{
    Change, Connection, ConnectionId, Device, Memory, Platform, Postgres, Presence, Sockets, Timing,
};
use rollcall_schemas::ids::SubjectRef;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::Cluster;

mod store;

/// Longer than any wait may be.
const FOR_EVER: Duration = Duration::from_secs(60);
/// A lease that a test can wait for.
const SHORT: Timing = Timing { lease: Duration::from_millis(1_500) };

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(FOR_EVER, test).await.expect("something waits for ever") })
}

/// Counts how often it is told to close.
#[derive(Default)]
struct Closed(AtomicUsize);

impl Sockets for Closed {
    fn close_all(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn push(&self, _: SubjectRef, _: &'static str, _: &Value) {}
}

/// A node, as far as presence goes.
struct Node {
    presence: Arc<dyn Presence>,
    closed: Arc<Closed>,
    stop: CancellationToken,
    kept: JoinHandle<()>,
}

impl Node {
    fn of(presence: Arc<dyn Presence>) -> Self {
        let (closed, stop) = (Arc::new(Closed::default()), CancellationToken::new());
        let kept = tokio::spawn({
            let (presence, closed, stop) = (presence.clone(), closed.clone(), stop.clone());
            async move { presence.keep(closed, stop).await }
        });
        Self { presence, closed, stop, kept }
    }

    async fn on(database: &Database, timing: Timing) -> Self {
        Self::of(Arc::new(Postgres::open(database, timing).await.unwrap()))
    }

    /// Ends it as `kill -9` does: it says nothing any more.
    fn kill(self) {
        self.kept.abort();
    }

    async fn stop(self) {
        self.stop.cancel();
        self.kept.await.unwrap();
    }

    async fn devices(&self, subject: SubjectRef) -> Vec<Device> {
        self.presence.devices(&[subject]).await.unwrap().remove(0)
    }

    /// Waits until so many connections of a subject are seen from here.
    async fn sees(&self, subject: SubjectRef, count: usize) {
        loop {
            if let Ok(found) = self.presence.devices(&[subject]).await
                && found[0].len() == count
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a change of every one of these subjects is told here.
    async fn hears_of(&self, subjects: &[SubjectRef]) {
        let mut left: BTreeSet<_> = subjects.iter().copied().collect();
        while !left.is_empty() {
            for change in self.presence.changes().await.unwrap_or_default() {
                left.remove(&change.subject);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
}

fn subject(number: u8) -> SubjectRef {
    SubjectRef(Uuid::from_u128(1_000 + u128::from(number)))
}

fn connection(number: u16, of: u8) -> Connection {
    let platform = Platform::ALL[usize::from(number) % Platform::ALL.len()];
    let id = ConnectionId(Uuid::from_u128(u128::from(number) + 1));
    Connection { id, subject: subject(of), platform, since: at(i64::from(number) / 2) }
}

fn fresh(of: u8) -> Connection {
    Connection { id: ConnectionId::fresh(), ..connection(0, of) }
}

#[derive(Debug, Clone)]
enum Act {
    Announce(usize, u16),
    Gone(usize, u16),
    Look(usize),
}

const NODES: usize = 2;
const CONNECTIONS: u16 = 12;
const SUBJECTS: u8 = 3;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..NODES, 0..CONNECTIONS).prop_map(|(node, number)| Act::Announce(node, number)),
        3 => (0..NODES, 0..CONNECTIONS).prop_map(|(node, number)| Act::Gone(node, number)),
        2 => (0..NODES).prop_map(Act::Look),
    ];
    proptest::collection::vec(act, 1..30)
}

/// What is true: the connections of each node.
type Model = Vec<BTreeMap<Uuid, Connection>>;

fn expected(model: &Model, subject: SubjectRef) -> Vec<Device> {
    let mut all: Vec<_> = model.iter().flat_map(BTreeMap::values).filter(|c| c.subject == subject).collect();
    all.sort_by_key(|c| (c.since, c.id));
    all.iter().map(|c| Device { platform: c.platform, since: c.since }).collect()
}

/// Which connection this is where each node names its own: no name is used twice in a cluster, nor again once it is gone.
fn named(node: usize, number: u16, life: u16) -> Connection {
    let of = u8::try_from(number % u16::from(SUBJECTS)).unwrap();
    let number = life * CONNECTIONS + number;
    let plain = connection(number, of);
    Connection { id: ConnectionId(Uuid::from_u128(plain.id.0.as_u128() | (node as u128) << 64)), ..plain }
}

async fn behaves(nodes: &[Node], acts: &[Act]) {
    let subjects: Vec<_> = (0..SUBJECTS).map(subject).collect();
    let mut model: Model = nodes.iter().map(|_| BTreeMap::new()).collect();
    let mut lives = BTreeMap::<(usize, u16), u16>::new();
    for act in acts {
        match act {
            Act::Announce(node, number) => {
                let node = node % nodes.len();
                let life = lives.entry((node, *number)).or_default();
                let connection = named(node, *number, *life);
                nodes[node].presence.announce(connection);
                model[node].insert(connection.id.0, connection);
            }
            Act::Gone(node, number) => {
                let node = node % nodes.len();
                let life = lives.entry((node, *number)).or_default();
                // Said twice, and also of one that was never there.
                let ended = named(node, *number, *life).id;
                nodes[node].presence.gone(ended);
                nodes[node].presence.gone(ended);
                if model[node].remove(&ended.0).is_some() {
                    *life += 1;
                }
            }
            Act::Look(node) => {
                // What a node announced itself, it sees at once.
                let node = node % nodes.len();
                let seen = nodes[node].presence.devices(&subjects).await.unwrap();
                let own = vec![model[node].clone()];
                for (subject, seen) in subjects.iter().zip(seen) {
                    let own = expected(&own, *subject);
                    assert!(own.iter().all(|device| seen.contains(device)), "{subject:?}: {own:?} in {seen:?}");
                }
            }
        }
    }
    for (number, node) in nodes.iter().enumerate() {
        let wanted: Vec<_> = subjects.iter().map(|subject| expected(&model, *subject)).collect();
        let until = Instant::now() + FOR_EVER / 4;
        loop {
            let seen = node.presence.devices(&subjects).await.unwrap();
            if seen == wanted {
                break;
            }
            assert!(Instant::now() < until, "node {number} sees {seen:?} and not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let here = node.presence.of_this_node(&subjects);
        let connected = subjects.iter().filter(|subject| model[number].values().any(|c| c.subject == **subject));
        assert_eq!(here, connected.copied().collect::<Vec<_>>());
    }
    for (node, own) in nodes.iter().zip(&model) {
        own.values().for_each(|connection| node.presence.gone(connection.id));
    }
    for node in nodes {
        for subject in &subjects {
            node.sees(*subject, 0).await;
        }
    }
}

fn hold(cases: u32, nodes: &[Node]) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&acts(), |acts| {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(behaves(nodes, &acts)));
            Ok(())
        })
        .unwrap();
}

#[test]
fn presence_in_memory_behaves_as_the_model() {
    run(async {
        let node = Node::of(Arc::new(Memory::default()));
        tokio::spawn(async move { hold(64, &[node]) }).await.unwrap();
    });
}

#[test]
fn presence_in_a_database_behaves_as_the_model_on_one_node_and_on_two() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    run(async move {
        let nodes = [Node::on(&database, Timing::DEFAULT).await, Node::on(&database, Timing::DEFAULT).await];
        tokio::spawn(async move {
            hold(8, &nodes[..1]);
            hold(16, &nodes);
        })
        .await
        .unwrap();
    });
}

#[test]
fn of_a_node_that_was_killed_nobody_is_online_once_its_lease_has_ended_and_the_others_hear_of_it() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    run(async move {
        let (a, b) = (Node::on(&database, SHORT).await, Node::on(&database, SHORT).await);
        b.presence.changes().await.unwrap();
        let killed: Vec<_> = (0..3).map(fresh).collect();
        killed.iter().for_each(|connection| a.presence.announce(*connection));
        // One of them is connected to the other node as well.
        b.presence.announce(fresh(2));
        for (number, count) in [(0, 1), (1, 1), (2, 2)] {
            b.sees(subject(number), count).await;
        }
        b.hears_of(&[subject(0), subject(1), subject(2)]).await;
        // Until the nodes that live are listed again.
        tokio::time::sleep(SHORT.lease / 3).await;
        b.presence.changes().await.unwrap();
        a.kill();
        b.hears_of(&[subject(0), subject(1), subject(2)]).await;
        for (number, count) in [(0, 0), (1, 0), (2, 1)] {
            assert_eq!(b.devices(subject(number)).await.len(), count);
        }
        assert_eq!(b.closed.0.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn nodes_whose_clocks_differ_agree_on_the_order_of_connections() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    run(async move {
        let (a, b) = (Node::on(&database, Timing::DEFAULT).await, Node::on(&database, Timing::DEFAULT).await);
        // One clock is far ahead, the other one far behind.
        let (ahead, behind) = (at(1_000_000_000_000), DateTime::UNIX_EPOCH);
        let mut last = DateTime::UNIX_EPOCH;
        for _ in 0..50 {
            for (node, own) in [(&a, ahead), (&b, behind)] {
                let time = node.presence.shared_time(own).await;
                assert!(time >= last && time < ahead, "{time} after {last}");
                last = time;
            }
        }
        let together = futures_util::future::join_all((0..100).map(|_| a.presence.shared_time(behind))).await;
        assert!(together.iter().all(|time| *time >= last));
        assert_eq!(Memory::default().shared_time(behind).await, behind);
    });
}

#[test]
fn of_a_node_that_stops_nobody_is_online_at_once() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    run(async move {
        let (a, b) = (Node::on(&database, Timing::DEFAULT).await, Node::on(&database, Timing::DEFAULT).await);
        a.presence.announce(fresh(0));
        b.sees(subject(0), 1).await;
        a.stop().await;
        assert_eq!(b.devices(subject(0)).await, []);
    });
}

#[test]
fn a_node_that_cannot_beat_closes_its_sockets_and_announces_the_rest_again_once_it_can() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    run(async move {
        let (a, b) = (Node::on(&database, SHORT).await, Node::on(&database, SHORT).await);
        let (stays, ends, late) = (fresh(0), fresh(1), fresh(2));
        [stays, ends].iter().for_each(|connection| a.presence.announce(*connection));
        b.sees(subject(0), 1).await;
        b.sees(subject(1), 1).await;
        let cluster = tokio::task::spawn_blocking(move || {
            cluster.freeze();
            cluster
        })
        .await
        .unwrap();
        while !a.presence.is_cut_off() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(a.closed.0.load(Ordering::SeqCst), 1);
        assert!(a.presence.devices(&[subject(0)]).await.is_err());
        a.presence.gone(ends.id);
        let _cluster = tokio::task::spawn_blocking(move || {
            cluster.thaw();
            cluster
        })
        .await
        .unwrap();
        while a.presence.is_cut_off() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        a.presence.announce(late);
        b.sees(subject(0), 1).await;
        b.sees(subject(1), 0).await;
        b.sees(subject(2), 1).await;
        assert_eq!(a.closed.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn connections_are_announced_again_after_the_server_crashed_and_forgot_them() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database: Database = cluster.address(&name).parse().unwrap();
    run(async move {
        // Longer than the server is away: nobody is cut off.
        let (a, b) = (Node::on(&database, Timing::DEFAULT).await, Node::on(&database, Timing::DEFAULT).await);
        let many: Vec<_> = (0..2_500).map(|number| fresh(u8::try_from(number % 200).unwrap())).collect();
        many.iter().for_each(|connection| a.presence.announce(*connection));
        b.sees(subject(0), 13).await;
        b.sees(subject(199), 12).await;
        let cluster = tokio::task::spawn_blocking(move || {
            cluster.crash();
            cluster.resume();
            cluster
        })
        .await
        .unwrap();
        assert_eq!(cluster.sql(&name, "select count(*) from rollcall_live.connection where epoch = 1"), "0");
        b.sees(subject(0), 13).await;
        b.sees(subject(199), 12).await;
        assert_eq!(a.closed.0.load(Ordering::SeqCst), 0);
        // What happens afterwards is told as before.
        b.presence.changes().await.unwrap();
        a.presence.gone(many[0].id);
        b.hears_of(&[subject(0)]).await;
        b.sees(subject(0), 12).await;
    });
}

#[test]
fn a_change_for_one_subscriber_is_told_to_every_node() {
    let cluster = Cluster::start();
    let database: Database = cluster.address(&cluster.database()).parse().unwrap();
    run(async move {
        let (a, b) = (Node::on(&database, Timing::DEFAULT).await, Node::on(&database, Timing::DEFAULT).await);
        let change = Change { subject: subject(0), to: Some(subject(1)) };
        for node in [&a, &b] {
            node.presence.changes().await.unwrap();
        }
        a.presence.tell(change);
        for node in [&a, &b] {
            while !node.presence.changes().await.unwrap_or_default().contains(&change) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
}
