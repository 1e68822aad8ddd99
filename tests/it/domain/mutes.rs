//! A user has one mute at most: until a time, or until it is unmuted.

use rollcall::domain::user::{ExpireMute, ImportMute, MuteEnd};
use rollcall::domain::values::MuteMinutes;

use super::*;

const NOTHING: [&str; 0] = [];
const MUTED: &str = "user.direct_messages_muted";
const UNMUTED: &str = "user.direct_messages_unmuted";
const EXPIRED: &str = "user.direct_messages_mute_expired";

fn for_minutes(minutes: i64) -> ChangeUsers<Person> {
    change("ada", Change::MuteDirectMessages(Some(MuteMinutes::new(minutes).unwrap())))
}

fn for_good() -> ChangeUsers<Person> {
    change("ada", Change::MuteDirectMessages(None))
}

fn unmute() -> ChangeUsers<Person> {
    change("ada", Change::UnmuteDirectMessages)
}

fn expire() -> ExpireMute {
    ExpireMute(subject("ada"))
}

#[test]
fn a_mute_for_some_minutes_ends_by_the_clock_and_that_is_recorded_once() {
    let mut given = Given::users(&["ada"]);
    assert_eq!(given.when(&for_minutes(5)).unwrap(), [MUTED]);
    given.later(Duration::minutes(5) - Duration::milliseconds(1));
    assert_eq!(given.when(&expire()).unwrap(), NOTHING);
    given.later(Duration::milliseconds(1));
    assert_eq!(given.when(&expire()).unwrap(), [EXPIRED]);
    assert_eq!(given.when(&expire()).unwrap(), NOTHING);
    assert_eq!(given.when(&unmute()).unwrap(), NOTHING);
}

#[test]
fn a_repeat_gives_the_mute_another_end_be_it_earlier_later_or_none() {
    let mut given = Given::users(&["ada"]);
    given.when(&for_minutes(5)).unwrap();
    assert_eq!(given.when(&for_minutes(60)).unwrap(), [MUTED]);
    given.later(Duration::minutes(5));
    assert_eq!(given.when(&expire()).unwrap(), NOTHING, "the first end does not count any more");
    assert_eq!(given.when(&for_minutes(1)).unwrap(), [MUTED]);
    given.later(Duration::minutes(1));
    assert_eq!(given.when(&expire()).unwrap(), [EXPIRED]);
    given.when(&for_minutes(5)).unwrap();
    assert_eq!(given.when(&for_good()).unwrap(), [MUTED]);
    assert_eq!(given.when(&for_good()).unwrap(), NOTHING, "twice is once");
    given.later(Duration::days(10_000));
    assert_eq!(given.when(&expire()).unwrap(), NOTHING);
    assert_eq!(given.when(&for_minutes(5)).unwrap(), [MUTED], "one that does not end gets an end");
    given.later(Duration::minutes(5));
    assert_eq!(given.when(&expire()).unwrap(), [EXPIRED]);
}

#[test]
fn an_end_that_nobody_has_recorded_is_recorded_with_what_is_done_next() {
    let mut given = Given::users(&["ada"]);
    given.when(&for_minutes(5)).unwrap();
    given.later(Duration::minutes(6));
    assert_eq!(given.when(&for_good()).unwrap(), [EXPIRED, MUTED]);
    assert_eq!(given.when(&unmute()).unwrap(), [UNMUTED]);
    given.when(&for_minutes(5)).unwrap();
    given.later(Duration::minutes(6));
    assert_eq!(given.when(&unmute()).unwrap(), [EXPIRED], "there was nothing left to lift");
    given.when(&for_minutes(5)).unwrap();
    assert_eq!(given.when(&unmute()).unwrap(), [UNMUTED]);
    given.later(Duration::minutes(6));
    assert_eq!(given.when(&expire()).unwrap(), NOTHING, "it was lifted before");
}

#[test]
fn a_clock_that_is_set_back_gives_no_mute_back_and_ends_none_twice() {
    let mut given = Given::users(&["ada"]);
    given.when(&for_minutes(5)).unwrap();
    given.later(Duration::days(365));
    assert_eq!(given.when(&expire()).unwrap(), [EXPIRED]);
    given.later(Duration::days(-365));
    assert_eq!(given.when(&expire()).unwrap(), NOTHING);
    assert_eq!(given.when(&unmute()).unwrap(), NOTHING);
    assert_eq!(given.when(&for_minutes(5)).unwrap(), [MUTED]);
}

