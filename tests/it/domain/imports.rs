//! What became of the records of an import is recorded once, in their order.

use rollcall::domain::import::{Begin, Progress};
use rollcall_schemas::ids::ImportId;
use rollcall_schemas::import::{Kind, OnConflict};

use super::*;

pub(super) fn begin() -> Begin {
    Begin { kind: Kind::Users, on_conflict: OnConflict::Skip, length: Some(100) }
}

/// Three more records were dealt with, one of which was refused.
pub(super) fn progress(given: &Given, from: u64, ends: bool) -> Progress {
    let begun = given.states.keys().find_map(|stream| match stream {
        Stream::Import(import) => Some(*import),
        _ => None,
    });
    let import = begun.unwrap_or(ImportId(Uuid::from_u128(1)));
    let refused = vec![(from + 2, "refused:invalid-value".into())];
    Progress { import, from, done: 1, skipped: 1, refused, bytes: 50, ends }
}

#[test]
fn of_two_that_send_the_same_records_the_slower_one_is_refused() {
    let mut given = Given::users(&[]);
    assert_eq!(given.when(&begin()).unwrap(), ["import.begun"]);
    assert_eq!(given.clone().when(&progress(&given, 3, false)), Err(Refusal::ImportMovedOn));
    assert_eq!(given.when(&progress(&given, 0, false)).unwrap(), ["import.progressed"]);
    assert_eq!(given.clone().when(&progress(&given, 0, false)), Err(Refusal::ImportMovedOn));
    assert_eq!(given.when(&progress(&given, 3, true)).unwrap(), ["import.progressed", "import.ended"]);
    assert_eq!(given.clone().when(&progress(&given, 6, false)), Err(Refusal::ImportMovedOn));
}

#[test]
fn the_last_records_may_be_none_and_an_unknown_import_makes_no_progress() {
    let mut given = Given::users(&[]);
    assert_eq!(given.clone().when(&progress(&given, 0, false)), Err(Refusal::NoSuchOperation));
    given.when(&begin()).unwrap();
    let none = Progress { done: 0, skipped: 0, refused: vec![], ..progress(&given, 0, true) };
    assert_eq!(given.when(&none).unwrap(), ["import.ended"]);
}

#[test]
fn the_first_version_of_an_import_is_recorded_wherever_it_has_a_word_for_what_it_is_about() {
    for kind in Kind::ALL {
        let expected = if matches!(kind, Kind::FriendGroups | Kind::Allows | Kind::Mutes) { 2 } else { 1 };
        assert_eq!(Given::users(&[]).versions(&Begin { kind, ..begin() }), [expected], "{kind}");
    }
}
