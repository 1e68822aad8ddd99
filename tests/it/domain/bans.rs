//! A user has one ban at most: it runs, or is to begin later.

use rollcall::domain::ban::{Expire, Length, Span, Term};
use rollcall::domain::values::{Note, Reason};

use super::*;

const NOTHING: [&str; 0] = [];

/// A ban of Ada that begins so many minutes from now and lasts so long.
fn scheduled(given: &Given, begins: i64, length: Length) -> Ban<Person> {
    let starts_at = Some(given.now + Duration::minutes(begins));
    Ban { term: Term { starts_at, length }, ..ban(&["ada"], 5) }
}

fn minutes(number: i64) -> Length {
    Length::Minutes(BanMinutes::new(number).unwrap())
}

fn permanent() -> Ban<Person> {
    Ban { term: Term { starts_at: None, length: Length::Permanent }, ..ban(&["ada"], 5) }
}

#[test]
fn a_scheduled_ban_begins_and_ends_by_the_clock_and_both_are_recorded_once() {
    let mut given = Given::users(&["ada"]);
    assert_eq!(given.when(&scheduled(&given, 5, minutes(10))).unwrap(), ["ban.scheduled"]);
    assert_eq!(given.when(&Expire(subject("ada"))).unwrap(), NOTHING);
    given.later(Duration::minutes(5));
    assert_eq!(given.when(&Expire(subject("ada"))).unwrap(), ["ban.started"]);
    assert_eq!(given.when(&Expire(subject("ada"))).unwrap(), NOTHING);
    given.later(Duration::minutes(10));
    assert_eq!(given.when(&Expire(subject("ada"))).unwrap(), ["ban.expired"]);
    assert_eq!(given.when(&Expire(subject("ada"))).unwrap(), NOTHING);
}

#[test]
fn a_scheduled_ban_whose_whole_time_passed_unseen_is_recorded_as_begun_and_ended() {
    let mut given = Given::users(&["ada"]);
    given.when(&scheduled(&given, 5, minutes(10))).unwrap();
    given.later(Duration::minutes(60));
    assert_eq!(given.when(&lift("ada")).unwrap(), ["ban.started", "ban.expired"]);
}

#[test]
fn a_scheduled_ban_is_called_off_only_by_who_knows_of_it() {
    let mut given = Given::users(&["ada"]);
    given.when(&scheduled(&given, 5, Length::Permanent)).unwrap();
    let unknowing = Lift { scheduled: false, ..lift("ada") };
    assert_eq!(given.when(&unknowing).unwrap(), NOTHING);
    assert_eq!(given.when(&lift("ada")).unwrap(), ["ban.cancelled"]);
    assert_eq!(given.when(&lift("ada")).unwrap(), NOTHING);
    given.when(&scheduled(&given, 5, Length::Permanent)).unwrap();
    given.later(Duration::minutes(5));
    assert_eq!(given.when(&unknowing).unwrap(), ["ban.started", "ban.lifted"], "it runs, whoever recorded that");
}

#[test]
fn a_ban_from_now_on_takes_the_place_of_a_scheduled_one_and_not_the_other_way_round() {
    let mut given = Given::users(&["ada"]);
    given.when(&scheduled(&given, 5, minutes(5))).unwrap();
    assert_eq!(given.when(&scheduled(&given, 9, minutes(5))).unwrap(), ["ban.scheduled"]);
    assert_eq!(given.when(&ban(&["ada"], 60)).unwrap(), ["ban.imposed"]);
    assert_eq!(given.when(&scheduled(&given, 5, minutes(5))), Err(Refusal::BanRuns));
    let passed = scheduled(&given, -5, minutes(5));
    assert_eq!(given.when(&passed).unwrap(), ["ban.replaced"], "a start that has passed is now");
}

#[test]
fn a_ban_that_ends_before_it_begins_is_refused() {
    let mut given = Given::users(&["ada"]);
    let until = |minutes| Length::Until(given.now + Duration::minutes(minutes));
    for (begins, length) in [(0, until(0)), (0, until(-1)), (5, until(5)), (5, until(4))] {
        let refused = scheduled(&given, begins, length);
        assert_eq!(given.clone().when(&refused), Err(Refusal::BanEndsTooEarly), "{refused:?}");
    }
    assert_eq!(given.when(&scheduled(&given, 5, until(6))).unwrap(), ["ban.scheduled"]);
}

