//! The cell in HashiCorp Vault, against a double that keeps the state of a transit key and can fail, and against a real
//! server of the same API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::double::{TOKEN, Transit};
use super::openbao::{OpenBao, ROOT_TOKEN};
use super::{Error, KeyTree, Vault, destroy_all, opens, sealed};
use crate::privacy::Finality;
use crate::privacy::key_tree::root_cell::transit::{Server, TransitCell};
use crate::privacy::key_tree::root_cell::{Root, RootCell};
use crate::privacy::key_tree::store::Taken;

/// A double, and how it is spoken to.
fn double() -> (Transit, Server) {
    let transit = Transit::start();
    let server = Server { address: transit.address.clone(), token: TOKEN.into(), namespace: None };
    (transit, server)
}

fn open(server: &Server, key: &str, dir: &Path) -> Result<KeyTree, Error> {
    super::over(dir, Box::new(TransitCell::new(server.clone(), key)), Taken::Refuse)
}

/// What a vault over a transit cell must do, whoever plays Vault.
fn serves_a_vault(server: &Server, key: &str) {
    let dir = tempfile::tempdir().unwrap();
    let vault = open(server, key, dir.path()).unwrap();
    let values = sealed(&vault, 3);
    let copies: PathBuf = dir.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    for name in ["vault.db", "vault.db-wal"] {
        let _ = std::fs::copy(dir.path().join(name), copies.join(name));
    }
    let copy = open(server, key, &copies).unwrap();
    assert!(opens(&copy, &values[0]), "the control: a whole copy opens while its version lives");
    drop(copy);
    destroy_all(&vault, &[&values[0]]);
    vault.rotate().unwrap();
    assert_eq!(vault.finality(), Finality::Immediate);
    drop(vault);
    assert!(matches!(open(server, key, &copies).err(), Some(Error::Damaged(_))), "no copy opens");
    let vault = open(server, key, dir.path()).unwrap();
    assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]));
    let other = tempfile::tempdir().unwrap();
    let Some(Error::Damaged(refused)) = open(server, key, other.path()).err() else { panic!("two vaults, one key") };
    assert!(refused.contains("a cell of its own"), "{refused}");
}

#[test]
fn a_root_in_vault_dies_with_its_version_and_no_copy_brings_it_back() {
    let (transit, server) = double();
    serves_a_vault(&server, "rollcall");
    assert_eq!(transit.versions("rollcall").len(), 1, "older versions are trimmed");
}

#[test]
fn a_real_server_of_that_api_serves_a_vault_too() {
    let real = OpenBao::start();
    serves_a_vault(&Server { address: real.address.clone(), token: ROOT_TOKEN.into(), namespace: None }, "rollcall");
}

#[test]
fn a_rotation_that_vault_cuts_short_anywhere_is_whole_or_not_begun() {
    for part in ["rotate", "encrypt", "config", "trim"] {
        let (transit, server) = double();
        let dir = tempfile::tempdir().unwrap();
        let vault = open(&server, "rollcall", dir.path()).unwrap();
        let values = sealed(&vault, 2);
        // Where a key cannot be rotated it is tried to create it.
        transit.fail(if part == "rotate" { &["keys/rollcall"] } else { std::slice::from_ref(&part) });
        let refused = vault.destroy(&[super::keys_to_destroy(values[0].0.subject, &super::Class::ALL)]);
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{part}");
        assert!(opens(&vault, &values[1]), "{part}: what is open stays open");
        transit.fail(&[]);
        drop(vault);
        let vault = open(&server, "rollcall", dir.path()).unwrap();
        destroy_all(&vault, &[&values[0]]);
        assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]), "{part}");
        let versions = transit.versions("rollcall");
        assert_eq!(versions.first(), Some(&needed_version(dir.path())), "{part}: nothing older is left in Vault");
    }
}

/// The version that the vault's file names.
fn needed_version(dir: &Path) -> u64 {
    let database = rusqlite::Connection::open(dir.join("vault.db")).unwrap();
    let kept: Vec<u8> = database.query_row("select kept from vault", [], |row| row.get(0)).unwrap();
    String::from_utf8(kept).unwrap().split(':').nth(1).unwrap()[1..].parse().unwrap()
}

