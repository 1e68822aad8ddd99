//! A rotation over many subjects, and what goes on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::{Class, Error, KeyTree, Vault, allocated, copy, keys_to_destroy, open_in, opens, sealed};
use crate::privacy::key_tree::db::{Db, Hold, Row, Value};
use crate::privacy::key_tree::inner::{Connections, Inner};
use crate::privacy::key_tree::page_key::{PageKey, PageRef};
use crate::privacy::key_tree::root_cell::{Accepted, CellSpec};
use crate::privacy::key_tree::store::Taken;
use crate::privacy::key_tree::tree::SHARDS;

/// A database whose writes of many rows are slow.
struct Slow(Box<dyn Db>, Duration);

impl Db for Slow {
    fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.0.query(sql, params)
    }
    fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<(), Error> {
        self.0.execute(sql, params)
    }
    fn execute_each(&mut self, sql: &'static str, all: &[Vec<Value>]) -> Result<(), Error> {
        std::thread::sleep(self.1);
        self.0.execute_each(sql, all)
    }
    fn begin(&mut self, hold: Hold) -> Result<(), Error> {
        self.0.begin(hold)
    }
    fn commit(&mut self) -> Result<(), Error> {
        self.0.commit()
    }
    fn roll_back(&mut self) {
        self.0.roll_back();
    }
    fn now(&mut self) -> Result<i64, Error> {
        self.0.now()
    }
    fn tidy(&mut self) {
        self.0.tidy();
    }
}

/// A vault that rotates a shard at a time, and takes this long for each.
fn slow(dir: &std::path::Path, each: Duration) -> KeyTree {
    let Connections { writer, readers, looker } = crate::privacy::key_tree::here(&dir.join("vault.db")).unwrap();
    let connections = Connections { writer: Box::new(Slow(writer, each)), readers, looker };
    let cell = CellSpec::Local.open(dir, Accepted::default()).unwrap();
    let mut inner = Inner::open(connections, cell, Taken::Replace).unwrap();
    inner.slice_keys = 1;
    KeyTree::serving(inner).unwrap()
}

#[test]
fn while_a_rotation_runs_new_subjects_are_handed_out_and_values_are_sealed_and_opened() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Arc::new(slow(dir.path(), Duration::from_millis(5)));
    let values = sealed(&vault, 20);
    let before = vault.generation();
    let rotation = std::thread::spawn({
        let vault = vault.clone();
        move || vault.rotate().unwrap()
    });
    while vault.generation() < before + 3 {
        std::thread::yield_now();
    }
    // More than there are in stock: they are made while the rotation runs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fresh: Vec<_> =
        runtime.block_on(async { futures_util::future::join_all((0..2_500).map(|_| vault.allocate())).await });
    let fresh: Vec<_> = fresh.into_iter().map(Result::unwrap).collect();
    assert!(values.iter().all(|value| opens(&vault, value)));
    assert!(vault.generation() < before + SHARDS as u64, "the rotation is over, so nothing of this was seen");
    let rotated = rotation.join().unwrap();
    assert_eq!((rotated.generation_before, rotated.generation_after), (before, before + SHARDS as u64));
    let late = sealed(&vault, 3);
    drop(vault);

    let vault = open_in(dir.path()).unwrap();
    assert!(values.iter().chain(&late).all(|value| opens(&vault, value)));
    assert!(fresh.iter().all(|subject| vault.epoch(*subject).unwrap() == Some(0)), "a key that was made is lost");
}

#[test]
fn of_a_rotation_in_slices_no_copy_of_before_opens_anything_with_the_root_of_after() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vault = slow(dir.path(), Duration::ZERO);
    let values = sealed(&vault, 5);
    let before = vault.last_rotation().unwrap();
    copy(dir.path(), copies.path());
    vault.rotate().unwrap();
    assert!(vault.last_rotation().unwrap() >= before);
    drop(vault);
    std::fs::copy(dir.path().join("root.cell"), copies.path().join("root.cell")).unwrap();
    let told = open_in(copies.path()).err().unwrap();
    assert!(matches!(told, Error::Damaged(_)), "{told}");
    let vault = open_in(dir.path()).unwrap();
    assert!(values.iter().all(|value| opens(&vault, value)));
}

#[test]
fn destructions_over_many_shards_are_answered_in_their_order_and_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let vault = slow(dir.path(), Duration::ZERO);
    let values = sealed(&vault, 1_500);
    let destroyed: Vec<_> = values.iter().step_by(100).collect();
    let asked: Vec<_> =
        destroyed.iter().map(|(header, _)| keys_to_destroy(header.subject, &[Class::Profile])).collect();
    let done = vault.destroy(&asked).unwrap();
    assert!(done.iter().map(|done| &done.keys_to_destroy).eq(&asked));
    assert!(done.iter().all(|done| done.keys.len() == 1 && done.generation_after == done.generation_before + 1));
    assert!(done.iter().any(|one| one.generation_after != done[0].generation_after), "all in one slice");
    assert_eq!(vault.destroy(&asked).unwrap(), done);
    for (number, value) in values.iter().enumerate() {
        assert_eq!(opens(&vault, value), number % 100 != 0);
    }
    assert!(vault.epoch(allocated(&vault)).unwrap().is_some());
    assert!(vault.destroy(&[]).unwrap().is_empty());
}

#[test]
fn a_small_vault_is_rotated_in_one_slice_whichever_shards_its_subjects_are_in() {
    for shard in [0, 700] {
        let dir = tempfile::tempdir().unwrap();
        let vault = open_in(dir.path()).unwrap();
        let subjects = PageKey::fresh().unwrap().subjects(PageRef::fresh(shard).unwrap()).unwrap();
        subjects.into_iter().for_each(|subject| vault.renew(subject, 0).unwrap());
        let rotated = vault.rotate().unwrap();
        assert_eq!(rotated.generation_after, rotated.generation_before + 1, "shard {shard}");
    }
}
