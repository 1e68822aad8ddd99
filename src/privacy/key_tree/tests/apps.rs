//! Keys and secrets of the apps.

use super::{Error, KeyTree, SecretId, Vault, app, destroy_all, fresh, open_in, sealed};

fn secrets(vault: &KeyTree) -> Vec<(u32, String)> {
    vault.secrets(&app()).unwrap().into_iter().map(|(id, secret)| (id.0, secret.to_string())).collect()
}

#[test]
fn two_secrets_overlap_until_the_old_one_is_dropped_with_its_tokens() {
    let (dir, vault) = fresh();
    vault.put_secret(&app(), SecretId(1), "first").unwrap();
    let mac = vault.token_mac(&app(), SecretId(1), b"token").unwrap();
    vault.put_secret(&app(), SecretId(2), "second").unwrap();
    assert_eq!(secrets(&vault), [(1, "first".into()), (2, "second".into())]);
    assert_eq!(vault.token_mac(&app(), SecretId(1), b"token").unwrap(), mac);
    let other = vault.token_mac(&app(), SecretId(2), b"token").unwrap();
    assert_ne!(other, mac);
    assert!(vault.put_secret(&app(), SecretId(2), "again").is_err(), "a number is given once");

    vault.drop_secret(&app(), SecretId(1)).unwrap();
    vault.drop_secret(&app(), SecretId(1)).unwrap();
    let check = |vault: &KeyTree| {
        assert_eq!(secrets(vault), [(2, "second".to_owned())]);
        assert!(matches!(vault.token_mac(&app(), SecretId(1), b"token"), Err(Error::Erased)));
        assert_eq!(vault.token_mac(&app(), SecretId(2), b"token").unwrap(), other);
    };
    check(&vault);
    drop(vault);
    check(&open_in(dir.path()).unwrap());
}

#[test]
fn an_app_has_its_own_tags_and_fingerprints_for_as_long_as_it_lives() {
    let (dir, vault) = fresh();
    let other = "app-other".parse().unwrap();
    let of = |vault: &KeyTree| (vault.tag(&app(), "ada").unwrap(), vault.fingerprint(&app(), &[b"a", b"b"]).unwrap());
    let before = of(&vault);
    assert_ne!(vault.tag(&other, "ada").unwrap(), before.0);
    assert_ne!(vault.tag(&app(), "Ada").unwrap(), before.0);
    assert_ne!(vault.fingerprint(&other, &[b"a", b"b"]).unwrap(), before.1);
    assert_ne!(vault.fingerprint(&app(), &[b"ab"]).unwrap(), before.1, "where a part ends counts");
    vault.rotate().unwrap();
    vault.put_secret(&app(), SecretId(1), "first").unwrap();
    vault.drop_secret(&app(), SecretId(1)).unwrap();
    let value = sealed(&vault, 1).remove(0);
    destroy_all(&vault, &[&value]);
    assert_eq!(of(&vault), before);
    drop(vault);
    assert_eq!(of(&open_in(dir.path()).unwrap()), before);
}

#[test]
fn a_dropped_secret_is_not_used_by_callers_that_were_busy_meanwhile() {
    let (_dir, vault) = fresh();
    for round in 1..20 {
        vault.put_secret(&app(), SecretId(round), "secret").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..50).for_each(|_| drop(vault.token_mac(&app(), SecretId(round), b"token"))));
            }
            vault.drop_secret(&app(), SecretId(round)).unwrap();
        });
        assert!(matches!(vault.token_mac(&app(), SecretId(round), b"token"), Err(Error::Erased)), "round {round}");
        assert!(secrets(&vault).is_empty());
    }
}

#[test]
fn a_new_secret_is_found_by_everybody_once_it_is_put() {
    let (_dir, vault) = fresh();
    for round in 1..60 {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..50).for_each(|_| drop(vault.tag(&app(), "ada"))));
            }
            vault.put_secret(&app(), SecretId(round), "secret").unwrap();
        });
        assert!(vault.token_mac(&app(), SecretId(round), b"token").is_ok(), "round {round}");
    }
}

#[test]
fn a_secret_whose_dropping_was_cut_short_is_whole_or_gone_and_can_be_dropped_again() {
    for (step, reopen) in [(1, false), (1, true), (2, false), (2, true)] {
        let (dir, mut vault) = fresh();
        vault.put_secret(&app(), SecretId(1), "first").unwrap();
        vault.put_secret(&app(), SecretId(2), "second").unwrap();
        let value = sealed(&vault, 1).remove(0);
        assert!(vault.drop_secret_until(&app(), SecretId(1), Some(step)).is_err());
        if reopen {
            drop(vault);
            vault = open_in(dir.path()).unwrap();
        }
        let kept = vault.token_mac(&app(), SecretId(1), b"token").is_ok();
        assert_eq!(kept, step == 1, "step {step}, opened again: {reopen}");
        vault.drop_secret(&app(), SecretId(1)).unwrap();
        assert!(matches!(vault.token_mac(&app(), SecretId(1), b"token"), Err(Error::Erased)));
        assert_eq!(secrets(&vault), [(2, "second".to_owned())]);
        assert!(vault.inner.tree().generation > 1, "dropping a secret moves the root on");
        assert!(super::opens(&vault, &value));
    }
}
