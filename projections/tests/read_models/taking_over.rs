//! Read models that were built in a file are taken over whole by a server.

use std::path::Path;
use std::sync::Arc;

use deadpool_postgres::Pool;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rollcall_projections::store::{BuildLock, Error, ReadStore, Shadow, drop_before, go_back};
use rollcall_projections::{ALL, Arrival, Poison, Projection, hosted_profiles, user_directory};
use rollcall_schemas::ids::{EventId, FieldName};
use rollcall_schemas::personal::Class;
use rollcall_schemas::user;
use rusqlite::Connection;
use uuid::Uuid;

use crate::histories::history;
use crate::portable_sql::cluster::Cluster;
use crate::postgres::{digests, pool, run, shadow};
use crate::rebuilding;
use crate::support::{Log, app, now, profile, subject};

const DIRECTORY: &dyn Projection = &user_directory::UserDirectory;

fn built(dir: &Path, batches: &[&[Arrival<'_>]]) -> Arc<ReadStore> {
    let store = ReadStore::open_to_build(&dir.join("built.db"), ALL).unwrap();
    for batch in batches {
        now(store.apply(batch, ALL)).unwrap();
    }
    Arc::new(store)
}

async fn live(pool: &Pool, batches: &[&[Arrival<'_>]]) -> ReadStore {
    let live = ReadStore::connect(pool.clone(), ALL).await.unwrap();
    for batch in batches {
        live.apply(batch, ALL).await.unwrap();
    }
    live
}

async fn flip_all(beside: &Shadow) {
    for model in ALL {
        let as_it_is = async |_| Err::<(), _>(Error::Unavailable("it is as far as the live one".into()));
        assert!(beside.flip(*model, as_it_is).await.unwrap().is_some());
    }
}

fn registrations(users: u32) -> Log {
    let mut log = Log::default();
    for number in 0..users {
        log.register(subject(number));
    }
    log
}

/// Every index and constraint of a schema, as if it were the live one.
fn definitions(cluster: &Cluster, database: &str, schema: &str) -> String {
    let sql = format!(
        "select string_agg(replace(d, '{schema}.', 'rollcall_read.'), ';' order by d) from (
            select indexdef d from pg_indexes where schemaname = '{schema}' and tablename not like 'store%'
            union all select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
            where connamespace = '{schema}'::regnamespace and conrelid::regclass::text not like '%store%') all_of_them"
    );
    cluster.sql(database, &sql)
}

#[test]
fn whatever_happened_what_is_taken_over_has_the_same_rows_and_indexes_and_goes_on() {
    let cluster = Cluster::start();
    let config = ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
    let checked = TestRunner::new(config).run(&(history(), any::<prop::sample::Index>()), |(log, cut)| {
        let arrivals = log.after(0);
        let (early, late) = arrivals.split_at(cut.index(arrivals.len() + 1));
        let (files, whole) = rebuilding::store();
        now(whole.apply(early, ALL)).unwrap();
        let database = cluster.database();
        run(async {
            let pool = pool(&cluster, &database);
            let live = ReadStore::connect(pool.clone(), ALL).await.unwrap();
            let beside = shadow(&pool, ALL).await;
            let built = built(files.path(), &[early]);
            let rows = std::cell::Cell::new((0, 0));
            beside.take_over(&built, ALL, &|done, all| rows.set((done, all))).await.unwrap();
            prop_assert_eq!(rows.get().0, rows.get().1);
            prop_assert_eq!(digests(beside.store()).await, rebuilding::digests(&whole));
            prop_assert_eq!(beside.store().checkpoints(), whole.checkpoints());
            beside.store().refresh().await.unwrap();
            prop_assert_eq!(beside.store().checkpoints(), whole.checkpoints());
            now(whole.apply(late, ALL)).unwrap();
            beside.store().apply(late, ALL).await.unwrap();
            prop_assert_eq!(digests(beside.store()).await, rebuilding::digests(&whole));
            drop(live);
            Ok(())
        })?;
        let plain = definitions(&cluster, &database, "rollcall_read");
        prop_assert!(plain.contains("user_directory_v2_tag") && plain.contains("PRIMARY KEY"), "{plain}");
        prop_assert_eq!(definitions(&cluster, &database, "rollcall_read_next"), plain);
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

#[test]
fn what_was_parked_is_parked_where_it_is_taken_over() {
    let cluster = Cluster::start();
    let mut log = Log::default();
    log.register(subject(1));
    // The second registration of a subject contradicts the directory.
    log.register(subject(1));
    let changed = user::Modified { subject: subject(1), name: Some(profile(subject(1), "later")), portrait: None };
    let mut arrivals = log.after(0);
    let undecodable = Poison {
        position: 3,
        stream: "user-nobody".into(),
        id: EventId(Uuid::from_u128(3)),
        reason: "it cannot be read".into(),
    };
    arrivals.push(Arrival::Undecodable(undecodable));
    let dir = tempfile::tempdir().unwrap();
    let file = built(dir.path(), &[&arrivals]);
    let mut later = Log::default();
    for _ in 0..3 {
        later.register(subject(1));
    }
    later.user(subject(1), changed);
    let later = later.after(3);
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let live = live(&pool, &[&arrivals, &later]).await;
        let beside = shadow(&pool, ALL).await;
        beside.take_over(&file, ALL, &|_, _| {}).await.unwrap();
        // What follows in a parked stream is held back, not applied.
        for store in [beside.store(), &file] {
            store.apply(&later, ALL).await.unwrap();
        }
        flip_all(&beside).await;
        let parked = live.parked(100).await.unwrap();
        assert_eq!(parked, file.parked(100).await.unwrap());
        assert_eq!(parked.len(), ALL.len() + 1);
        assert_eq!(parked.iter().map(|key| key.held_back).sum::<u64>(), 1);
        assert_eq!(digests(&live).await, rebuilding::digests(&file));
    });
}

#[test]
fn a_value_that_only_a_file_takes_leaves_its_read_model_to_be_applied_event_by_event() {
    let cluster = Cluster::start();
    let mut log = registrations(2);
    let field = FieldName("no\0text".into());
    let content = crate::support::sealed(Class::Profile, subject(1), "content");
    log.user(
        subject(1),
        user::ProfileSet { subject: subject(1), fields: [(field, content)].into(), cleared: [].into() },
    );
    let stream = log.events[2].stream.to_string();
    let arrivals = log.after(0);
    let dir = tempfile::tempdir().unwrap();
    let file = built(dir.path(), &[&arrivals]);
    assert_eq!(now(file.parked(1)).unwrap(), []);
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let live = live(&pool, &[&arrivals]).await;
        let before = (digests(&live).await, live.parked_positions("hosted_profiles", &stream, 10).await.unwrap());
        assert_eq!(before.1, [3]);
        let beside = shadow(&pool, ALL).await;
        beside.take_over(&file, ALL, &|_, _| {}).await.unwrap();
        for checkpoint in beside.store().checkpoints() {
            let left = checkpoint.model == hosted_profiles::HostedProfiles.name();
            assert_eq!(checkpoint.position, if left { 0 } else { 3 }, "{}", checkpoint.model);
        }
        beside.store().apply(&arrivals, ALL).await.unwrap();
        flip_all(&beside).await;
        let after = (digests(&live).await, live.parked_positions("hosted_profiles", &stream, 10).await.unwrap());
        assert_eq!(after, before);
    });
}

#[test]
fn what_somebody_else_builds_already_is_not_overwritten() {
    let cluster = Cluster::start();
    let log = registrations(9);
    let arrivals = log.after(0);
    let dir = tempfile::tempdir().unwrap();
    let file = built(dir.path(), &[&arrivals[..5], &arrivals[5..]]);
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let beside = shadow(&pool, &[DIRECTORY]).await;
        // Of an empty log there is nothing to take over.
        let nothing = tempfile::tempdir().unwrap();
        let empty = built(nothing.path(), &[]);
        beside.take_over(&empty, &[DIRECTORY], &|_, _| {}).await.unwrap();
        assert_eq!(beside.store().checkpoints(), empty.checkpoints()[..1]);
        // Its lock is gone without its knowledge: the connection that held it was cut.
        let cut = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 1380731990";
        pool.get().await.unwrap().batch_execute(cut).await.unwrap();
        let other = shadow(&pool, &[DIRECTORY]).await;
        other.store().apply(&arrivals[..3], &[DIRECTORY]).await.unwrap();
        let before = other.store().digest("user_directory").await.unwrap();
        let taken = beside.take_over(&file, &[DIRECTORY], &|_, _| {}).await;
        assert!(matches!(taken, Err(Error::Moved("user_directory"))), "{taken:?}");
        assert_eq!(other.store().digest("user_directory").await.unwrap(), before);
        // A store on a server is not where read models are taken from.
        let taken = beside.take_over(other.store(), &[DIRECTORY], &|_, _| {}).await;
        assert!(matches!(taken, Err(Error::Unavailable(_))), "{taken:?}");
    });
}

