//! Cursors and rows, in a file and on a server: one contract.

use rollcall::database::Database;
use rollcall::delivery::webhooks::store::postgres::Postgres;
use rollcall::delivery::webhooks::store::sqlite::Sqlite;
use rollcall::delivery::webhooks::store::{Delivery, Progress, State, Store};
use rollcall_schemas::ids::WebhookId;
use uuid::Uuid;

use crate::support::Cluster;

fn row(position: u64, state: State) -> Delivery {
    Delivery {
        position,
        subject: Uuid::from_u128(position.into()),
        state,
        attempts: 3,
        next_at: chrono::DateTime::from_timestamp_millis(1_795_420_824_123),
        status: Some(503),
        reason: "the answer is not 2xx".into(),
    }
}

async fn keeps_its_contract(store: &dyn Store) {
    let (one, other) = (WebhookId(Uuid::from_u128(1)), WebhookId(Uuid::from_u128(2)));
    assert_eq!(store.cursor(one).await.unwrap(), None);
    let upserts = vec![row(5, State::Waiting), row(7, State::Dead), row(9, State::Replay), row(9, State::Waiting)];
    store.save(one, &Progress { cursor: 10, upserts, deletes: vec![] }).await.unwrap();
    store.save(other, &Progress { cursor: 3, upserts: vec![row(5, State::Dead)], deletes: vec![] }).await.unwrap();
    assert_eq!(store.cursor(one).await.unwrap(), Some(10));
    let all = vec![row(5, State::Waiting), row(7, State::Dead), row(9, State::Waiting)];
    assert_eq!(store.rows(one, None, 0, 10).await.unwrap(), all, "of two rows the later one counts");
    assert_eq!(store.rows(one, None, 5, 1).await.unwrap(), all[1..2]);
    assert_eq!(store.rows(one, Some(State::Waiting), 5, 10).await.unwrap(), all[2..]);
    assert_eq!(store.count(one, State::Waiting).await.unwrap(), 2);

    // A row is deleted after it was added; the cursor never goes back.
    let back = Progress { cursor: 4, upserts: vec![row(7, State::Waiting)], deletes: vec![5, 7, 8] };
    store.save(one, &back).await.unwrap();
    assert_eq!(store.cursor(one).await.unwrap(), Some(10));
    assert_eq!(store.rows(one, None, 0, 10).await.unwrap(), all[2..]);
    store.save(one, &Progress { cursor: 12, ..Progress::default() }).await.unwrap();
    assert_eq!(store.cursor(one).await.unwrap(), Some(12));

    store.remove(one).await.unwrap();
    assert_eq!((store.cursor(one).await.unwrap(), store.rows(one, None, 0, 10).await.unwrap()), (None, vec![]));
    assert_eq!(store.count(other, State::Dead).await.unwrap(), 1, "another webhook is untouched");
}

#[test]
fn cursors_and_rows_in_a_file_are_there_again_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deliveries.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        keeps_its_contract(&Sqlite::open(&path).unwrap()).await;
        let store = Sqlite::open(&path).unwrap();
        assert_eq!(store.count(WebhookId(Uuid::from_u128(2)), State::Dead).await.unwrap(), 1);
    });
}

#[test]
fn cursors_and_rows_on_a_server_are_what_they_are_in_a_file() {
    let cluster = Cluster::start();
    let address = cluster.address(&cluster.database());
    let database: Database = address.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        keeps_its_contract(&Postgres::open(&database).await.unwrap()).await;
        let again = Postgres::open(&database).await.unwrap();
        assert_eq!(again.count(WebhookId(Uuid::from_u128(2)), State::Dead).await.unwrap(), 1);
    });
}
