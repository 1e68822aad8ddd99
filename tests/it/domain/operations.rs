//! A bulk operation is dealt with once, and taken back once.

use rollcall::domain::ban::Length;
use rollcall::domain::operation::{BulkAct, Progress, Request, Undo};
use rollcall::domain::values::Reason;
use rollcall_schemas::ids::BatchId;

use super::*;

const NOTHING: [&str; 0] = [];

fn request(asked: BulkAct, user_ids: &[&str]) -> Request<Person> {
    Request { who: people(user_ids), asked, reason: None }
}

/// Permanent bans, and why.
pub(super) fn bans(user_ids: &[&str]) -> Request<Person> {
    let reason = Some(Reason::parse("spam").unwrap());
    Request { reason, ..request(BulkAct::Ban(Length::Permanent), user_ids) }
}

pub(super) fn unbans(user_ids: &[&str]) -> Request<Person> {
    request(BulkAct::Unban, user_ids)
}

impl Given {
    /// An operation that was requested, where there is one.
    pub(super) fn batch(&self) -> BatchId {
        let requested = self.states.keys().find_map(|stream| match stream {
            Stream::Operation(batch) => Some(*batch),
            _ => None,
        });
        requested.unwrap_or(BatchId(Uuid::from_u128(1)))
    }

    /// The next user was dealt with.
    pub(super) fn progress(&self, undoes: bool) -> Progress {
        progress(self, undoes, 0, &["ban"])
    }
}

fn progress(given: &Given, undoes: bool, from: u32, results: &[&str]) -> Progress {
    let results = results.iter().copied().map(str::to_owned).collect();
    Progress { batch: given.batch(), undoes, from, results }
}

#[test]
fn progress_is_recorded_once_and_in_order() {
    let mut given = Given::users(&["ada", "bob"]);
    let requested = ["operation.requested", "operation.reason_given", "operation.reason_given"];
    assert_eq!(given.when(&bans(&["ada", "bob"])).unwrap(), requested);
    for (from, results, recorded) in [
        (1, &["ban"][..], &NOTHING[..]),
        (0, &["ban"], &["operation.progressed"]),
        (0, &["ban"], &NOTHING),
        (1, &[], &NOTHING),
        (1, &["refused:deactivated"], &["operation.progressed"]),
        (2, &[], &NOTHING),
    ] {
        let progress = progress(&given, false, from, results);
        assert_eq!(given.when(&progress).unwrap(), recorded, "{progress:?}");
    }
}

#[test]
fn only_bans_that_are_all_dealt_with_are_taken_back_and_once() {
    let mut given = Given::users(&["ada"]);
    let unknown = Undo { batch: given.batch() };
    assert_eq!(given.clone().when(&unknown), Err(Refusal::NoSuchOperation));
    given.when(&bans(&["ada"])).unwrap();
    let undo = Undo { batch: given.batch() };
    assert_eq!(given.when(&undo), Err(Refusal::OperationRuns));
    given.when(&given.progress(false)).unwrap();
    assert_eq!(given.when(&progress(&given, true, 0, &["undone"])).unwrap(), NOTHING);
    assert_eq!(given.when(&undo).unwrap(), ["operation.undo_requested"]);
    assert_eq!(given.when(&undo).unwrap(), NOTHING);
    assert_eq!(given.when(&progress(&given, true, 0, &["undone"])).unwrap(), ["operation.undo_progressed"]);
    assert_eq!(given.when(&undo).unwrap(), NOTHING);
    let mut given = Given::users(&["ada"]);
    given.when(&unbans(&["ada"])).unwrap();
    assert_eq!(given.when(&Undo { batch: given.batch() }), Err(Refusal::OperationHasNoUndo));
}

#[test]
fn an_operation_is_about_those_who_are_known_and_keeps_no_reason_of_whoever_is_erased() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(&deactivate("ada")).unwrap();
    let recorded = given.when(&bans(&["ada", "bob", "new"])).unwrap();
    let [named, requested] = ["user.named", "operation.requested"];
    let reason = "operation.reason_given";
    assert_eq!(recorded, [named, requested, reason, reason], "one of Bob and one of the new one");
    let mut unknown = unbans(&["bob", "nobody"]);
    unknown.who[1].subject = None;
    assert_eq!(given.when(&unknown).unwrap(), ["operation.requested"]);
}
