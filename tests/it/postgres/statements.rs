//! What a node asks its server for, as the server's own log has it.

use std::time::Duration;

use rollcall::database::{Database, Unasked};
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Assert, EventLog, Item, Outcome};

use super::history::{append, item};
use super::writers::keyed;
use crate::support::Cluster;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// A server that writes down every statement.
fn cluster() -> (Cluster, Database) {
    let cluster = Cluster::start_with("log_statement=all");
    let database = cluster.address(&cluster.database()).parse().unwrap();
    (cluster, database)
}

fn said(cluster: &Cluster, statement: &str) -> usize {
    cluster.said().matches(statement).count()
}

const APPEND: &str = "select rollcall_log.append(";
const ASK: &str = "begin isolation level";

#[test]
fn an_append_takes_one_statement_whichever_node_appended_before_unless_it_is_refused() {
    let (cluster, database) = cluster();
    run(async {
        let nodes = [
            Postgres::open(&database, Mode::Append).await.unwrap(),
            Postgres::open(&database, Mode::Append).await.unwrap(),
        ];
        for revision in 0..20 {
            let node = &nodes[usize::from(revision % 3 == 0)];
            assert_eq!(append(node, "s", revision).await, 3 * revision + 1);
            let (stream, keyed) = keyed(1, u32::try_from(revision).unwrap());
            let asserts = vec![Assert { stream: "s".into(), expected: revision + 1 }];
            let also = Item { asserts, ..item(&format!("also-{stream}"), 0, 1) };
            let outcomes = node.append(vec![keyed, also]).await.unwrap();
            let at = |position| Outcome::Appended { first: position, last: position };
            assert_eq!(outcomes, [at(3 * revision + 2), at(3 * revision + 3)]);
        }
        assert_eq!((said(&cluster, APPEND), said(&cluster, ASK)), (40, 0), "{}", cluster.said());
        assert_eq!(cluster.said().lines().find(|line| line.contains("ERROR:")), None);

        let [one, other] = &nodes;
        let conflict = |current| Outcome::Conflict { stream: "s".into(), current };
        assert_eq!(one.append(vec![item("s", 19, 1)]).await.unwrap(), [conflict(20)]);
        assert_eq!(other.append(vec![item("s", 0, 1)]).await.unwrap(), [conflict(20)]);
        let asserts = vec![Assert { stream: "s".into(), expected: 0 }];
        assert_eq!(one.append(vec![Item { asserts, ..item("t", 0, 1) }]).await.unwrap(), [conflict(20)]);
        assert!(matches!(other.append(vec![keyed(1, 7).1]).await.unwrap()[..], [Outcome::Replayed { .. }]));
        assert_eq!(said(&cluster, ASK), 4);
        assert_eq!(append(one, "s", 20).await, 61);
        assert_eq!(append(other, "s", 21).await, 62);
        assert_eq!(said(&cluster, ASK), 4, "who was refused does not go on asking");
    });
}

#[test]
fn a_stream_is_found_by_its_bytes_in_whatever_language_the_database_is() {
    let cluster = Cluster::start();
    let name = cluster.database();
    run(Postgres::open(&cluster.address(&name).parse().unwrap(), Mode::Append)).unwrap();
    assert_eq!(cluster.keys_of_words(&name), "");
}

#[test]
fn a_smaller_batch_waits_for_company_while_the_server_works_on_one() {
    let (cluster, database) = cluster();
    run(async {
        let node = Postgres::open(&database, Mode::Append).await.unwrap();
        let foreign = database.connect(None).await.unwrap();
        foreign.batch_execute("begin; select pg_advisory_xact_lock(1380731971)").await.unwrap();
        let three = node.append(vec![item("a", 0, 1), item("b", 0, 1), item("c", 0, 1)]);
        let smaller = async {
            while said(&cluster, APPEND) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let others = async {
                // In this time, the one before would have been sent.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let asked = async {
                    foreign.batch_execute("commit").await.unwrap();
                    Ok(())
                };
                tokio::try_join!(node.append(vec![item("e", 0, 1)]), node.append(vec![item("f", 0, 1)]), asked)
            };
            tokio::try_join!(node.append(vec![item("d", 0, 1)]), others)
        };
        tokio::try_join!(three, smaller).unwrap();
        assert_eq!((node.head(), said(&cluster, APPEND)), (6, 2));
        // Behind nothing, or behind one as small, nobody waits.
        append(&node, "g", 0).await;
        assert_eq!(said(&cluster, APPEND), 3);
    });
}

