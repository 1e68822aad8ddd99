//! A vault that is moved.

use super::{
    Class, Error, KeyTree, LOCAL, Options, SPLIT, SecretId, Vault, app, copy, destroy_all, keys_to_destroy, opens,
    sealed,
};
use crate::privacy::Witnessed;

#[test]
fn a_vault_that_was_moved_is_the_same_and_what_is_left_behind_opens_nothing() {
    let (here, there, copies) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vault = KeyTree::open(here.path(), &LOCAL(here.path())).unwrap();
    let values = sealed(&vault, 700);
    let erased = destroy_all(&vault, &[&values[0]]);
    vault.renew(values[1].0.subject, 1).unwrap();
    vault.put_secret(&app(), SecretId(1), "secret").unwrap();
    vault.add_signer().unwrap();
    vault.retire_signer(1).unwrap();
    vault.witness(Witnessed { size: 7, root: [7; 32] }).unwrap();
    let known = |vault: &KeyTree| {
        let tokens = vault.token_mac(&app(), SecretId(1), b"token").unwrap();
        let ledger: Vec<_> = vault.destructions(0, 10).unwrap().into_iter().map(|(_, done)| done).collect();
        (vault.id(), vault.signers(), vault.tag(&app(), "ada").unwrap(), tokens, ledger, vault.witnessed().unwrap())
    };
    let before = known(&vault);
    copy(here.path(), copies.path());
    let moved = vault.move_to(there.path(), &SPLIT(there.path())).unwrap();
    assert!(known(&moved) == before && before.4 == erased);
    assert!(!opens(&moved, &values[0]) && values[1..].iter().all(|value| opens(&moved, value)));
    assert_eq!(moved.epoch(values[1].0.subject).unwrap(), Some(1));
    assert_eq!(moved.destroy(&[keys_to_destroy(values[2].0.subject, &Class::ALL)]).unwrap()[0].keys.len(), 4);
    assert!(matches!(KeyTree::open(here.path(), &LOCAL(here.path())), Err(Error::Damaged(_))), "it is moved for good");
    // Whoever kept a copy of the old root as well has what was there up to then, as of any copy; nothing else.
    let kept = KeyTree::open(copies.path(), &LOCAL(copies.path())).unwrap();
    let later = sealed(&moved, 1).remove(0);
    assert!(opens(&kept, &values[1]) && !opens(&kept, &later));
}

#[test]
fn a_vault_is_never_moved_onto_another_one_nor_used_where_it_is_half_moved() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vault = KeyTree::open(here.path(), &LOCAL(here.path())).unwrap();
    let value = sealed(&vault, 1).remove(0);
    let other = KeyTree::open(there.path(), &LOCAL(there.path())).unwrap();
    let kept = sealed(&other, 1).remove(0);
    drop(other);
    let Err(Error::Damaged(refused)) = vault.move_to(there.path(), &LOCAL(there.path())) else { panic!("moved") };
    assert!(refused.contains("already"), "{refused}");
    assert!(opens(&KeyTree::open(there.path(), &LOCAL(there.path())).unwrap(), &kept));

    // Cut short before its end: what came after the place was taken is not there.
    let half = tempfile::tempdir().unwrap();
    let vault = KeyTree::open(here.path(), &LOCAL(here.path())).unwrap();
    let mut tables = super::super::db::file(&half.path().join("vault.db")).unwrap();
    let cell =
        super::CellSpec::Local.open(half.path(), crate::privacy::key_tree::root_cell::Accepted::default()).unwrap();
    assert!(super::super::store::begin_move(tables.as_mut(), cell.as_ref(), vault.id(), vault.generation()).unwrap());
    drop((tables, cell));
    let options: Options = LOCAL(half.path());
    let Err(Error::Damaged(refused)) = KeyTree::open(half.path(), &options) else { panic!("opened half of a vault") };
    assert!(refused.contains("being moved"), "{refused}");
    let moved = vault.move_to(half.path(), &options).unwrap();
    assert!(opens(&moved, &value));
}