#[test]
fn a_deactivation_ends_the_mute_and_its_end_is_recorded_of_nobody_who_is_gone() {
    for scope in [Scope::Deactivate, Scope::Forget] {
        let mut given = Given::users(&["ada"]);
        given.when(&for_minutes(5)).unwrap();
        given.when(&erase("ada", scope)).unwrap();
        given.later(Duration::minutes(6));
        assert_eq!(given.when(&expire()).unwrap(), NOTHING, "{scope:?}");
        assert_eq!(
            given.when(&unmute()),
            Err(match scope {
                Scope::Deactivate => Refusal::Deactivated,
                Scope::Forget => Refusal::NotRegistered,
            })
        );
    }
}

#[test]
fn a_mute_that_ends_while_the_erasure_of_its_user_waits_is_over_once_the_user_is_restored() {
    let mut given = Given::users(&["ada"]);
    let settings = Settings { erasure_grace_seconds: 3_600, ..Settings::default() };
    given.when(&app::Command::Configure(settings, None)).unwrap();
    given.when(&for_minutes(5)).unwrap();
    let restricted = given.when(&deactivate("ada")).unwrap();
    assert!(restricted.contains(&"user.restricted"), "{restricted:?}");
    given.later(Duration::minutes(6));
    assert_eq!(given.when(&expire()).unwrap(), [EXPIRED]);
    assert_eq!(given.when(&expire()).unwrap(), NOTHING);
}

proptest! {
    #[test]
    fn whatever_is_done_each_mute_has_one_end(steps in prop::collection::vec((0..5_u8, 1..9_i64), 1..60)) {
        let mut given = Given::users(&["ada"]);
        for (step, minutes) in steps {
            match step {
                0 => drop(given.when(&for_minutes(minutes)).unwrap()),
                1 => drop(given.when(&for_good()).unwrap()),
                2 => drop(given.when(&unmute()).unwrap()),
                3 => drop(given.when(&expire()).unwrap()),
                _ => given.later(Duration::minutes(minutes)),
            }
        }
        given.when(&unmute()).unwrap();
        // A repeat is no mute of its own: what follows an end, or comes first, begins one.
        let (mut begun, mut ended, mut runs) = (0, 0, false);
        for name in given.names.iter().map(String::as_str).filter(|name| name.contains("direct_messages")) {
            begun += usize::from(name == MUTED && !runs);
            ended += usize::from(name != MUTED);
            prop_assert!(name == MUTED || runs, "{name} of no mute: {:?}", given.names);
            runs = name == MUTED;
        }
        prop_assert_eq!(begun, ended);
    }
}

fn import(end: MuteEnd, updates: bool) -> ImportMute<Person> {
    ImportMute { who: person("ada"), end, updates }
}

#[test]
fn an_imported_mute_is_refused_where_one_runs_unless_it_is_to_get_this_end_and_one_that_is_over_is_nothing() {
    let mut given = Given::users(&["ada"]);
    let until = |given: &Given, minutes| MuteEnd::At(given.now + Duration::minutes(minutes));
    for over in [until(&given, 0), until(&given, -1)] {
        assert_eq!(given.when(&import(over, false)).unwrap(), NOTHING);
    }
    assert_eq!(given.when(&import(until(&given, 5), false)).unwrap(), [MUTED]);
    assert_eq!(given.when(&import(MuteEnd::Never, false)), Err(Refusal::AlreadyMuted));
    given.later(Duration::minutes(5));
    let five = MuteEnd::After(MuteMinutes::new(5).unwrap());
    assert_eq!(given.when(&import(five, false)).unwrap(), [EXPIRED, MUTED], "that one is over");
    assert_eq!(given.when(&import(MuteEnd::Never, true)).unwrap(), [MUTED]);
    assert_eq!(given.when(&import(MuteEnd::Never, true)).unwrap(), NOTHING, "it has this end already");
    given.later(Duration::days(10_000));
    assert_eq!(given.when(&expire()).unwrap(), NOTHING);
    given.when(&deactivate("ada")).unwrap();
    assert_eq!(given.when(&import(five, true)), Err(Refusal::Deactivated));
}
