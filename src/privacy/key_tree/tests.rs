//! What is destroyed stays destroyed, and nothing else is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use rollcall_schemas::ids::{AppId, ErasureId, EventId, OperationId, SecretId, SubjectRef};
use rollcall_schemas::personal::{Class, Header, Sealed, Stored};
use uuid::Uuid;

use super::root_cell::RootCell;
use super::store::Taken;
use super::tree::{Tree, shard_of};
use super::{CellSpec, Inner, KeyTree, Options, allocated, held_keys, page_key, subject_keys};
use crate::privacy::{Destruction, Error, KeysToDestroy, Vault};

mod apps;
mod cells;
#[cfg(feature = "vault-transit")]
#[path = "../../../tests/it/support/cluster.rs"]
#[allow(unreachable_pub)]
mod cluster;
mod crashes;
mod destructions;
#[cfg(feature = "vault-transit")]
#[path = "../../../tests/it/support/transit.rs"]
mod double;
mod moving;
#[cfg(feature = "vault-transit")]
#[path = "../../../tests/it/support/openbao.rs"]
mod openbao;
mod pages;
mod rotation;
#[cfg(feature = "vault-transit")]
mod shared;
mod signing;
#[cfg(feature = "vault-transit")]
mod transit;

/// What local cells have kept for them.
const NOTHING: &[u8] = &[];

fn app() -> AppId {
    "app-one".parse().unwrap()
}

fn header(subject: SubjectRef, class: Class, epoch: u32) -> Header {
    Header {
        app: app(),
        stream: format!("user-{subject}"),
        event: EventId(Uuid::from_u128(7)),
        name: "user.registered".into(),
        version: 1,
        path: "name".into(),
        subject,
        class,
        epoch,
    }
}

fn profile(subject: SubjectRef) -> Header {
    header(subject, Class::Profile, 0)
}

/// How a vault in this directory is opened, per kind of cell.
type Kind = fn(&Path) -> Options;

const LOCAL: Kind = |_| Options::default();
const SPLIT: Kind = |dir| {
    let second = CellSpec::File(dir.join("second.cell"));
    Options { cell: CellSpec::Split(Box::new(CellSpec::Local), Box::new(second)), ..Options::default() }
};
const KINDS: [Kind; 2] = [LOCAL, SPLIT];

/// A vault in this directory over a cell of the test's own.
fn over(dir: &Path, cell: Box<dyn RootCell>, taken: Taken) -> Result<KeyTree, Error> {
    KeyTree::serving(Inner::open(super::here(&dir.join(super::FILE))?, cell, taken)?)
}

fn open_as(kind: Kind, dir: &Path) -> Result<KeyTree, Error> {
    KeyTree::open(dir, &kind(dir))
}

fn fresh_as(kind: Kind) -> (tempfile::TempDir, KeyTree) {
    let dir = tempfile::tempdir().unwrap();
    let vault = open_as(kind, dir.path()).unwrap();
    (dir, vault)
}

fn open_in(dir: &Path) -> Result<KeyTree, Error> {
    open_as(LOCAL, dir)
}

fn fresh() -> (tempfile::TempDir, KeyTree) {
    fresh_as(LOCAL)
}

/// Subjects with a sealed value each.
fn sealed(vault: &KeyTree, count: usize) -> Vec<(Header, Sealed)> {
    let one = || {
        let header = profile(allocated(vault));
        let sealed = vault.seal(&header, b"\"Ada\"").unwrap();
        (header, sealed)
    };
    (0..count).map(|_| one()).collect()
}

fn opens(vault: &KeyTree, (header, sealed): &(Header, Sealed)) -> bool {
    match vault.open(header, sealed) {
        Ok(plaintext) => {
            assert_eq!(plaintext.as_slice(), b"\"Ada\"");
            true
        }
        Err(Error::Erased) => false,
        Err(error) => panic!("neither open nor erased: {error}"),
    }
}

/// A new erasure of these keys.
fn keys_to_destroy(subject: SubjectRef, classes: &[Class]) -> KeysToDestroy {
    KeysToDestroy {
        erasure: ErasureId(Uuid::new_v4()),
        app: app(),
        subject,
        classes: classes.to_vec(),
        operation: OperationId("C70B-B1D6-82E8-5A10".into()),
    }
}

fn destroy_all(vault: &KeyTree, subjects: &[&(Header, Sealed)]) -> Vec<Destruction> {
    let keys_to_destroy: Vec<_> =
        subjects.iter().map(|(header, _)| keys_to_destroy(header.subject, &Class::ALL)).collect();
    vault.destroy(&keys_to_destroy).unwrap()
}

