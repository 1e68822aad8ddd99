//! The same events make the same rows in `PostgreSQL` as in a file, and a read model is built anew beside the live one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::{Hook, HookError, Manager, Pool, Runtime};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rollcall_projections::store::{
    BuildLock, Error, Lease, LeaseHolder, ReadStore, Shadow, drop_before, prepare_connection,
};
use rollcall_projections::{ALL, Arrival, Poison, Projection, user_directory};
use rollcall_schemas::ids::EventId;
use rollcall_schemas::user;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::histories::history;
use crate::portable_sql::cluster::Cluster;
use crate::rebuilding;
use crate::support::{Log, app, now, profile, subject};

pub fn pool(cluster: &Cluster, database: &str) -> Pool {
    let manager = Manager::new(cluster.address(database).parse().unwrap(), NoTls);
    let prepare = Hook::async_fn(|client, _| {
        Box::pin(async move { prepare_connection(client).await.map_err(HookError::Backend) })
    });
    Pool::builder(manager).max_size(6).runtime(Runtime::Tokio1).post_create(prepare).build().unwrap()
}

pub async fn shadow(pool: &Pool, models: &[&'static dyn Projection]) -> Shadow {
    Shadow::open(BuildLock::wait(pool.clone()).await.unwrap(), models).await.unwrap()
}

pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

pub async fn digests(store: &ReadStore) -> Vec<(&'static str, [u8; 32])> {
    let mut digests = vec![];
    for model in ALL {
        digests.push((model.name(), store.digest(model.name()).await.unwrap()));
    }
    digests
}

#[test]
fn a_row_is_found_by_its_bytes_in_whatever_language_the_database_is() {
    let cluster = Cluster::start();
    let name = cluster.database();
    run(async {
        let pool = pool(&cluster, &name);
        ReadStore::connect(pool.clone(), ALL).await.unwrap();
        shadow(&pool, ALL).await;
    });
    assert_eq!(cluster.keys_of_words(&name), "");
}

#[test]
fn a_page_of_tags_is_read_by_its_index_alone_before_the_table_was_analyzed() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let queries = user_directory::UserDirectory.queries();
    let page =
        queries.iter().find(|sql| sql.starts_with("SELECT tag FROM") && sql.ends_with("> $1 ORDER BY tag LIMIT $2"));
    let page = page.unwrap().replace("$1", r"'\x20'").replace("$2", "2000");
    let plan = run(async {
        let pool = pool(&cluster, &name);
        ReadStore::connect(pool.clone(), ALL).await.unwrap();
        let client = pool.get().await.unwrap();
        // As a connection that answers queries.
        let users = "SET enable_seqscan = off;
            INSERT INTO user_directory_v2 (subject, app, tag, user_id, name, introduced_position, epoch, deactivated)
            SELECT decode(md5('s' || n), 'hex'), 'app-one', decode(md5(n::text), 'hex'), sealed, sealed, n, 0, 0
            FROM generate_series(1, 20000) AS users (n), decode(repeat('7e', 139), 'hex') AS sealed";
        client.batch_execute(users).await.unwrap();
        let plan = client.query(&format!("EXPLAIN {page}"), &[]).await.unwrap();
        plan.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    });
    assert!(plan.contains("Scan using user_directory_v2_tag") && !plan.contains("Sort"), "{plan}");
}

#[test]
fn a_connection_of_the_read_models_compiles_no_statement() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let plan = run(async {
        let pool = pool(&cluster, &name);
        ReadStore::connect(pool.clone(), ALL).await.unwrap();
        let client = pool.get().await.unwrap();
        // As if everything were costly: that is what a plan is that the settings discourage.
        client.batch_execute("SET jit_above_cost = 0").await.unwrap();
        let plan = client.query("EXPLAIN ANALYZE SELECT event FROM store_skipped", &[]).await.unwrap();
        plan.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    });
    assert!(plan.contains("store_skipped") && !plan.contains("JIT"), "{plan}");
}

