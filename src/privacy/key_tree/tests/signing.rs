//! Keys that sign: there is always one, two overlap, and a retired one signs no more.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::{KeyTree, fresh, open_in};
use crate::privacy::Vault;

/// The numbers of the keys that signed, each signature checked.
fn signed_by(vault: &KeyTree) -> Vec<u32> {
    let verified = |(signer, signature): (crate::privacy::Signer, [u8; 64])| {
        UnparsedPublicKey::new(&ED25519, signer.public).verify(b"message", &signature).unwrap();
        signer.id
    };
    vault.sign(b"message").into_iter().map(verified).collect()
}

#[test]
fn keys_overlap_until_the_old_one_is_retired_and_the_last_one_stays() {
    let (dir, vault) = fresh();
    assert_eq!(signed_by(&vault), [1]);
    assert!(!vault.retire_signer(1).unwrap(), "the last one stays");
    assert!(!vault.retire_signer(7).unwrap(), "there is no such key");
    let first = vault.signers()[0];
    let second = vault.add_signer().unwrap();
    assert_eq!((second.id, second.retired), (2, false));
    assert_eq!(signed_by(&vault), [1, 2]);
    vault.rotate().unwrap();
    assert_eq!(signed_by(&vault), [1, 2], "also once the keys they are wrapped under are new");
    assert!(vault.retire_signer(1).unwrap());
    assert!(vault.retire_signer(1).unwrap(), "twice is once");
    let check = |vault: &KeyTree| {
        assert_eq!(signed_by(vault), [2]);
        let known: Vec<_> = vault.signers().iter().map(|signer| (signer.public, signer.retired)).collect();
        assert_eq!(known, [(first.public, true), (second.public, false)], "what it signed can still be checked");
    };
    check(&vault);
    drop(vault);
    check(&open_in(dir.path()).unwrap());
}