#[test]
fn a_file_to_build_in_keeps_only_the_indexes_that_projectors_look_into() {
    let dir = tempfile::tempdir().unwrap();
    // Opened again, as by who goes on with it.
    drop(built(dir.path(), &[]));
    drop(built(dir.path(), &[]));
    let file = Connection::open(dir.path().join("built.db")).unwrap();
    let mut found = file.prepare("select name from sqlite_schema where type = 'index' and sql is not null").unwrap();
    let names: Vec<String> = found.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(names.contains(&"erasure_ledger_v2_subject".into()), "a hold is looked for by it: {names:?}");
    for index in ["hosted_profiles_v2_filled", "user_directory_v2_registered", "user_directory_v2_tag"] {
        assert!(!names.contains(&index.into()), "{index}: {names:?}");
    }
}

#[test]
fn what_was_live_before_is_kept_comes_back_and_is_dropped_when_somebody_says_so() {
    let cluster = Cluster::start();
    let log = registrations(20);
    let arrivals = log.after(0);
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let live = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        live.apply(&arrivals[..10], ALL).await.unwrap();
        let none = go_back(&pool, DIRECTORY.name()).await;
        assert!(matches!(none, Err(Error::NoSuchModel(_))), "{none:?}");
        let before = live.digest(DIRECTORY.name()).await.unwrap();
        for _ in 0..2 {
            let beside = shadow(&pool, &[DIRECTORY]).await;
            let fill = async |until| {
                let until = usize::try_from(until).unwrap();
                beside.store().apply(&arrivals[..until], &[DIRECTORY]).await
            };
            assert!(beside.flip(DIRECTORY, fill).await.unwrap().is_some());
        }
        live.refresh().await.unwrap();
        live.apply(&arrivals[10..], ALL).await.unwrap();
        let after = live.digest(DIRECTORY.name()).await.unwrap();
        assert_eq!(go_back(&pool, DIRECTORY.name()).await.unwrap(), (DIRECTORY.version(), 10));
        let back = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        assert_eq!(back.checkpoint(DIRECTORY.name()).unwrap(), 10);
        assert_eq!(back.digest(DIRECTORY.name()).await.unwrap(), before);
        assert_eq!(user_directory::registered_count(&back, &app("app-one")).await.unwrap(), 10);
        // It goes on from where it was kept, and the way back has a way back.
        back.apply(&arrivals, ALL).await.unwrap();
        assert_eq!(back.digest(DIRECTORY.name()).await.unwrap(), after);
        assert_eq!(go_back(&pool, DIRECTORY.name()).await.unwrap(), (DIRECTORY.version(), 20));
        assert_eq!(drop_before(&pool).await.unwrap(), ["user_directory_count_v2", "user_directory_v2"]);
        assert_eq!(drop_before(&pool).await.unwrap(), [""; 0]);
        let none = go_back(&pool, DIRECTORY.name()).await;
        assert!(matches!(none, Err(Error::NoSuchModel(_))), "{none:?}");
        assert_eq!(user_directory::registered_count(&back, &app("app-one")).await.unwrap(), 20);
    });
}

