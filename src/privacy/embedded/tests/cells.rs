//! What cells promise, and what the vault makes of one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Class, Embedded, Error, Vault, destroy_all, opens, sealed};
use crate::privacy::Finality;
use crate::privacy::embedded::root_cell::{CellSpec, Root, RootCell};
use crate::privacy::embedded::store::Taken;

/// A cell that can be out of reach.
struct Failing {
    cell: Box<dyn RootCell>,
    destroys: Arc<AtomicBool>,
    answers: Arc<AtomicBool>,
}

impl Failing {
    fn ask(&self, whether: &AtomicBool) -> Result<&dyn RootCell, Error> {
        let up = whether.load(Ordering::SeqCst);
        up.then_some(self.cell.as_ref()).ok_or_else(|| Error::Unavailable("out of reach".into()))
    }
}

impl RootCell for Failing {
    fn root(&self, vault: [u8; 16], generation: u64) -> Result<Option<Root>, Error> {
        self.ask(&self.answers)?.root(vault, generation)
    }
    fn put(&self, vault: [u8; 16], generation: u64, root: &Root) -> Result<(), Error> {
        self.ask(&self.answers)?.put(vault, generation, root)
    }
    fn keep_only(&self, vault: [u8; 16], generation: u64) -> Result<(), Error> {
        self.ask(&self.destroys)?.keep_only(vault, generation)
    }
    fn is_empty(&self) -> Result<bool, Error> {
        self.cell.is_empty()
    }
    fn class(&self) -> Finality {
        self.cell.class()
    }
    fn describe(&self) -> String {
        self.cell.describe()
    }
}

#[test]
fn a_destruction_is_not_called_done_while_the_cell_cannot_destroy_and_nothing_made_meanwhile_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (destroys, answers) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let cell = CellSpec::Local.open(dir.path(), false).unwrap();
    let failing = Failing { cell, destroys: destroys.clone(), answers: answers.clone() };
    let vault = Embedded::over(dir.path(), Box::new(failing), Taken::Replace).unwrap();
    let values = sealed(&vault, 3);
    let generation = vault.generation();

    for up in [&destroys, &answers] {
        up.store(false, Ordering::SeqCst);
    }
    let refused = vault.destroy(&[(values[0].0.subject, &Class::ALL)]);
    assert!(matches!(refused, Err(Error::Unavailable(_))), "not even begun");
    assert!(opens(&vault, &values[0]));

    answers.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = vault.destroy(&[(values[0].0.subject, &Class::ALL)]);
        assert!(matches!(refused, Err(Error::Unavailable(_))), "the old root may still be there");
    }
    assert!(vault.inner.cell.root(vault.inner.vault, generation).unwrap().is_some(), "the control: it is");
    // More than one page of new keys, under the tree that the file has now.
    let meanwhile = sealed(&vault, 3_000);

    destroys.store(true, Ordering::SeqCst);
    destroy_all(&vault, &[&values[0]]);
    assert!(vault.inner.cell.root(vault.inner.vault, generation).unwrap().is_none());
    drop(vault);
    let vault = super::open_in(dir.path()).unwrap();
    assert!(!opens(&vault, &values[0]));
    assert!(values[1..].iter().chain(&meanwhile).all(|value| opens(&vault, value)));
}
