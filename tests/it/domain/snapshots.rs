//! A state that is recorded is the same when it is read again, or is not used.

use rollcall::domain::Snapshot;

use super::declarations::{every_command, histories};
use super::*;

const UUID: &str = "61646100-0000-0000-0000-000000000000";
const PAIR: &str = "61646100-0000-0000-0000-000000000000.626f6200-0000-0000-0000-000000000000";

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident($id:ident): $module:ident),* $(,)?) => {
        const KINDS: &[&str] = &[$(stringify!($module)),*];
    };
}

rollcall_schemas::aggregates!(kinds);

/// A stream of every kind, by whichever id names one.
fn streams() -> Vec<Stream> {
    let named = |kind: &&str| ["app", UUID, PAIR].iter().find_map(|id| format!("{kind}-{id}").parse().ok());
    KINDS.iter().map(|kind| named(kind).unwrap_or_else(|| panic!("add an id that names a stream of {kind}"))).collect()
}

fn kind(stream: &Stream) -> String {
    stream.to_string().split('-').next().unwrap().to_owned()
}

#[test]
fn every_state_is_restored_from_its_snapshot() {
    let mut kinds = BTreeSet::new();
    for given in histories() {
        // What one more command makes of it, too: so there is a state of every kind that a command writes.
        let one_more = every_command(&given).into_iter().map(|(_, command)| {
            let mut given = given.clone();
            let _ = given.when(command.as_ref());
            given
        });
        for given in one_more {
            for (stream, state) in &given.states {
                let recorded = serde_json::to_vec(&state.snapshot().unwrap()).unwrap();
                let read: Snapshot = serde_json::from_slice(&recorded).unwrap();
                assert_eq!(State::restore(stream, &read).as_ref(), Some(state), "{stream}");
                kinds.insert(kind(stream));
            }
        }
    }
    assert_eq!(kinds, streams().iter().map(kind).collect());
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

/// Whether a state is restored from this text and recorded as the same text again.
fn is_kept(stream: &Stream, version: u32, text: &str) -> bool {
    let state = serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
    let restored = State::restore(stream, &Snapshot { version, state });
    restored.is_some_and(|state| state.snapshot().unwrap().state.get() == text)
}

/// The lines of `snapshots.txt` that stay and those that are missing, in the order of the kinds.
///
/// Panics where a state has another shape under the same version: an optional field that is missing in a recorded state
/// would be taken for one that has no value.
fn shapes(written: &str) -> (String, Vec<String>) {
    let (mut lines, mut missing) = (String::new(), vec![]);
    lines.extend(written.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")));
    for stream in streams() {
        let empty = State::of(&stream).snapshot().unwrap();
        let (start, empty_state) = (format!("v{} {stream} ", empty.version), empty.state.get());
        let states: Vec<_> = written.lines().filter_map(|line| line.strip_prefix(&start)).collect();
        for state in &states {
            assert!(
                is_kept(&stream, empty.version, state),
                "the state of {} has another shape: raise its `Recorded::VERSION`, and run the test with \
                 WRITE_SNAPSHOTS=1\n{start}{state}\n{start}{empty_state}",
                kind(&stream)
            );
        }
        if !states.contains(&empty_state) {
            missing.push(format!("{start}{empty_state}"));
            lines += &format!("{start}{empty_state}\n");
        }
        lines.extend(states.iter().map(|state| format!("{start}{state}\n")));
    }
    (lines, missing)
}

#[test]
fn the_shape_of_a_state_is_that_of_the_version_of_its_snapshots() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/domain/snapshots.txt");
    let written = std::fs::read_to_string(path).unwrap();
    let (lines, missing) = shapes(&written);
    if std::env::var_os("WRITE_SNAPSHOTS").is_some() {
        std::fs::write(path, lines).unwrap();
        return;
    }
    assert!(missing.is_empty(), "run the test with WRITE_SNAPSHOTS=1 to add to {path}:\n{}", missing.join("\n"));
    assert_eq!(written, lines, "a line is of no kind or of another version: run the test with WRITE_SNAPSHOTS=1");
}

#[test]
fn a_kind_that_is_new_is_written_and_one_that_is_written_stays() {
    let written = include_str!("snapshots.txt");
    let token = format!("v2 token-{UUID} {{\"invalid_before\":null,\"revoked\":{{}}}}\n");
    let (lines, missing) = shapes(&written.replace(&token, ""));
    assert_eq!((lines.as_str(), missing), (written, vec![token.trim_end().to_owned()]));
}

#[test]
#[should_panic(expected = "the state of token has another shape: raise its `Recorded::VERSION`")]
fn another_shape_under_the_same_version_is_never_written() {
    shapes(&format!("v2 token-{UUID} {{\"invalid_before\":null,\"removed\":1}}\n"));
}
