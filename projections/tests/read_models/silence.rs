//! A server that accepts everything and answers nothing keeps nobody waiting, and costs no more than its connections.

use deadpool_postgres::{Hook, HookError, Manager, Pool, Runtime};
use rollcall_projections::store::{Error, LeaseHolder, ReadStore, prepare_connection};
use rollcall_projections::{ALL, NumberedPage, Order, user_directory};
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::portable_sql::cluster::Cluster;
use crate::portable_sql::relay::Relay;
use crate::postgres::digests;
use crate::rebuilding;
use crate::support::{Log, app, now, subject, tag};

fn pool(relay: &Relay, database: &str) -> Pool {
    let manager = Manager::new(relay.address(database).parse().unwrap(), NoTls);
    let prepare = Hook::async_fn(|client, _| {
        Box::pin(async move { prepare_connection(client).await.map_err(HookError::Backend) })
    });
    Pool::builder(manager).max_size(6).runtime(Runtime::Tokio1).post_create(prepare).build().unwrap()
}

/// The clock jumps to the deadline as soon as nobody has anything to do but to wait.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn unanswered<T>(result: Result<T, Error>, what: &str) {
    match result {
        Err(Error::Unavailable(reason)) => assert!(reason.contains("did not answer within"), "{what}: {reason}"),
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} was answered"),
    }
}

#[test]
fn a_server_that_falls_silent_makes_the_store_unavailable_and_is_used_again_when_it_speaks() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let relay = Relay::start(cluster.path(".s.PGSQL.5432"), "");
    let mut log = Log::default();
    for number in 0..30 {
        log.register(subject(number));
    }
    let (_files, file) = rebuilding::store();
    run(async {
        let store = ReadStore::connect(pool(&relay, &name), ALL).await.unwrap();
        let (app, holder) = (app("app-one"), LeaseHolder(Uuid::new_v4()));
        let (lease, claims) = (store.lease().unwrap(), store.claims().unwrap());
        let arrivals = log.after(0);
        // What each of them needs is open and prepared.
        store.apply(&arrivals[..10], ALL).await.unwrap();
        assert!(lease.take(holder).await.unwrap());
        claims.claim([1; 16], subject(100)).await.unwrap();
        store.refresh().await.unwrap();
        for _ in 0..4 {
            user_directory::by_tag(&store, &app, tag(subject(1))).await.unwrap();
            user_directory::registered(&store, &app, NumberedPage::first(5), Order::OldestFirst).await.unwrap();
        }

        relay.fall_silent();
        for round in ["with open connections", "where new ones are opened"] {
            tokio::time::pause();
            unanswered(user_directory::by_tag(&store, &app, tag(subject(1))).await, round);
            unanswered(user_directory::by_subjects(&store, &app, &[subject(1), subject(2)]).await, round);
            for _ in 0..4 {
                unanswered(
                    user_directory::registered(&store, &app, NumberedPage::first(5), Order::OldestFirst).await,
                    round,
                );
            }
            unanswered(store.apply(&arrivals[10..20], ALL).await, round);
            unanswered(store.refresh().await, round);
            unanswered(lease.take(holder).await, round);
            unanswered(lease.release(holder).await, round);
            unanswered(claims.claim([2; 16], subject(101)).await, round);
            unanswered(claims.forget_old().await, round);
            unanswered(store.digest("user_directory").await, round);
            unanswered(store.parked(10).await, round);
            unanswered(store.resolve_parked("user_directory", "user-nobody", "it never will be").await, round);
            tokio::time::resume();
        }

        relay.speak();
        assert!(user_directory::by_tag(&store, &app, tag(subject(1))).await.unwrap().is_some());
        assert_eq!(user_directory::by_subjects(&store, &app, &[subject(1)]).await.unwrap().len(), 1);
        for _ in 0..4 {
            assert_eq!(
                user_directory::registered(&store, &app, NumberedPage::first(5), Order::OldestFirst)
                    .await
                    .unwrap()
                    .len(),
                5
            );
        }
        claims.claim([2; 16], subject(101)).await.unwrap();
        // The lease and the rows are free again once the server has ended the transactions of whom it does not hear.
        store.apply(&arrivals, ALL).await.unwrap();
        while !lease.take(holder).await.unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        now(file.apply(&arrivals, ALL)).unwrap();
        assert_eq!(digests(&store).await, rebuilding::digests(&file));
    });
}
