//! Keys that are derived from their page's until one of the page's subjects loses one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    Class, Error, KeyTree, SubjectRef, Vault, allocated, copy, destroy_all, fresh, header, keys_to_destroy, open_in,
    opens, sealed,
};
use crate::privacy::key_tree::db::Hold;
use crate::privacy::key_tree::page_key::{PageKey, PageRef, SUBJECTS};
use crate::privacy::key_tree::store;
use crate::privacy::key_tree::subject_keys::EpochKeys;

/// The rows that a subject's page has in the tables: how many hold a key, and whether one of them is the page's own.
fn rows_of_page(vault: &KeyTree, subject: SubjectRef) -> (u64, bool) {
    let page = PageRef::of(subject);
    let mut last = page.row();
    last[6..].fill(0xff);
    let rows = "select subject from subject_key where wrapped is not null and subject >= $1 and subject <= $2";
    let found =
        vault.inner.write(Hold::Alone, |db, _| db.query(rows, &[(&page.row()).into(), (&last).into()])).unwrap();
    let own = found.iter().any(|row| row.array::<16>(0).unwrap() == page.row());
    (found.len() as u64, own)
}

#[test]
fn the_keys_of_a_page_take_one_row_until_one_of_them_is_destroyed_and_then_one_each() {
    let (dir, vault) = fresh();
    let values = sealed(&vault, 3);
    let subject = |index: usize| values[index].0.subject;
    assert_eq!(PageRef::of(subject(0)), PageRef::of(subject(2)));
    assert_eq!(rows_of_page(&vault, subject(0)), (1, true));
    let done = vault.destroy(&[keys_to_destroy(subject(0), &[Class::Profile])]).unwrap();
    assert_eq!(done[0].keys.len(), 1);
    assert_eq!(rows_of_page(&vault, subject(0)), (u64::from(SUBJECTS), false));
    destroy_all(&vault, &[&values[1]]);
    assert_eq!(rows_of_page(&vault, subject(0)), (u64::from(SUBJECTS) - 1, false));
    let check = |vault: &KeyTree| {
        let open: Vec<_> = values.iter().map(|value| opens(vault, value)).collect();
        assert_eq!(open, [false, false, true]);
        // What was not used yet is as good as before.
        assert!(sealed(vault, 300).iter().all(|value| opens(vault, value)));
    };
    check(&vault);
    drop(vault);
    check(&open_in(dir.path()).unwrap());
}

#[test]
fn an_old_copy_of_the_key_of_a_page_opens_nothing_once_one_of_its_subjects_was_erased() {
    let (dir, vault) = fresh();
    let values = sealed(&vault, 2);
    let copies = tempfile::tempdir().unwrap();
    copy(dir.path(), copies.path());
    destroy_all(&vault, &[&values[0]]);
    drop(vault);
    std::fs::copy(dir.path().join("root.cell"), copies.path().join("root.cell")).unwrap();
    assert!(matches!(open_in(copies.path()).err(), Some(Error::Damaged(_))));
    // Nor does it where it is put back beside the tree of today: it is wrapped under a key that is gone.
    let page = PageRef::of(values[0].0.subject);
    let wrapped: Vec<u8> = rusqlite::Connection::open(copies.path().join("vault.db"))
        .unwrap()
        .query_row("select wrapped from subject_key where subject = ?1", [page.row()], |row| row.get(0))
        .unwrap();
    let vault = open_in(dir.path()).unwrap();
    let shard = vault.inner.tree().shard(values[0].0.subject).clone();
    let shard = crate::privacy::key_tree::wrapping::Wrapper::of(&shard).unwrap();
    assert!(PageKey::unwrap(&shard, page, &wrapped).is_err());
    assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]));
}

#[test]
fn keys_that_stand_in_rows_of_their_own_are_used_and_destroyed_as_before() {
    let (dir, vault) = fresh();
    let (subjects, keys) =
        ([Uuid::new_v4(), Uuid::new_v4()].map(SubjectRef), [(); 2].map(|()| EpochKeys::fresh().unwrap()));
    let rows: Vec<_> = subjects.iter().zip(&keys).map(|(subject, keys)| (*subject, 0, keys)).collect();
    vault.inner.write(Hold::Alone, |db, tree| store::insert_keys(db, tree, &rows)).unwrap();
    let values = subjects.map(|subject| {
        let header = header(subject, Class::Profile, 0);
        let sealed = vault.seal(&header, b"\"Ada\"").unwrap();
        (header, sealed)
    });
    vault.rotate().unwrap();
    assert_eq!(destroy_all(&vault, &[&values[0]])[0].keys.len(), 4);
    drop(vault);
    let vault = open_in(dir.path()).unwrap();
    assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]));
    assert_eq!(vault.epoch(SubjectRef(Uuid::new_v4())).unwrap(), None, "nobody has keys that were not made");
}

