//! What cells promise, and what the vault makes of one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    Class, Error, KINDS, KeyTree, NOTHING, Options, SPLIT, Vault, destroy_all, fresh_as, holds, keys_to_destroy,
    open_as, opens, roots_in, sealed,
};
use crate::privacy::Finality;
use crate::privacy::key_tree::root_cell::{Accepted, CellSpec, LocalCell, Root, RootCell};
use crate::privacy::key_tree::store::Taken;

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
    fn root(&self, vault: [u8; 16], generation: u64, kept: &[u8]) -> Result<Option<Root>, Error> {
        self.ask(&self.answers)?.root(vault, generation, kept)
    }
    fn put(&self, vault: [u8; 16], generation: u64, root: &Root) -> Result<Vec<u8>, Error> {
        self.ask(&self.answers)?.put(vault, generation, root)
    }
    fn keep_only(&self, vault: [u8; 16], generation: u64, kept: &[u8]) -> Result<(), Error> {
        self.ask(&self.destroys)?.keep_only(vault, generation, kept)
    }
    fn wipe(&self) -> Result<(), Error> {
        self.ask(&self.destroys)?.wipe()
    }
    fn is_shared(&self) -> bool {
        self.cell.is_shared()
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
    let cell = CellSpec::Local.open(dir.path(), Accepted::default()).unwrap();
    let failing = Failing { cell, destroys: destroys.clone(), answers: answers.clone() };
    let vault = super::over(dir.path(), Box::new(failing), Taken::Replace).unwrap();
    let values = sealed(&vault, 3);
    let generation = vault.generation();

    for up in [&destroys, &answers] {
        up.store(false, Ordering::SeqCst);
    }
    let refused = vault.destroy(&[keys_to_destroy(values[0].0.subject, &Class::ALL)]);
    assert!(matches!(refused, Err(Error::Unavailable(_))), "not even begun");
    assert!(opens(&vault, &values[0]));

    answers.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = vault.destroy(&[keys_to_destroy(values[0].0.subject, &Class::ALL)]);
        assert!(matches!(refused, Err(Error::Unavailable(_))), "the old root may still be there");
    }
    assert!(vault.inner.cell.root(vault.inner.vault, generation, NOTHING).unwrap().is_some(), "the control: it is");
    // More than one page of new keys, under the tree that the file has now.
    let meanwhile = sealed(&vault, 3_000);

    destroys.store(true, Ordering::SeqCst);
    destroy_all(&vault, &[&values[0]]);
    assert!(vault.inner.cell.root(vault.inner.vault, generation, NOTHING).unwrap().is_none());
    drop(vault);
    let vault = super::open_in(dir.path()).unwrap();
    assert!(!opens(&vault, &values[0]));
    assert!(values[1..].iter().chain(&meanwhile).all(|value| opens(&vault, value)));
}

#[test]
fn a_local_cell_is_its_owners_alone_and_one_vaults_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("elsewhere.cell");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let spec = CellSpec::File(path.clone());
    let cell = spec.open(dir.path(), Accepted::default()).unwrap();
    assert_eq!(mode(), 0o600);
    let second = spec.open(dir.path(), Accepted::default()).err().unwrap().to_string();
    assert!(second.contains("in use"), "{second}");
    drop(cell);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(spec.open(dir.path(), Accepted::default()).unwrap());
    assert_eq!(mode(), 0o600, "what became readable for others is closed again");
    let nowhere =
        CellSpec::File(dir.path().join("absent/root.cell")).open(dir.path(), Accepted::default()).err().unwrap();
    assert!(nowhere.to_string().contains("absent/root.cell cannot be opened"), "{nowhere}");
}

#[test]
fn a_new_vault_does_not_take_the_cell_of_another_one_that_lies_elsewhere() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = Options { cell: CellSpec::File(one.path().join("elsewhere.cell")), ..Options::default() };
    let vault = KeyTree::open(one.path(), &options).unwrap();
    let value = sealed(&vault, 1).remove(0);
    drop(vault);
    let refused = KeyTree::open(two.path(), &options).err().unwrap().to_string();
    assert!(refused.contains("a cell of its own"), "{refused}");
    assert!(opens(&KeyTree::open(one.path(), &options).unwrap(), &value));
}

#[test]
fn a_vault_says_so_when_its_root_is_in_another_cell_and_loses_nothing() {
    let (dir, vault) = super::fresh();
    let value = sealed(&vault, 1).remove(0);
    drop(vault);
    let options = Options { cell: CellSpec::File(dir.path().join("other.cell")), ..Options::default() };
    let Some(Error::Damaged(refused)) = KeyTree::open(dir.path(), &options).err() else { panic!("it opened") };
    assert!(refused.contains("other.cell") && refused.contains("another root cell"), "{refused}");
    assert!(opens(&super::open_in(dir.path()).unwrap(), &value));
}

/// Runs a step that is cut short between the two cells of a split one, as by a crash.
fn cut_between(dir: &std::path::Path, step: impl FnOnce(&dyn RootCell)) {
    step(LocalCell::open(&dir.join("root.cell"), false).map(Box::new).unwrap().as_ref());
}

