//! What the vault remembers of what it destroyed, and of the log it belongs to.

use super::{Class, fresh, keys_to_destroy, open_in, opens, sealed, sum};
use crate::privacy::{Vault, Witnessed};

#[test]
fn an_erasure_is_answered_the_same_however_often_it_is_asked_and_wherever_it_was_cut_short() {
    for cut in [None, Some(1), Some(2)] {
        let (dir, vault) = fresh();
        let values = sealed(&vault, 3);
        let erasures = [
            keys_to_destroy(values[0].0.subject, &Class::ALL),
            keys_to_destroy(values[1].0.subject, &[Class::Profile]),
        ];
        if cut.is_some() {
            assert!(vault.destroy_until(&erasures, cut).is_err());
        }
        let first = vault.destroy(&erasures).unwrap();
        assert_eq!((sum(&first), first[0].keys.len()), ((5, 1), 4), "cut after {cut:?}");
        let commitments: std::collections::HashSet<_> =
            first.iter().flat_map(|done| &done.keys).map(|key| key.commitment.clone()).collect();
        assert_eq!(commitments.len(), 5, "every key has a commitment of its own");
        let later = keys_to_destroy(values[2].0.subject, &Class::ALL);
        let all = [erasures[1].clone(), later.clone(), erasures[0].clone()];
        let second = vault.destroy(&all).unwrap();
        assert_eq!((&second[0], &second[2]), (&first[1], &first[0]));
        assert!(!opens(&vault, &values[2]));
        drop(vault);
        let vault = open_in(dir.path()).unwrap();
        assert_eq!(vault.destroy(&all).unwrap(), second);
        let (numbers, kept): (Vec<_>, Vec<_>) = vault.destructions(0, 10).unwrap().into_iter().unzip();
        assert_eq!(kept, [&first[0], &first[1], &second[1]].map(Clone::clone), "cut after {cut:?}");
        let after = |number: u64| vault.destructions(number, 10).unwrap().into_iter().map(|(_, done)| done);
        assert!(numbers.is_sorted() && after(numbers[1]).eq(kept[2..].iter().cloned()));
        assert_eq!(after(numbers[2]).count(), 0);
    }
}

#[test]
fn what_was_seen_of_the_log_is_remembered() {
    let (dir, vault) = fresh();
    assert_eq!(vault.witnessed().unwrap(), None);
    for size in [7, 9] {
        vault.witness(Witnessed { size, root: [size as u8; 32] }).unwrap();
    }
    vault.rotate().unwrap();
    let id = vault.id();
    drop(vault);
    let vault = open_in(dir.path()).unwrap();
    assert_eq!(vault.witnessed().unwrap(), Some(Witnessed { size: 9, root: [9; 32] }));
    assert_eq!(vault.id(), id);
}

#[test]
fn a_rotation_is_dated_and_an_erasure_is_none() {
    let (dir, vault) = fresh();
    let made = vault.last_rotation().unwrap();
    assert!(made.timestamp() > 0);
    let database = rusqlite::Connection::open(dir.path().join("vault.db")).unwrap();
    database.execute("update vault set rotated = 0", []).unwrap();
    let values = sealed(&vault, 1);
    vault.destroy(&[keys_to_destroy(values[0].0.subject, &Class::ALL)]).unwrap();
    assert_eq!(vault.last_rotation().unwrap().timestamp(), 0);
    vault.rotate().unwrap();
    assert!(vault.last_rotation().unwrap() >= made);
}
