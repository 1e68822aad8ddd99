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

/// The states of each kind as they are recorded: version, stream, the state without events, others. Whoever has to change
/// a line raises the version of that aggregate's snapshots in `states!`: an optional field that is missing in a recorded state
/// would be taken for one that has no value.
const SHAPES: [(u32, &str, &[&str]); 12] = [
    (
        1,
        "app-app",
        &[
            r#"{"registered":null,"secrets":[],"last_secret":0,"settings":{"reactivation_wait_seconds":3600,"token_lifetime_seconds":null,"friend_permission":"approval","erasure_grace_seconds":0,"erasures_per_minute_max":1000,"record_reads":false,"erasure_callback_url":null},"user_fields":[],"friend_fields":[],"api_keys":[],"last_api_key":0,"signature_window_seconds":0}"#,
        ],
    ),
    (1, "roster-app", &[r#"{"seated":[]}"#, r#"{"seated":["61646100-0000-0000-0000-000000000000"]}"#]),
    (
        1,
        "user-61646100-0000-0000-0000-000000000000",
        &[
            r#"{"status":"Unknown","epoch":0,"permission":null,"held":false,"was_named":false,"muted":false,"quiet":false,"tagged":false}"#,
            r#"{"status":{"Deactivated":{"at":"2027-01-15T08:00:00Z"}},"epoch":1,"permission":"anyone","held":true,"was_named":true,"muted":true,"quiet":true,"tagged":true}"#,
        ],
    ),
    (
        1,
        "token-61646100-0000-0000-0000-000000000000",
        &[r#"{"invalid_before":null}"#, r#"{"invalid_before":"2027-01-15T08:00:00.123Z"}"#],
    ),
    (1, "ban-61646100-0000-0000-0000-000000000000", &[r#"{"until":null}"#, r#"{"until":"2027-01-15T08:00:00Z"}"#]),
    (1, "blocklist-61646100-0000-0000-0000-000000000000", &[r#"{"blocked":[]}"#]),
    (1, "allowlist-61646100-0000-0000-0000-000000000000", &[r#"{"allowed":[],"enabled":false}"#]),
    (
        1,
        "friendship-61646100-0000-0000-0000-000000000000.626f6200-0000-0000-0000-000000000000",
        &[
            r#""Strangers""#,
            r#"{"Requested":{"from":"61646100-0000-0000-0000-000000000000","expires_at":"2027-01-15T08:00:00Z"}}"#,
            r#""Friends""#,
        ],
    ),
    (1, "remarks-61646100-0000-0000-0000-000000000000", &[r#"{"targets":[]}"#]),
    (1, "erasure-00000000-0000-0000-0000-000000000000", &[r#"{"progress":"Unknown","reports":0,"notified":false}"#]),
    (1, "access-61646100-0000-0000-0000-000000000000", &["null"]),
    (
        1,
        "data_request-00000000-0000-0000-0000-000000000000",
        &[r#""Unknown""#, r#"{"Open":{"due_at":"2027-01-15T08:00:00Z","extended":true}}"#, r#""Closed""#],
    ),
];

#[test]
fn the_shape_of_a_state_is_that_of_the_version_of_its_snapshots() {
    for (stream, (version, name, texts)) in streams().into_iter().zip(SHAPES) {
        assert_eq!(stream.to_string(), name);
        let empty = State::of(&stream).snapshot().unwrap();
        assert_eq!((empty.version, empty.state.get()), (version, texts[0]), "{name}");
        for text in texts {
            let state = serde_json::value::RawValue::from_string((*text).to_owned()).unwrap();
            let restored = State::restore(&stream, &Snapshot { version, state }).expect(text);
            assert_eq!(restored.snapshot().unwrap().state.get(), *text, "{name}");
        }
    }
}