#[test]
fn without_vault_or_with_a_wrong_token_nothing_opens_and_nothing_is_lost() {
    let (_transit, server) = double();
    let dir = tempfile::tempdir().unwrap();
    let value = sealed(&open(&server, "rollcall", dir.path()).unwrap(), 1).remove(0);
    let nowhere = Server { address: "http://127.0.0.1:9".into(), ..server.clone() };
    let wrong = Server { token: "another".into(), ..server.clone() };
    for server in [&nowhere, &wrong] {
        let Some(Error::Unavailable(said)) = open(server, "rollcall", dir.path()).err() else { panic!("it opened") };
        assert!(said.contains("Vault") && !said.contains("another"), "{said}");
    }
    assert!(opens(&open(&server, "rollcall", dir.path()).unwrap(), &value));
}

#[test]
fn a_ciphertext_is_bound_to_its_vault_and_generation() {
    let (_transit, server) = double();
    let cell = TransitCell::new(server, "rollcall");
    assert!(cell.is_empty().unwrap());
    let kept = cell.put([1; 16], 7, &Root::new([9; 32])).unwrap();
    assert_eq!(cell.root([1; 16], 7, &kept).unwrap().map(|root| *root), Some([9; 32]));
    assert!(cell.root([1; 16], 8, &kept).unwrap().is_none() && cell.root([2; 16], 7, &kept).unwrap().is_none());
    assert!(cell.root([1; 16], 7, b"vault:v").unwrap().is_none());
    let next = cell.put([1; 16], 8, &Root::new([8; 32])).unwrap();
    cell.keep_only([1; 16], 8, &next).unwrap();
    assert!(cell.root([1; 16], 7, &kept).unwrap().is_none());
    assert!(cell.root([1; 16], 8, &next).unwrap().is_some() && !cell.is_empty().unwrap());
}

#[test]
fn whatever_is_asked_of_a_vault_that_says_nothing_ends() {
    let (transit, server) = double();
    let (vault, root) = ([1; 16], Root::new([9; 32]));
    let cell = TransitCell::new(server, "rollcall").waiting(Duration::from_millis(200));
    let kept = cell.put(vault, 7, &root).unwrap();
    transit.fall_silent("");
    for (asked, answered) in [
        ("reach", cell.reach()),
        ("root", cell.root(vault, 7, &kept).map(drop)),
        ("put", cell.put(vault, 8, &root).map(drop)),
        ("keep_only", cell.keep_only(vault, 7, &kept)),
        ("wipe", cell.wipe()),
        ("is_empty", cell.is_empty().map(drop)),
    ] {
        let Err(Error::Unavailable(said)) = answered else { panic!("{asked}: {answered:?}") };
        assert!(said.contains("did not answer within 200ms"), "{asked}: {said}");
    }
    transit.speak();
    assert!(cell.reach().is_ok() && cell.root(vault, 7, &kept).unwrap().is_some());
}

#[test]
fn while_a_destruction_waits_for_a_vault_that_says_nothing_new_subjects_are_made() {
    let (transit, server) = double();
    let dir = tempfile::tempdir().unwrap();
    // Longer than anybody waits for a new subject.
    let cell = TransitCell::new(server, "rollcall").waiting(Duration::from_secs(60));
    let vault = super::over(dir.path(), Box::new(cell), Taken::Refuse).unwrap();
    let values = sealed(&vault, 2);
    transit.fall_silent("");
    std::thread::scope(|scope| {
        scope.spawn(|| vault.destroy(&[super::keys_to_destroy(values[0].0.subject, &super::Class::ALL)]));
        while transit.unanswered() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // More than were made ahead.
        let later = sealed(&vault, 2_000);
        assert!(values.iter().chain(&later).all(|value| opens(&vault, value)));
        transit.speak();
    });
    destroy_all(&vault, &[&values[0]]);
    assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]));
}