#[test]
fn a_batch_is_told_to_others_unless_nobody_else_may_append() {
    let cluster = Cluster::start();
    run(async {
        for (is_alone, notes) in [(false, 2), (true, 0)] {
            let database: Database = cluster.address(&cluster.database()).parse().unwrap();
            let log = Postgres::open(&database, Mode::Append).await.unwrap();
            let log = if is_alone { log.with_sole_writer() } else { log };
            log.fence().await.unwrap();
            let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
            let hears = move |unasked: Unasked<'_>| {
                if let Unasked::Notification(note) = unasked {
                    told.send(note.to_owned()).unwrap();
                }
            };
            let listener = database.connect(Some(Box::new(hears))).await.unwrap();
            listener.batch_execute("listen rollcall_log").await.unwrap();
            append(&log, "s", 0).await;
            // Not as it was presumed: it is asked for.
            log.append(vec![item("s", 1, 1), item("t", 7, 1)]).await.unwrap();
            // Heard behind whatever was told before.
            listener.batch_execute("select pg_notify('rollcall_log', 'last')").await.unwrap();
            let mut before = 0;
            while heard.recv().await.unwrap() != "last" {
                before += 1;
            }
            assert_eq!(before, notes);
        }
    });
}

/// Whoever may connect may notify.
#[test]
fn what_a_note_says_counts_only_once_the_log_holds_it() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let database: Database = cluster.address(&name).parse().unwrap();
    run(async {
        let (one, other) = (
            Postgres::open(&database, Mode::Append).await.unwrap(),
            Postgres::open(&database, Mode::Append).await.unwrap(),
        );
        append(&one, "s", 0).await;
        let nobody = "00000000-0000-4000-8000-000000000000";
        for note in [format!("nobody 7 {nobody}"), format!("nobody 1 {nobody}"), "nobody".into(), String::new()] {
            cluster.sql(&name, &format!("select pg_notify('rollcall_log', '{note}')"));
        }
        assert_eq!(append(&other, "s", 1).await, 2);
        let mut heard = one.watch();
        heard.wait_for(|head| *head >= 2).await.unwrap();
        assert_eq!((one.head(), other.head()), (2, 2));
        assert!(one.broken().is_none() && other.broken().is_none());
        assert_eq!(one.read_all(0, 10).await.unwrap().len(), 2);
    });
}

#[test]
fn what_another_node_appended_is_read_once_however_many_want_it() {
    let (cluster, database) = cluster();
    run(async {
        let (one, other) = (
            Postgres::open(&database, Mode::Append).await.unwrap(),
            Postgres::open(&database, Mode::Append).await.unwrap(),
        );
        append(&one, "s", 0).await;
        for revision in 0..50 {
            append(&other, "t", revision).await;
            append(&one, "s", revision + 1).await;
        }
        while other.head() < 101 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for node in [&one, &other] {
            let before = said(&cluster, "from rollcall_log.event where position = any");
            let (a, b, c) =
                tokio::try_join!(node.read_all(0, 1_000), node.read_all(0, 1_000), node.read_all(7, 50)).unwrap();
            assert!(a.iter().map(|event| event.position).eq(1..=101) && a == b && c == a[7..57]);
            assert_eq!(said(&cluster, "from rollcall_log.event where position = any") - before, 1);
        }
    });
}
