//! A read model that was built in another file takes the place of the live one, whole or not at all.

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use rollcall_projections::store::ReadStore;
use rollcall_projections::{ALL, Projection, user_directory};
use rollcall_schemas::user;
use rusqlite::Connection;

use crate::histories::history;
use crate::rebuilding::{digests, store};
use crate::support::{Log, now, profile, subject};

/// A store in a file of its own, to build one read model in.
fn to_build(model: &dyn Projection) -> (tempfile::TempDir, ReadStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ReadStore::open_to_build(&directory.path().join("built.db"), &[model]).unwrap();
    (directory, store)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_takes_the_place_of_a_live_one_is_what_a_rebuild_makes(log in history(), cuts in any::<(u8, u8)>()) {
        let arrivals = log.after(0);
        let (first, second) = (usize::from(cuts.0) % (arrivals.len() + 1), usize::from(cuts.1) % (arrivals.len() + 1));
        let (built_to, live_to) = (first.min(second), first.max(second));
        let (_files, live) = store();
        now(live.apply(&arrivals[..live_to], ALL)).unwrap();
        for model in ALL {
            let (_built_files, built) = to_build(*model);
            now(built.apply(&arrivals[..built_to], &[*model])).unwrap();
            let beside = live.bring_beside(&built, *model, &|_, _| true).unwrap().unwrap();
            let tail = &arrivals[built_to..live_to];
            prop_assert!(!beside.take_place(tail, live_to as u64 + 1).unwrap(), "the live one is elsewhere");
            prop_assert!(beside.take_place(tail, live_to as u64).unwrap());
        }
        let (_rebuilt_files, rebuilt) = store();
        now(rebuilt.apply(&arrivals[..live_to], ALL)).unwrap();
        prop_assert_eq!(digests(&live), digests(&rebuilt));
        prop_assert_eq!(live.checkpoints(), rebuilt.checkpoints());
        // It goes on from there.
        now(live.apply(&arrivals[live_to..], ALL)).unwrap();
        now(rebuilt.apply(&arrivals[live_to..], ALL)).unwrap();
        prop_assert_eq!(digests(&live), digests(&rebuilt));
    }
}

#[test]
fn what_is_parked_or_skipped_is_so_in_the_new_one_and_a_decision_in_between_begins_it_again() {
    let mut log = Log::default();
    // The second registration contradicts the directory; the third event waits behind it.
    for number in [1, 1, 2] {
        log.register(subject(number));
    }
    let later = user::Modified { subject: subject(1), name: Some(profile(subject(1), "later")), portrait: None };
    log.user(subject(1), later);
    let (arrivals, directory) = (log.after(0), &user_directory::UserDirectory);
    let stream = format!("user-{}", subject(1));
    let (_files, live) = store();
    now(live.apply(&arrivals, ALL)).unwrap();
    let parked = |store: &ReadStore| now(store.parked_positions("user_directory", &stream, 10)).unwrap();
    for round in 0..3 {
        let (_built_files, built) = to_build(directory);
        now(built.skip_as(&live)).unwrap();
        now(built.apply(&arrivals[..3], &[directory])).unwrap();
        let beside = live.bring_beside(&built, directory, &|_, _| true).unwrap().unwrap();
        if round == 1 {
            now(live.resolve_parked("user_directory", &stream, "it is a mistake")).unwrap();
            assert!(beside.take_place(&arrivals[3..], 4).is_err(), "it was built with what is skipped now");
            continue;
        }
        assert!(beside.take_place(&arrivals[3..], 4).unwrap());
        assert_eq!(parked(&live), if round == 0 { vec![2, 4] } else { vec![] }, "{round}");
    }
}

#[test]
fn what_is_left_beside_by_whoever_stopped_is_dropped() {
    let mut log = Log::default();
    for number in 0..10 {
        log.register(subject(number));
    }
    let (files, live) = store();
    let path = files.path().join("read.db");
    now(live.apply(&log.after(0), ALL)).unwrap();
    let before = digests(&live);
    let directory = &user_directory::UserDirectory;
    let (_built_files, built) = to_build(directory);
    now(built.apply(&log.after(0), &[directory])).unwrap();
    let beside = || {
        let count = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%\\_\\__' ESCAPE '\\'";
        Connection::open(&path).unwrap().query_row(count, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    assert!(live.bring_beside(&built, directory, &|_, _| false).unwrap().is_none(), "it was stopped");
    assert_eq!(beside(), 0);
    // As a process leaves it that is killed.
    std::mem::forget(live.bring_beside(&built, directory, &|_, _| true).unwrap());
    assert_ne!(beside(), 0);
    drop(live);
    let live = ReadStore::open(&path).unwrap();
    assert_eq!((beside(), digests(&live)), (0, before));
}
