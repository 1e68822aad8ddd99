//! A rotation that is cut short, at each of its steps.

use super::{
    Class, Error, KINDS, KeyTree, Vault, destroy_all, fresh, fresh_as, header, holds, keys_to_destroy, open_as,
    open_in, opens, profile, roots_in, sealed, sum,
};

#[test]
fn a_destruction_cut_short_is_whole_or_not_begun_and_can_be_repeated() {
    let cuts = [(1, false), (1, true), (2, false), (2, true)];
    for (kind, (step, reopen)) in KINDS.into_iter().flat_map(|kind| cuts.map(|cut| (kind, cut))) {
        let (dir, mut vault) = fresh_as(kind);
        let values = sealed(&vault, 10);
        let roots = roots_in(dir.path());
        assert!(roots.iter().all(|root| holds(dir.path(), root)), "the control: a root that lives is found");
        let cut = vault.destroy_until(&[keys_to_destroy(values[0].0.subject, &Class::ALL)], Some(step));
        assert!(matches!(cut, Err(Error::Unavailable(_))), "step {step}");
        if reopen {
            drop(vault);
            vault = open_as(kind, dir.path()).unwrap();
        }
        assert_eq!(opens(&vault, &values[0]), step == 1, "step {step}: after its commit it is destroyed");
        let kept = |root| holds(dir.path(), root) == (step == 1);
        assert!(roots.iter().all(kept), "the root is kept exactly while it is needed");
        assert!(values[1..].iter().all(|value| opens(&vault, value)), "step {step}");
        // Not only what stood before: new values can be sealed and keys be made.
        let later = sealed(&vault, 2);

        let done = destroy_all(&vault, &[&values[0]]);
        assert_eq!(sum(&done).0, if step == 1 { 4 } else { 0 });
        assert!(!opens(&vault, &values[0]));
        assert!(!roots.iter().any(|root| holds(dir.path(), root)));
        drop(vault);
        let vault = open_as(kind, dir.path()).unwrap();
        assert!(!opens(&vault, &values[0]));
        assert!(values[1..].iter().chain(&later).all(|value| opens(&vault, value)));
    }
}

#[test]
fn a_destruction_cut_short_many_times_still_ends() {
    for kind in KINDS {
        let (dir, mut vault) = fresh_as(kind);
        let values = sealed(&vault, 6);
        for (value, step) in values.iter().zip([1, 2, 1, 1, 2]) {
            let _ = vault.destroy_until(&[keys_to_destroy(value.0.subject, &Class::ALL)], Some(step));
            drop(vault);
            vault = open_as(kind, dir.path()).unwrap();
        }
        destroy_all(&vault, &values[..5].iter().collect::<Vec<_>>());
        let open: Vec<_> = values.iter().map(|value| opens(&vault, value)).collect();
        assert_eq!(open, [false, false, false, false, false, true]);
    }
}

#[test]
fn rotating_everything_keeps_every_value_and_kills_every_copy() {
    for kind in KINDS {
        let (dir, vault) = fresh_as(kind);
        let values = sealed(&vault, 30);
        destroy_all(&vault, &[&values[0]]);
        drop(vault);
        let kept = tempfile::tempdir().unwrap();
        super::copy(dir.path(), kept.path());
        let vault = open_as(kind, dir.path()).unwrap();
        let done = vault.rotate().unwrap();
        assert_eq!(done.generation_after, done.generation_before + 1);
        let check = |vault: &KeyTree| {
            assert!(!opens(vault, &values[0]));
            assert!(values[1..].iter().all(|value| opens(vault, value)));
        };
        check(&vault);
        drop(vault);
        check(&open_as(kind, dir.path()).unwrap());
        // One cell of today is enough to shut an old copy.
        std::fs::copy(dir.path().join("root.cell"), kept.path().join("root.cell")).unwrap();
        assert!(matches!(open_as(kind, kept.path()).err(), Some(Error::Damaged(_))));
    }
}

#[test]
fn new_keys_of_a_subject_do_not_bring_the_destroyed_ones_back() {
    let (dir, vault) = fresh();
    let old = sealed(&vault, 1).remove(0);
    let subject = old.0.subject;
    vault.destroy(&[keys_to_destroy(subject, &[Class::Profile, Class::Moderation])]).unwrap();
    assert_eq!(vault.epoch(subject).unwrap(), Some(0));
    vault.renew(subject, 1).unwrap();
    vault.renew(subject, 1).unwrap();
    assert_eq!(vault.epoch(subject).unwrap(), Some(1));
    let next = header(subject, Class::Profile, 1);
    let new = (next.clone(), vault.seal(&next, b"\"Ada\"").unwrap());
    let check = |vault: &KeyTree| {
        assert!(!opens(vault, &old), "the old epoch stays destroyed");
        assert!(opens(vault, &new));
        assert!(matches!(vault.seal(&profile(subject), b"1"), Err(Error::Erased)));
    };
    check(&vault);
    drop(vault);
    let vault = open_in(dir.path()).unwrap();
    check(&vault);
    // Of every epoch what is left: identity and hold of the first, all four of the second.
    assert_eq!(sum(&vault.destroy(&[keys_to_destroy(subject, &Class::ALL)]).unwrap()).0, 6);
    assert!(!opens(&vault, &new));
    assert!(matches!(vault.renew(subject, 1), Err(Error::Erased)), "a destroyed epoch is not made anew");
}