#[test]
fn a_permanent_ban_ends_only_when_it_is_lifted() {
    let mut given = Given::users(&["ada"]);
    assert_eq!(given.when(&permanent()).unwrap(), ["ban.imposed"]);
    given.later(Duration::days(36_500));
    assert_eq!(given.when(&Expire(subject("ada"))).unwrap(), NOTHING);
    assert_eq!(given.when(&ban(&["ada"], 5)).unwrap(), ["ban.replaced"]);
    assert_eq!(given.when(&permanent()).unwrap(), ["ban.replaced"]);
    assert_eq!(given.when(&lift("ada")).unwrap(), ["ban.lifted"]);
}

#[test]
fn only_what_the_first_version_cannot_say_is_recorded_in_the_second_one() {
    let note = Some(Note::parse("third time").unwrap());
    let reason = Some(Reason::parse("spam").unwrap());
    let state = rollcall::domain::ban::State::default();
    let now = Given::users(&[]).now;
    for (ordered, version) in
        [(Ban { reason, ..ban(&["ada"], 5) }, 1), (Ban { note: note.clone(), ..ban(&["ada"], 5) }, 2), (permanent(), 2)]
    {
        let decided = rollcall::domain::ban::impose(&state, subject("ada"), &ordered, now).unwrap();
        assert_eq!(decided[0].declaration().version, version, "{ordered:?}");
    }
}

#[test]
fn a_ban_that_keeps_longer_ones_never_shortens_one() {
    let mut given = Given::users(&["ada"]);
    let keeping = |minutes| Ban { over: Over::Shorter, ..ban(&["ada"], minutes) };
    assert_eq!(given.when(&keeping(10)).unwrap(), ["ban.imposed"]);
    assert_eq!(given.when(&keeping(10)).unwrap(), NOTHING);
    assert_eq!(given.when(&keeping(9)).unwrap(), NOTHING);
    assert_eq!(given.when(&keeping(11)).unwrap(), ["ban.replaced"]);
    given.when(&permanent()).unwrap();
    assert_eq!(given.when(&keeping(43_200)).unwrap(), NOTHING);
    given.when(&lift("ada")).unwrap();
    assert_eq!(given.when(&keeping(1)).unwrap(), ["ban.imposed"]);
}

#[test]
fn a_ban_for_whoever_has_none_is_refused_where_one_runs_or_is_to_begin() {
    let mut given = Given::users(&["ada"]);
    let first = |minutes| Ban { over: Over::Nothing, ..ban(&["ada"], minutes) };
    assert_eq!(given.when(&first(10)).unwrap(), ["ban.imposed"]);
    assert_eq!(given.when(&first(20)), Err(Refusal::AlreadyBanned));
    given.when(&lift("ada")).unwrap();
    assert_eq!(given.when(&first(10)).unwrap(), ["ban.imposed"]);
    given.now += Duration::minutes(11);
    assert_eq!(given.when(&first(10)).unwrap(), ["ban.expired", "ban.imposed"], "that one is over");
}

#[test]
fn a_ban_that_was_changed_since_it_was_seen_is_neither_lifted_nor_replaced() {
    let mut given = Given::users(&["ada"]);
    given.when(&ban(&["ada"], 10)).unwrap();
    let seen = Span { starts_at: None, ends_at: Some(given.now + Duration::minutes(10)) };
    given.when(&ban(&["ada"], 11)).unwrap();
    let lift_only = Lift { only: Some(seen), ..lift("ada") };
    let ban_over = Ban { over: Over::This(seen), ..ban(&["ada"], 5) };
    assert_eq!(given.when(&lift_only), Err(Refusal::BanChanged));
    assert_eq!(given.when(&ban_over), Err(Refusal::BanChanged));
    given.when(&ban(&["ada"], 10)).unwrap();
    assert_eq!(given.when(&ban_over).unwrap(), ["ban.replaced"]);
    assert_eq!(given.when(&lift_only), Err(Refusal::BanChanged));
    given.when(&ban(&["ada"], 10)).unwrap();
    assert_eq!(given.when(&lift_only).unwrap(), ["ban.lifted"]);
}