#[test]
fn while_a_page_is_written_out_its_other_subjects_are_read_and_what_was_destroyed_never_again() {
    let (_dir, vault) = fresh();
    // Every fifth of four pages, in the order in which they are destroyed.
    let values: Vec<_> = sealed(&vault, 1_024).into_iter().step_by(50).collect();
    let gone: Vec<_> = values.iter().map(|_| AtomicBool::new(false)).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    for (index, (value, gone)) in values.iter().zip(&gone).enumerate() {
                        let was_gone = gone.load(Ordering::Acquire);
                        let open = opens(&vault, value);
                        assert!(!(was_gone && open), "opened after its keys were destroyed");
                        assert!(open || index % 2 == 0, "a key is lost");
                    }
                }
            });
        }
        for (value, gone) in values.iter().zip(&gone).step_by(2) {
            destroy_all(&vault, &[value]);
            gone.store(true, Ordering::Release);
        }
        is_over.store(true, Ordering::Release);
    });
    assert!(values.iter().enumerate().all(|(index, value)| opens(&vault, value) == (index % 2 == 1)));
}

#[derive(Debug, Clone)]
enum Step {
    Destroy(usize, Vec<Class>),
    Renew(usize),
    Rotate,
    /// Nothing is in memory afterwards.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let subject = 0..6_usize;
    let classes = prop::sample::subsequence(Class::ALL.to_vec(), 1..=Class::ALL.len());
    prop::collection::vec(
        prop_oneof![
            4 => (subject.clone(), classes).prop_map(|(subject, classes)| Step::Destroy(subject, classes)),
            3 => subject.prop_map(Step::Renew),
            1 => Just(Step::Rotate),
            2 => Just(Step::Reopen),
        ],
        1..14,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_key_lives_until_it_is_destroyed_whatever_became_of_its_page(steps in steps()) {
        let (dir, mut vault) = fresh();
        let subjects: Vec<_> = (0..6).map(|_| allocated(&vault)).collect();
        // Of each subject, what is alive in which epoch.
        let mut model: Vec<BTreeMap<u32, Vec<Class>>> = vec![BTreeMap::from([(0, Class::ALL.to_vec())]); subjects.len()];
        let mut values = vec![];
        let seal = |vault: &KeyTree, subject: usize, epoch: u32| {
            let one = |class| {
                let header = header(subjects[subject], class, epoch);
                let sealed = vault.seal(&header, b"\"Ada\"").unwrap();
                (subject, (header, sealed))
            };
            Class::ALL.map(one)
        };
        // The last one only by what comes of the others: nothing of its is in memory.
        (0..5).for_each(|subject| values.extend(seal(&vault, subject, 0)));
        for step in steps {
            match step {
                Step::Destroy(subject, classes) => {
                    let lost: usize = model[subject].values_mut().map(|alive| {
                        let before = alive.len();
                        alive.retain(|class| !classes.contains(class));
                        before - alive.len()
                    }).sum();
                    let done = vault.destroy(&[keys_to_destroy(subjects[subject], &classes)]).unwrap();
                    prop_assert_eq!(done[0].keys.len(), lost);
                }
                Step::Renew(subject) => {
                    let next = model[subject].keys().max().unwrap() + 1;
                    vault.renew(subjects[subject], next).unwrap();
                    model[subject].insert(next, Class::ALL.to_vec());
                    values.extend(seal(&vault, subject, next));
                }
                Step::Rotate => drop(vault.rotate().unwrap()),
                Step::Reopen => {
                    drop(vault);
                    vault = open_in(dir.path()).unwrap();
                }
            }
            for (subject, epochs) in model.iter().enumerate() {
                prop_assert_eq!(vault.epoch(subjects[subject]).unwrap(), epochs.keys().max().copied());
            }
            for (subject, value) in &values {
                let alive = model[*subject].get(&value.0.epoch).is_some_and(|alive| alive.contains(&value.0.class));
                prop_assert_eq!(opens(&vault, value), alive);
            }
        }
    }
}