#[test]
fn whatever_happens_both_databases_hold_the_same_rows() {
    let cluster = Cluster::start();
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (history(), prop::collection::vec(1_usize..40, 1..60), 1_usize..=4);
    let checked = TestRunner::new(config).run(&strategy, |(log, cuts, lanes)| {
        let (_files, file) = rebuilding::store();
        run(async {
            let shared = ReadStore::connect(pool(&cluster, &cluster.database()), ALL).await.unwrap().with_lanes(lanes);
            let arrivals = log.after(0);
            let mut rest = arrivals.as_slice();
            for cut in cuts.iter().cycle() {
                let (batch, later) = rest.split_at((*cut).min(rest.len()));
                shared.apply(batch, ALL).await.unwrap();
                now(file.apply(batch, ALL)).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(shared.parked(10).await.unwrap(), vec![]);
            prop_assert_eq!(digests(&shared).await, rebuilding::digests(&file));
            prop_assert_eq!(shared.checkpoints(), file.checkpoints());
            Ok(())
        })
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

#[test]
fn a_poisoned_stream_is_parked_in_both_and_goes_on_when_it_is_retried_or_given_up() {
    let cluster = Cluster::start();
    let mut log = Log::default();
    let twice = log.register(subject(1));
    // The second registration of a subject contradicts the directory.
    log.register(subject(1));
    log.register(subject(2));
    let (_files, file) = rebuilding::store();
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let shared = ReadStore::connect(pool.clone(), ALL).await.unwrap().with_lanes(3);
        let mut arrivals = log.after(0);
        let undecodable = Poison {
            position: 4,
            stream: "user-nobody".into(),
            id: EventId(Uuid::from_u128(4)),
            reason: "it cannot be read".into(),
        };
        arrivals.push(Arrival::Undecodable(undecodable));
        shared.apply(&arrivals, ALL).await.unwrap();
        now(file.apply(&arrivals, ALL)).unwrap();
        let parked = |keys: Vec<rollcall_projections::store::ParkedKey>| {
            keys.into_iter().map(|key| (key.model, key.stream, key.position, key.held_back)).collect::<HashSet<_>>()
        };
        let in_file = parked(now(file.parked(100)).unwrap());
        assert_eq!(parked(shared.parked(100).await.unwrap()), in_file);
        assert!(in_file.len() > ALL.len(), "{in_file:?}");
        assert_eq!(digests(&shared).await, rebuilding::digests(&file));
        let stream = &log.events[usize::try_from(twice).unwrap()].stream.to_string();
        let directory = &user_directory::UserDirectory;
        let again = shared.retry_parked(directory, stream, &[log.entry(2)]).await.unwrap();
        assert_eq!((again.applied, again.parked), (0, 1));
        let wrong = shared.retry_parked(directory, stream, &[log.entry(1)]).await;
        assert!(matches!(wrong, Err(Error::NotTheParked { .. })), "{wrong:?}");
        assert_eq!(shared.resolve_parked("user_directory", stream, "registered twice").await.unwrap(), 1);
        // Another node that opens it knows what is parked still.
        let other = ReadStore::connect(pool, ALL).await.unwrap();
        assert_eq!(other.parked(100).await.unwrap().len(), in_file.len() - 1);
    });
}

#[test]
fn a_node_that_takes_over_holds_back_what_the_one_before_it_parked_and_learns_what_an_operator_settled() {
    let cluster = Cluster::start();
    let mut log = Log::default();
    log.register(subject(1));
    log.register(subject(1));
    for name in ["held back", "later", "again"] {
        let name = Some(profile(subject(1), name));
        log.user(subject(1), user::Modified { subject: subject(1), name, portrait: None });
    }
    let (events, stream) = (log.after(0), &log.events[0].stream.to_string());
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let first = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        let second = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        first.apply(&events[..2], ALL).await.unwrap();
        // It was opened before anything was parked.
        second.refresh().await.unwrap();
        second.apply(&events[2..3], ALL).await.unwrap();
        let parked = async || second.parked_positions("user_directory", stream, 10).await.unwrap();
        assert_eq!(parked().await, [2, 3]);
        // An operator's command, beside the nodes.
        let operator = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        assert_eq!(operator.resolve_parked("user_directory", stream, "registered twice").await.unwrap(), 2);
        second.apply(&events[3..4], ALL).await.unwrap();
        assert_eq!((parked().await, second.parked_count().await.unwrap()), (vec![], 0));
        let found = user_directory::by_subject(&second, &app("app-one"), subject(1)).await.unwrap().unwrap();
        assert!(found.name.unwrap().ends_with(b"later"));

        // Built anew beside the live one, it skips the same.
        let before = second.digest("user_directory").await.unwrap();
        let beside = shadow(&pool, &[&user_directory::UserDirectory]).await;
        beside.store().apply(&events[..4], &[&user_directory::UserDirectory]).await.unwrap();
        assert_eq!(beside.store().digest("user_directory").await.unwrap(), before);
        assert_eq!(operator.stop_skipping("user_directory", stream).await.unwrap(), 2);
        second.apply(&events[4..], ALL).await.unwrap();
        assert_eq!(second.parked_count().await.unwrap(), 0);
    });
}