/// How many keys were destroyed, and by how much the root moved on.
fn sum(done: &[Destruction]) -> (usize, u64) {
    let keys = done.iter().map(|done| done.keys.len()).sum();
    (keys, done.iter().map(|done| done.generation_after - done.generation_before).max().unwrap_or(0))
}

fn copy(from: &Path, to: &Path) {
    for name in ["vault.db", "vault.db-wal", "vault.db-shm", "root.cell", "second.cell"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens_again_and_only_with_every_byte_in_place(
        value in prop::collection::vec(any::<u8>(), 0..300),
        class in prop::sample::select(&Class::ALL[..]),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        thread_local!(static VAULT: (tempfile::TempDir, KeyTree) = fresh());
        VAULT.with(|(_, vault)| -> Result<(), TestCaseError> {
            let header = header(allocated(vault), class, 0);
            let sealed = vault.seal(&header, &value).unwrap();
            let opened = vault.open(&header, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), &value[..]);
            let ciphertext = sealed.ciphertext.clone().unwrap();
            let stored = header.store(&ciphertext);
            let opened = vault.open_stored(&app(), header.subject, &stored).unwrap();
            prop_assert_eq!(opened.as_slice(), &value[..]);

            let mut flipped = stored.clone();
            flipped[place.index(stored.len())] ^= 1 << bit;
            prop_assert!(vault.open_stored(&app(), header.subject, &flipped).is_err());
            let mut flipped = sealed.clone();
            flipped.ciphertext.as_mut().unwrap()[place.index(ciphertext.len())] ^= 1 << bit;
            prop_assert!(matches!(vault.open(&header, &flipped), Err(Error::Tampered(_))));
            Ok(())
        })?;
    }
}

#[test]
fn a_value_opens_nowhere_but_where_it_was_sealed() {
    let (_dir, vault) = fresh();
    let (header, other) = (profile(allocated(&vault)), allocated(&vault));
    let sealed = vault.seal(&header, b"\"Ada\"").unwrap();
    let changes: [fn(&mut Header); 7] = [
        |header| header.app = "app-other".parse().unwrap(),
        |header| header.stream.push('x'),
        |header| header.event = EventId(Uuid::from_u128(8)),
        |header| header.name = "user.modified".into(),
        |header| header.version = 2,
        |header| header.path = "portrait".into(),
        |header| header.class = Class::Moderation,
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut changed = header.clone();
        change(&mut changed);
        let mut claimed = sealed.clone();
        claimed.class = changed.class;
        assert!(matches!(vault.open(&changed, &claimed), Err(Error::Tampered(_))), "change {number}");
        // The app is the row's: whoever opens the value says of which one it is.
        let stored = changed.store(sealed.ciphertext.as_ref().unwrap());
        assert!(vault.open_stored(&changed.app, header.subject, &stored).is_err(), "stored, change {number}");
    }
    let stored = header.store(sealed.ciphertext.as_ref().unwrap());
    assert!(vault.open_stored(&app(), other, &stored).is_err(), "in a row of somebody else");
    assert!(vault.open_stored(&app(), header.subject, &stored).is_ok(), "in its own row");
    vault.renew(header.subject, 1).unwrap();
    for (subject, epoch) in [(other, 0), (header.subject, 1)] {
        let moved = Header { subject, epoch, ..header.clone() };
        assert!(matches!(vault.open(&moved, &sealed), Err(Error::Tampered(_))), "the header alone was changed");
        let claimed = Sealed { subject, epoch, ..sealed.clone() };
        assert!(matches!(vault.open(&moved, &claimed), Err(Error::Tampered(_))), "the claim was changed with it");
    }
    assert!(opens(&vault, &(header, sealed)), "the value itself is whole");
}