#[test]
fn one_at_a_time_builds_and_a_table_that_is_in_use_makes_nobody_wait() {
    let cluster = Cluster::start();
    let log = registrations(20);
    let arrivals = log.after(0);
    run(async {
        let pool = pool(&cluster, &cluster.database());
        let live = ReadStore::connect(pool.clone(), ALL).await.unwrap();
        live.apply(&arrivals, ALL).await.unwrap();
        let beside = shadow(&pool, &[DIRECTORY]).await;
        let fill = async |_| beside.store().apply(&arrivals, &[DIRECTORY]).await;
        let mut reader = pool.get().await.unwrap();
        let reads = reader.transaction().await.unwrap();
        reads.query("select 1 from rollcall_read.user_directory_v2", &[]).await.unwrap();
        assert_eq!(beside.flip(DIRECTORY, fill).await.unwrap(), None);
        assert_eq!(
            live.digest(DIRECTORY.name()).await.unwrap(),
            beside.store().digest(DIRECTORY.name()).await.unwrap()
        );
        let mut next = std::pin::pin!(BuildLock::wait(pool.clone()));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(500), &mut next).await.is_err());
        reads.commit().await.unwrap();
        assert!(beside.flip(DIRECTORY, async |_| Ok::<_, Error>(())).await.unwrap().is_some());
        drop(beside);
        drop(next.await.unwrap());
    });
}