#[test]
fn where_some_read_models_cannot_be_written_others_move_on_and_these_follow() {
    let cluster = Cluster::start();
    let mut log = Log::default();
    for number in 0..20 {
        log.register(subject(number));
    }
    let (_files, file) = rebuilding::store();
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let shared = ReadStore::connect(pool.clone(), ALL).await.unwrap().with_lanes(2);
        let rename = async |from: &str, to: &str| {
            let client = pool.get().await.unwrap();
            client.batch_execute(&format!("alter table rollcall_read.{from} rename to {to}")).await.unwrap();
        };
        let arrivals = log.after(0);
        rename("audit_trail_v2", "away").await;
        let failed = shared.apply(&arrivals[..15], ALL).await;
        assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
        let at = |model: &str| shared.checkpoint(model).unwrap();
        assert_eq!([at("user_directory"), at("audit_trail")], [15, 0]);
        // So does the database say.
        let other = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        let sorted = |store: &ReadStore| {
            let mut checkpoints = store.checkpoints();
            checkpoints.sort_by_key(|checkpoint| checkpoint.model);
            checkpoints
        };
        assert_eq!(sorted(&other), sorted(&shared));
        rename("away", "audit_trail_v2").await;
        shared.apply(&arrivals, ALL).await.unwrap();
        now(file.apply(&arrivals, ALL)).unwrap();
        assert_eq!(digests(&shared).await, rebuilding::digests(&file));
        assert_eq!(shared.checkpoints(), file.checkpoints());
    });
}

#[test]
fn of_two_nodes_only_one_moves_a_read_model_on_and_the_other_learns_of_it() {
    let cluster = Cluster::start();
    let mut log = Log::default();
    for number in 0..20 {
        log.register(subject(number));
    }
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let one = ReadStore::connect(pool.clone(), ALL).await.unwrap().with_lanes(2);
        let two = ReadStore::connect(pool, ALL).await.unwrap().with_lanes(3);
        let (a, b) = (LeaseHolder(Uuid::new_v4()), LeaseHolder(Uuid::new_v4()));
        let lease = |store| ReadStore::lease(store).unwrap();
        assert!(lease(&one).take(a).await.unwrap() && lease(&one).take(a).await.unwrap());
        assert!(!lease(&two).take(b).await.unwrap());
        let arrivals = log.after(0);
        one.apply(&arrivals[..10], ALL).await.unwrap();
        // It had the lease once, stood still, and does not know that it lost it.
        let late = two.apply(&arrivals[..12], ALL).await;
        assert!(matches!(late, Err(Error::Moved(_))), "{late:?}");
        two.refresh().await.unwrap();
        assert_eq!(two.checkpoint("user_directory").unwrap(), 10);
        // It falls silent: the other takes over when the lease has ended.
        let silent = std::time::Instant::now();
        while !lease(&two).take(b).await.unwrap() {
            tokio::time::sleep(Lease::RENEW / 10).await;
        }
        assert!(silent.elapsed() > Lease::RENEW, "a lease that is alive is not taken over");
        two.apply(&arrivals[..15], ALL).await.unwrap();
        assert!(!lease(&one).take(a).await.unwrap());
        lease(&two).release(b).await.unwrap();
        assert!(lease(&one).take(a).await.unwrap(), "what was let go need not be waited for");
        one.refresh().await.unwrap();
        one.apply(&arrivals, ALL).await.unwrap();
        assert_eq!(user_directory::registered_count(&one, &app("app-one")).await.unwrap(), 20);
    });
}