#[test]
fn every_flipped_byte_of_ciphertext_commitment_and_digest_keeps_a_value_shut() {
    let (_dir, vault) = fresh();
    let (header, sealed) = sealed(&vault, 1).remove(0);
    let refused = |changed: &Sealed| matches!(vault.open(&header, changed), Err(Error::Tampered(_)));
    for index in 0..32 {
        let mut changed = sealed.clone();
        changed.commitment[index] ^= 0x80;
        assert!(refused(&changed), "commitment byte {index}");
        let mut changed = sealed.clone();
        changed.digest[index] ^= 1;
        assert!(refused(&changed), "digest byte {index}");
    }
    for index in 0..sealed.ciphertext.as_ref().unwrap().len() {
        let mut changed = sealed.clone();
        let ciphertext = changed.ciphertext.as_mut().unwrap();
        ciphertext[index] ^= 1;
        assert!(refused(&changed), "ciphertext byte {index}");
        // Whoever changes both is stopped by the seal itself.
        let stored = header.store(changed.ciphertext.as_ref().unwrap());
        assert!(matches!(vault.open_stored(&app(), header.subject, &stored), Err(Error::Tampered(_))));
    }
    let detached = Sealed { ciphertext: None, ..sealed.clone() };
    assert!(matches!(vault.open(&header, &detached), Err(Error::Erased)));
}

#[test]
fn a_ciphertext_does_not_tell_how_long_a_short_value_is() {
    let (_dir, vault) = fresh();
    let header = profile(allocated(&vault));
    let length = |bytes: usize| vault.seal(&header, &vec![b'a'; bytes]).unwrap().ciphertext.unwrap().len();
    let lengths: HashSet<_> = (1..=60).map(length).collect();
    assert_eq!(lengths.len(), 1, "{lengths:?}");
    assert!(length(61) > length(60), "longer values are not cut");
}

#[test]
fn what_is_destroyed_is_erased_at_once_and_after_reopening_while_its_neighbours_open() {
    let (dir, vault) = fresh();
    let values = sealed(&vault, 40);
    let shard = |value: &(Header, Sealed)| shard_of(value.0.subject);
    assert!(values.iter().all(|value| shard(value) == shard(&values[0])), "neighbours of one shard");
    let done = destroy_all(&vault, &[&values[3], &values[7]]);
    assert_eq!(sum(&done), (8, 1), "both in one rotation");
    let again = destroy_all(&vault, &[&values[3]]);
    assert_eq!(sum(&again), (0, 0));
    let check = |vault: &KeyTree| {
        for (index, value) in values.iter().enumerate() {
            assert_eq!(opens(vault, value), index != 3 && index != 7, "value {index}");
        }
    };
    check(&vault);
    assert!(matches!(vault.seal(&values[3].0, b"1"), Err(Error::Erased)));
    drop(vault);
    check(&open_in(dir.path()).unwrap());
}

#[test]
fn only_the_classes_named_are_destroyed() {
    let (_dir, vault) = fresh();
    let subject = allocated(&vault);
    let value = |class| {
        let header = header(subject, class, 0);
        let sealed = vault.seal(&header, b"\"Ada\"").unwrap();
        (header, sealed)
    };
    let values = Class::ALL.map(value);
    let done = vault.destroy(&[keys_to_destroy(subject, &[Class::Profile, Class::Moderation])]).unwrap();
    assert_eq!(sum(&done).0, 2);
    let open: Vec<_> = values.iter().filter(|value| opens(&vault, value)).map(|(header, _)| header.class).collect();
    assert_eq!(open, [Class::Identity, Class::Hold]);
}

#[test]
fn an_old_copy_of_the_keys_beside_todays_root_is_refused_as_damaged() {
    for kind in KINDS {
        let (dir, vault) = fresh_as(kind);
        let values = sealed(&vault, 2);
        drop(vault);
        let (kept, control) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy(dir.path(), kept.path());
        copy(dir.path(), control.path());
        assert!(opens(&open_as(kind, control.path()).unwrap(), &values[0]), "a whole copy opens while its root lives");

        destroy_all(&open_as(kind, dir.path()).unwrap(), &[&values[0]]);
        for cell in ["root.cell", "second.cell"].iter().filter(|cell| dir.path().join(cell).exists()) {
            std::fs::copy(dir.path().join(cell), kept.path().join(cell)).unwrap();
        }
        assert!(matches!(open_as(kind, kept.path()).err(), Some(Error::Damaged(_))));
        let vault = open_as(kind, dir.path()).unwrap();
        assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]));
    }
}

/// The files of the cell, whole.
fn cell_files(dir: &Path) -> Vec<Vec<u8>> {
    let files = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let cells = files.filter(|path| path.extension().is_some_and(|ending| ending == "cell"));
    cells.map(|path| std::fs::read(path).unwrap()).collect()
}