#[test]
fn a_share_says_nothing_about_the_root_and_is_new_with_every_generation() {
    let (dir, vault) = fresh_as(SPLIT);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let root = vault.inner.cell.root(vault.inner.vault, vault.generation(), NOTHING).unwrap().unwrap();
        assert!(!holds(dir.path(), &root), "no part of the root is in either file");
        assert!(seen.insert(*root));
        vault.rotate().unwrap();
        assert!(roots_in(dir.path()).into_iter().all(|share| seen.insert(share)), "shares come once");
    }
}

#[test]
fn destroying_one_share_makes_every_generation_unreadable() {
    for lost in ["root.cell", "second.cell"] {
        let (dir, vault) = fresh_as(SPLIT);
        let value = sealed(&vault, 1).remove(0);
        // A rotation in its middle: both generations are in both cells.
        let id = vault.inner.vault;
        vault.inner.cell.put(id, 2, &Root::new([7; 32])).unwrap();
        assert!(
            (1..=2).all(|generation| vault.inner.cell.root(id, generation, NOTHING).unwrap().is_some()),
            "the control"
        );
        assert!(opens(&vault, &value));
        drop(vault);
        std::fs::write(dir.path().join(lost), [0; 8_192]).unwrap();
        let cell = SPLIT(dir.path()).cell.open(dir.path(), Accepted::default()).unwrap();
        assert!((1..=2).all(|generation| cell.root(id, generation, NOTHING).unwrap().is_none()), "without {lost}");
        drop(cell);
        let Some(Error::Damaged(said)) = open_as(SPLIT, dir.path()).err() else { panic!("opened without {lost}") };
        assert!(said.contains("split over two"), "{said}");
    }
}

#[test]
fn a_rotation_cut_short_between_two_cells_is_whole_or_not_begun() {
    let (dir, vault) = fresh_as(SPLIT);
    let values = sealed(&vault, 3);
    let id = vault.inner.vault;
    drop(vault);
    // The next generation in one cell only: it was not begun.
    cut_between(dir.path(), |first| drop(first.put(id, 2, &Root::new([7; 32])).unwrap()));
    let cell = SPLIT(dir.path()).cell.open(dir.path(), Accepted::default()).unwrap();
    let destroys = Arc::new(AtomicBool::new(true));
    let failing = Failing { cell, destroys: destroys.clone(), answers: Arc::new(AtomicBool::new(true)) };
    let vault = super::over(dir.path(), Box::new(failing), Taken::Refuse).unwrap();
    assert!(values.iter().all(|value| opens(&vault, value)));
    let old = roots_in(dir.path());
    destroys.store(false, Ordering::SeqCst);
    assert!(vault.destroy(&[keys_to_destroy(values[0].0.subject, &Class::ALL)]).is_err());
    drop(vault);
    // The old generation destroyed in one cell only: it is done.
    cut_between(dir.path(), |first| first.keep_only(id, 2, NOTHING).unwrap());
    assert!(old.iter().any(|share| holds(dir.path(), share)), "the control: the other share is still there");
    let vault = open_as(SPLIT, dir.path()).unwrap();
    assert_eq!(values.iter().filter(|value| opens(&vault, value)).count(), 2);
    assert!(!old.iter().any(|share| holds(dir.path(), share)), "only the shares of today are left, and noise");
}

#[test]
fn a_creation_cut_short_anywhere_is_taken_up_again() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let cell = kind(dir.path()).cell.open(dir.path(), Accepted::default()).unwrap();
        let silent = Failing { cell, destroys: Arc::default(), answers: Arc::default() };
        assert!(super::over(dir.path(), Box::new(silent), Taken::Refuse).is_err(), "before its root");
        let cell = kind(dir.path()).cell.open(dir.path(), Accepted::default()).unwrap();
        let failing = Failing { cell, destroys: Arc::default(), answers: Arc::new(AtomicBool::new(true)) };
        assert!(super::over(dir.path(), Box::new(failing), Taken::Refuse).is_err(), "behind its root");
        let vault = open_as(kind, dir.path()).unwrap();
        let value = sealed(&vault, 1).remove(0);
        drop(vault);
        assert!(opens(&open_as(kind, dir.path()).unwrap(), &value));
    }
}

#[test]
fn two_shares_need_two_files_and_a_share_is_no_root() {
    let dir = tempfile::tempdir().unwrap();
    let twice = CellSpec::Split(Box::new(CellSpec::Local), Box::new(CellSpec::File(dir.path().join("root.cell"))));
    let refused = twice.open(dir.path(), Accepted::default()).err().unwrap().to_string();
    assert!(refused.contains("in use"), "{refused}");
    let vault = open_as(SPLIT, dir.path()).unwrap();
    let value = sealed(&vault, 1).remove(0);
    drop(vault);
    let Some(Error::Damaged(said)) = super::open_in(dir.path()).err() else { panic!("a share opened the vault") };
    assert!(said.contains("another root cell"), "{said}");
    let vault = open_as(SPLIT, dir.path()).unwrap();
    assert!(opens(&vault, &value));
    assert_eq!((vault.finality(), vault.finality().class().letter()), (Finality::LocalFile, "C"));
}