#[test]
fn checkpoints_stay_within_their_page_however_often_they_move_and_are_found_where_somebody_else_put_them() {
    let cluster = Cluster::start();
    let mut log = Log::default();
    for number in 0..100 {
        log.register(subject(number));
    }
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let store = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        let arrivals = log.after(0);
        for applied in 1..arrivals.len() {
            store.apply(&arrivals[..applied], ALL).await.unwrap();
        }
        let client = pool.get().await.unwrap();
        let size = client.query_one("SELECT pg_relation_size('store_checkpoint')", &[]).await.unwrap();
        assert!(size.get::<_, i64>(0) <= 2 * 8_192, "{size:?}");
        client.batch_execute("VACUUM FULL store_checkpoint").await.unwrap();
        store.apply(&arrivals, ALL).await.unwrap();
        assert_eq!(user_directory::registered_count(&store, &app("app-one")).await.unwrap(), 100);
    });
}

#[test]
fn a_read_model_is_built_beside_the_live_one_and_no_query_fails_or_sees_half_while_it_takes_its_place() {
    let cluster = Cluster::start();
    let mut log = Log::default();
    for number in 0..3_000 {
        log.register(subject(number));
    }
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let live = Arc::new(ReadStore::connect(pool.clone(), ALL).await.unwrap());
        let arrivals = log.after(0);
        live.apply(&arrivals[..2_000], ALL).await.unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (live, done) = (live.clone(), done.clone());
                tokio::spawn(async move {
                    let mut asked = 0;
                    while !done.load(Ordering::SeqCst) {
                        let count = user_directory::registered_count(&live, &app("app-one")).await.unwrap();
                        assert!(count == 2_000 || count == 2_400, "{count}");
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        let model: &dyn Projection = &user_directory::UserDirectory;
        let fill = async |shadow: &Shadow, until: u64| {
            let from = usize::try_from(shadow.store().checkpoint(model.name()).unwrap()).unwrap();
            shadow.store().apply(&arrivals[from..usize::try_from(until).unwrap()], &[model]).await
        };
        let first = shadow(&pool, &[&user_directory::UserDirectory]).await;
        fill(&first, 700).await.unwrap();
        drop(first);
        // Whoever comes after the one that died goes on where it stopped.
        let beside = shadow(&pool, &[&user_directory::UserDirectory]).await;
        assert_eq!(beside.store().checkpoint(model.name()).unwrap(), 700);
        fill(&beside, 1_900).await.unwrap();
        let before = live.digest(model.name()).await.unwrap();
        assert!(beside.flip(model, async |until| fill(&beside, until).await).await.unwrap().is_some());
        assert_eq!(live.digest(model.name()).await.unwrap(), before, "the same events make the same rows");
        live.refresh().await.unwrap();
        live.apply(&arrivals[2_000..2_400], ALL).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        done.store(true, Ordering::SeqCst);
        for asking in asking {
            assert!(asking.await.unwrap() > 0);
        }
        let dropped = drop_before(&pool).await.unwrap();
        assert!(!dropped.is_empty() && dropped.iter().all(|table| table.starts_with("user_directory")), "{dropped:?}");
    });
}