/// What every slot of the cell's files holds where a root or a share stands.
fn roots_in(dir: &Path) -> Vec<[u8; 32]> {
    let slots = |file: Vec<u8>| file.chunks(4_096).map(|slot| slot[32..64].try_into().unwrap()).collect::<Vec<_>>();
    cell_files(dir).into_iter().flat_map(slots).filter(|root| *root != [0; 32]).collect()
}

/// Whether the cell's files hold any quarter of a key.
fn holds(dir: &Path, key: &[u8; 32]) -> bool {
    let found = |file: &Vec<u8>| key.chunks(8).any(|part| file.windows(8).any(|window| window == part));
    cell_files(dir).iter().any(found)
}

#[test]
fn no_part_of_an_old_root_is_left_in_its_cell() {
    let (dir, vault) = fresh();
    let values = sealed(&vault, 2);
    let root = |vault: &KeyTree, generation| vault.inner.cell.root(vault.inner.vault, generation, NOTHING).unwrap();
    let mut old = vec![];
    for _ in 0..3 {
        let generation = vault.inner.tree().generation;
        let current = root(&vault, generation).expect("the current root is in its cell");
        assert!(holds(dir.path(), &current), "the control: a root that lives is found");
        vault.rotate().unwrap();
        old.push(current);
        assert!(old.iter().all(|root| !holds(dir.path(), root)));
    }
    let current = root(&vault, vault.inner.tree().generation).unwrap();
    destroy_all(&vault, &[&values[0]]);
    assert!(!holds(dir.path(), &current));
    assert!(opens(&vault, &values[1]));
}

#[test]
fn nothing_opens_any_more_once_a_destruction_returned_however_busy_the_vault_is() {
    let (_dir, vault) = fresh();
    let values = sealed(&vault, 24);
    let gone: Vec<_> = (0..values.len()).map(|_| AtomicBool::new(false)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    for (value, gone) in values.iter().zip(&gone) {
                        let was_gone = gone.load(Ordering::Acquire);
                        let open = opens(&vault, value);
                        assert!(!(was_gone && open), "opened after its keys were destroyed");
                        let _ = vault.seal(&value.0, b"2");
                    }
                }
            });
        }
        for (value, gone) in values.iter().zip(&gone).step_by(2) {
            destroy_all(&vault, &[value]);
            gone.store(true, Ordering::Release);
            assert!(!opens(&vault, value));
        }
        stop.store(true, Ordering::Release);
    });
    for (index, value) in values.iter().enumerate() {
        assert_eq!(opens(&vault, value), index % 2 == 1);
    }
}

#[test]
fn a_subject_is_never_allocated_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let vault = Arc::new(open_in(dir.path()).unwrap());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let vault = vault.clone();
                std::thread::spawn(move || (0..300).map(|_| allocated(&vault)).collect::<Vec<_>>())
            })
            .collect();
        for subject in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            assert!(seen.insert(subject), "{subject} was allocated twice");
        }
    }
    let vault = open_in(dir.path()).unwrap();
    assert!(seen.iter().all(|subject| vault.epoch(*subject).unwrap() == Some(0)), "durable when allocated");
}

#[test]
fn nothing_that_holds_keys_can_be_printed() {
    struct Probe<T>(std::marker::PhantomData<T>);
    trait Otherwise {
        const PRINTS: bool = false;
    }
    impl<T> Otherwise for Probe<T> {}
    impl<T: std::fmt::Debug> Probe<T> {
        const PRINTS: bool = true;
    }
    const { assert!(Probe::<u8>::PRINTS) };
    const { assert!(!Probe::<KeyTree>::PRINTS && !Probe::<Inner>::PRINTS && !Probe::<Tree>::PRINTS) };
    const { assert!(!Probe::<subject_keys::EpochKeys>::PRINTS && !Probe::<subject_keys::SubjectKeys>::PRINTS) };
    const { assert!(!Probe::<page_key::PageKey>::PRINTS && !Probe::<held_keys::HeldKeys>::PRINTS) };
    const { assert!(!Probe::<super::apps::AppKeys>::PRINTS && !Probe::<super::root_cell::LocalCell>::PRINTS) };
    let (_dir, vault) = fresh();
    let (header, sealed) = sealed(&vault, 1).remove(0);
    let stored = header.store(sealed.ciphertext.as_ref().unwrap());
    assert_eq!(Stored::from_bytes(&stored).unwrap().associated(&header.app, header.subject), header.to_bytes());
    let printed = format!("{sealed:?}");
    let first = format!("{}, {}", sealed.commitment[0], sealed.commitment[1]);
    assert!(!printed.contains(&first), "{printed}");
}
