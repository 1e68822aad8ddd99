//! The contract of subscriptions and last-seen times: both stores behave alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use rollcall::live::store::{KeyUse, Kind, Limits, Outcome, Postgres, Sqlite, Store, Subscription, Wish};
use rollcall_schemas::ids::{AppId, SubjectRef};
use uuid::Uuid;

use super::{at, run};
use crate::support::Cluster;

/// Few, so that a test reaches them.
const LIMITS: Limits = Limits { own: 20, of_target: 30 };

fn who(number: u128) -> SubjectRef {
    SubjectRef(Uuid::from_u128(number))
}

fn wish(subscriber: u128, targets: impl IntoIterator<Item = u128>, now: DateTime<Utc>, seconds: u32) -> Wish {
    let targets = targets.into_iter().map(who).collect();
    Wish { subscriber: who(subscriber), kind: Kind::Presence, targets, now, seconds, limits: LIMITS }
}

fn done(full: &[u128], new: &[u128]) -> Outcome {
    let subjects = |numbers: &[u128]| numbers.iter().map(|number| who(*number)).collect();
    Outcome::Done { full: subjects(full), new: subjects(new) }
}

async fn pages(store: &dyn Store, subscriber: u128, limit: u32, now: DateTime<Utc>) -> Vec<Subscription> {
    let mut all: Vec<Subscription> = vec![];
    loop {
        let after = all.last().map(|last| last.target);
        let page = store.page(who(subscriber), Kind::Presence, after, limit, now).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Subscriptions last as long as they were asked for, are renewed, and are listed page by page.
async fn subscriptions_last(store: &dyn Store) {
    let now = at(0);
    assert_eq!(store.subscribe(wish(1, [10, 11, 12], now, 60)).await.unwrap(), done(&[], &[10, 11, 12]));
    let later = now + Duration::seconds(30);
    assert_eq!(store.subscribe(wish(1, [12, 13], later, 60)).await.unwrap(), done(&[], &[13]));
    let listed = pages(store, 1, 2, later).await;
    assert_eq!(listed.iter().map(|one| one.target).collect::<Vec<_>>(), [10, 11, 12, 13].map(who));
    assert_eq!((listed[0].since, listed[2].since, listed[3].seconds), (now, later, 60));
    let after = now + Duration::seconds(60);
    let listed = pages(store, 1, 100, after).await;
    assert_eq!(listed.iter().map(|one| one.target).collect::<Vec<_>>(), [12, 13].map(who));
    // One that has ended is a new one.
    assert_eq!(store.subscribe(wish(1, [10], after, 60)).await.unwrap(), done(&[], &[10]));
    store.subscribe(wish(2, [10, 12], after, 60)).await.unwrap();
    let profile = Wish { kind: Kind::Profile, ..wish(3, [10], after, 60) };
    assert_eq!(store.subscribe(profile).await.unwrap(), done(&[], &[10]));
    let found = store.subscribers(Kind::Presence, vec![who(10), who(12), who(99)], after).await.unwrap();
    let found: BTreeSet<_> = found.into_iter().collect();
    assert_eq!(found, [(10, 1), (10, 2), (12, 1), (12, 2)].map(|(target, by)| (who(target), who(by))).into());
    store.unsubscribe(who(1), Kind::Presence, vec![who(10), who(99)]).await.unwrap();
    store.unsubscribe(who(1), Kind::Presence, vec![who(10)]).await.unwrap();
    assert_eq!(store.subscribers(Kind::Presence, vec![who(10)], after).await.unwrap(), [(who(10), who(2))]);
    assert_eq!(store.subscribers(Kind::Profile, vec![who(10)], after).await.unwrap(), [(who(10), who(3))]);
    while store.sweep(after + Duration::seconds(61)).await.unwrap() {}
    for subscriber in 1..=3 {
        assert_eq!(store.remains(who(subscriber)).await.unwrap(), 0);
    }
}

/// Nobody has more subscriptions than it may, and nobody more followers.
async fn limits_hold(store: &dyn Store) {
    let (now, many) = (at(0), LIMITS.own as u128);
    store.subscribe(wish(1, 1_000..999 + many, now, 60)).await.unwrap();
    assert_eq!(store.subscribe(wish(1, [5, 6], now, 60)).await.unwrap(), Outcome::OwnFull);
    assert_eq!(pages(store, 1, 7, now).await.len(), LIMITS.own - 1);
    assert_eq!(store.subscribe(wish(1, [5, 1_000, 1_001], now, 60)).await.unwrap(), done(&[], &[5]));
    assert_eq!(store.subscribe(wish(1, [6], now, 60)).await.unwrap(), Outcome::OwnFull);
    // A place is free again once one of them has ended.
    assert_eq!(store.subscribe(wish(1, [6], now + Duration::seconds(60), 60)).await.unwrap(), done(&[], &[6]));
    for number in 0..LIMITS.of_target as u128 {
        store.subscribe(wish(10_000 + number, [7], now, 3_600)).await.unwrap();
    }
    assert_eq!(store.subscribe(wish(2, [7, 8], now, 60)).await.unwrap(), done(&[7], &[8]));
    assert_eq!(store.subscribe(wish(10_000, [7], now, 60)).await.unwrap(), done(&[], &[]), "a renewal needs no place");
    let later = now + Duration::seconds(60);
    assert_eq!(store.subscribe(wish(2, [7], later, 60)).await.unwrap(), done(&[], &[7]));
    assert_eq!(store.subscribers(Kind::Presence, vec![who(7)], later).await.unwrap().len(), LIMITS.of_target);
}

/// Of a person that is forgotten nothing is left, and nothing of anybody else is lost.
async fn nothing_is_left(store: &dyn Store) {
    let now = at(0);
    store.subscribe(wish(1, [2, 3], now, 60)).await.unwrap();
    store.subscribe(wish(2, [1, 3], now, 60)).await.unwrap();
    store.set_last_seen(vec![(who(1), b"one".into()), (who(2), b"two".into())]).await.unwrap();
    store.set_last_seen(vec![(who(2), b"two again".into()), (who(3), b"three".into())]).await.unwrap();
    let asked = vec![who(3), who(9), who(1), who(2)];
    let seen = store.last_seen(asked.clone()).await.unwrap();
    assert_eq!(seen, [Some(b"three".to_vec()), None, Some(b"one".into()), Some(b"two again".into())]);
    assert_eq!(store.remains(who(1)).await.unwrap(), 4);
    store.forget(who(1)).await.unwrap();
    store.forget(who(1)).await.unwrap();
    assert_eq!((store.remains(who(1)).await.unwrap(), store.remains(who(2)).await.unwrap()), (0, 2));
    assert_eq!(store.last_seen(asked).await.unwrap()[2], None);
    assert_eq!(pages(store, 2, 10, now).await.iter().map(|one| one.target).collect::<Vec<_>>(), [who(3)]);
}

/// The latest use of each key of an app is known, whoever tells of it first.
async fn the_latest_use_of_a_key_counts(store: &dyn Store) {
    let (one, other): (AppId, AppId) = ("one".parse().unwrap(), "other".parse().unwrap());
    let used = |app: &AppId, key, seconds| KeyUse { app: app.clone(), key, at: at(seconds) };
    assert_eq!(store.key_uses(one.clone()).await.unwrap(), []);
    store.set_key_uses(vec![used(&one, 2, 10), used(&other, 1, 5), used(&one, 1, 30)]).await.unwrap();
    store.set_key_uses(vec![used(&one, 1, 20), used(&one, 2, 40)]).await.unwrap();
    assert_eq!(store.key_uses(one.clone()).await.unwrap(), [used(&one, 1, 30), used(&one, 2, 40)]);
    assert_eq!(store.key_uses(other.clone()).await.unwrap(), [used(&other, 1, 5)]);
}

async fn holds(mut fresh: impl AsyncFnMut() -> Arc<dyn Store>) {
    subscriptions_last(fresh().await.as_ref()).await;
    limits_hold(fresh().await.as_ref()).await;
    nothing_is_left(fresh().await.as_ref()).await;
    the_latest_use_of_a_key_counts(fresh().await.as_ref()).await;
}

#[test]
fn subscriptions_in_a_file_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    run(holds(async || {
        number += 1;
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&dir.path().join(format!("{number}.db"))).unwrap());
        store
    }));
}

#[test]
fn subscriptions_in_a_database_keep_the_contract() {
    let cluster = Cluster::start();
    run(holds(async || {
        let store: Arc<dyn Store> =
            Arc::new(Postgres::open(&cluster.address(&cluster.database()).parse().unwrap()).await.unwrap());
        store
    }));
}

#[test]
fn of_many_who_follow_one_person_at_the_same_moment_no_more_are_let_than_may() {
    let cluster = Cluster::start();
    let database = cluster.address(&cluster.database()).parse().unwrap();
    run(async {
        let store = Arc::new(Postgres::open(&database).await.unwrap());
        for number in 0..LIMITS.of_target as u128 - 3 {
            store.subscribe(wish(10_000 + number, [7], at(0), 3_600)).await.unwrap();
        }
        let others = (0..12_u128).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.subscribe(wish(number + 100, [7], at(0), 60)).await.unwrap() })
        });
        let mut let_in = 0;
        for other in others.collect::<Vec<_>>() {
            let_in += usize::from(other.await.unwrap() == done(&[], &[7]));
        }
        assert_eq!(let_in, 3);
    });
}
