//! Rows and checkpoints move together, and a rebuild gives the same rows.

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use rollcall_projections::store::{Error, ReadStore};
use rollcall_projections::{ALL, Arrival};
use rusqlite::Connection;

use crate::histories::history;
use crate::support::{Log, now, subject};

pub fn store() -> (tempfile::TempDir, ReadStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ReadStore::open(&directory.path().join("read.db")).unwrap();
    (directory, store)
}

pub fn digests(store: &ReadStore) -> Vec<(&'static str, [u8; 32])> {
    ALL.iter().map(|model| (model.name(), now(store.digest(model.name())).unwrap())).collect()
}

fn registrations(users: u32) -> Log {
    let mut log = Log::default();
    for number in 0..users {
        log.register(subject(number));
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_rebuilt_read_model_equals_the_caught_up_one(log in history(), cuts in proptest::collection::vec(1usize..40, 1..60)) {
        let (_live_files, live) = store();
        let arrivals = log.after(0);
        let mut rest = arrivals.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (batch, later) = rest.split_at((*cut).min(rest.len()));
            now(live.apply(batch, ALL)).unwrap();
            rest = later;
        }
        prop_assert_eq!(futures(live.parked(10)), vec![]);
        let (_rebuilt_files, rebuilt) = store();
        now(rebuilt.apply(&arrivals, ALL)).unwrap();
        prop_assert_eq!(digests(&live), digests(&rebuilt));
        for model in ALL {
            now(live.drop_model(model.name())).unwrap();
            now(live.create_model(*model)).unwrap();
            now(live.apply(&arrivals, &[*model])).unwrap();
        }
        prop_assert_eq!(digests(&live), digests(&rebuilt));
    }

    #[test]
    fn applying_a_batch_twice_changes_nothing(log in history(), overlap in any::<u8>()) {
        let (_files, store) = store();
        let arrivals = log.after(0);
        now(store.apply(&arrivals, ALL)).unwrap();
        let before = (digests(&store), store.checkpoints());
        now(store.apply(&arrivals, ALL)).unwrap();
        now(store.apply(&arrivals[usize::from(overlap).min(arrivals.len())..], ALL)).unwrap();
        prop_assert_eq!(before, (digests(&store), store.checkpoints()));
    }
}

fn futures<T>(query: impl Future<Output = Result<T, Error>>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(query).unwrap()
}

#[test]
fn a_failed_write_leaves_every_row_and_checkpoint_where_it_was() {
    let (files, store) = store();
    let log = registrations(5);
    let arrivals = log.after(0);
    now(store.apply(&arrivals[..2], ALL)).unwrap();
    let before = (digests(&store), store.checkpoints());
    // The last read model cannot move its checkpoint, after the rows of all others were written.
    let saboteur = Connection::open(files.path().join("read.db")).unwrap();
    saboteur
        .execute_batch(
            "CREATE TRIGGER broken BEFORE UPDATE ON store_checkpoint WHEN NEW.model = 'audit_trail'
             BEGIN SELECT RAISE(ABORT, 'broken'); END",
        )
        .unwrap();
    assert!(matches!(now(store.apply(&arrivals[2..], ALL)), Err(Error::Unavailable(_))));
    assert_eq!(before, (digests(&store), store.checkpoints()));
    saboteur.execute_batch("DROP TRIGGER broken").unwrap();
    now(store.apply(&arrivals[2..], ALL)).unwrap();
    assert_eq!(store.checkpoint("audit_trail").unwrap(), 5);
    let (_clean_files, clean) = self::store();
    now(clean.apply(&arrivals, ALL)).unwrap();
    assert_eq!(digests(&store), digests(&clean));
}

#[test]
fn a_missing_event_is_an_error_and_changes_nothing() {
    let (_files, store) = store();
    let log = registrations(5);
    let arrivals = log.after(0);
    assert!(matches!(now(store.apply(&arrivals[1..], ALL)), Err(Error::Gap { expected: 1, found: 2, .. })));
    let holed: Vec<Arrival<'_>> = [&arrivals[..2], &arrivals[3..]].concat();
    assert!(matches!(now(store.apply(&holed, ALL)), Err(Error::Gap { expected: 3, found: 4, .. })));
    assert!(store.checkpoints().iter().all(|checkpoint| checkpoint.position == 0));
}

#[test]
fn a_store_that_is_opened_again_knows_how_far_it_came_and_by_which_event() {
    let (files, store) = store();
    let log = registrations(3);
    now(store.apply(&log.after(0), ALL)).unwrap();
    let before = (digests(&store), store.checkpoints());
    drop(store);
    let store = ReadStore::open(&files.path().join("read.db")).unwrap();
    assert_eq!(before, (digests(&store), store.checkpoints()));
    assert_eq!(store.checkpoints()[0].event, Some(log.events[2].id));
}
