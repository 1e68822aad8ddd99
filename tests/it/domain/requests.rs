//! A friend request has one end, whatever both sides do.

use rollcall::domain::FriendRequest;
use rollcall::domain::friendship::{self, Answer, AnswerRequest, ExpireRequest};
use rollcall_schemas::ids::{FriendRequestId, Pair};
use rollcall_schemas::plain::{EndCause, RequestState};

use super::*;

const ADA_AND_BOB: [&str; 2] = ["ada", "bob"];
const NOTHING: [&str; 0] = [];

fn pair() -> Stream {
    Stream::Friendship(Pair::of(subject("ada"), subject("bob")).unwrap())
}

/// Ada asked Bob.
fn asked() -> Given {
    let mut given = Given::users(&ADA_AND_BOB);
    assert_eq!(given.when(&befriend("ada", "bob", false)).unwrap(), ["friendship.requested"]);
    given
}

impl Given {
    /// The request that waits, as it is looked up; where none waits, one that nobody made.
    fn request(&self) -> FriendRequest {
        let (from, to) = (subject("ada"), subject("bob"));
        let expires_at = match self.states.get(&pair()) {
            Some(State::Friendship(friendship::State::Requested { expires_at, .. })) => *expires_at,
            _ => self.now,
        };
        FriendRequest { from, to, expires_at, state: RequestState::Pending }
    }

    pub(super) fn answer(&self, who: &str, answer: Answer) -> <AnswerRequest as Command>::Resolved {
        of(self.request(), who, answer)
    }
}

/// The answer of a user to Ada's request to Bob.
fn of(request: FriendRequest, who: &str, answer: Answer) -> <AnswerRequest as Command>::Resolved {
    let mut found = Found::default();
    found.friend_request = Some(request);
    found.insert(user_id(who), Some(subject(who)));
    AnswerRequest { who: user_id(who), request: FriendRequestId(1), answer }.resolve(&found).unwrap()
}

fn expiry() -> ExpireRequest {
    ExpireRequest { from: subject("ada"), to: subject("bob") }
}

#[test]
fn a_request_is_answered_once_and_repeating_the_answer_changes_nothing() {
    for (who, answer, end) in [
        ("bob", Answer::Accept, &BEFRIENDED[..]),
        ("bob", Answer::Refuse, &["friendship.refused"]),
        ("ada", Answer::Cancel, &["friendship.cancelled"]),
    ] {
        let mut given = asked();
        let request = given.request();
        assert_eq!(given.when(&of(request, who, answer)).unwrap(), end);
        assert_eq!(given.when(&of(request, who, answer)).unwrap(), NOTHING, "{answer:?} again");
        for (who, other) in [("bob", Answer::Accept), ("bob", Answer::Refuse), ("ada", Answer::Cancel)] {
            if other != answer {
                assert_eq!(given.when(&of(request, who, other)), Err(Refusal::FriendRequestEnded), "{other:?}");
            }
        }
        given.later(Duration::days(7));
        assert_eq!(given.when(&expiry()).unwrap(), NOTHING);
    }
}

#[test]
fn each_side_decides_what_is_its_own_and_nobody_else_knows_the_request() {
    let mut given = asked();
    for (who, answer, refusal) in [
        ("ada", Answer::Accept, Refusal::OtherSideOfRequest),
        ("ada", Answer::Refuse, Refusal::OtherSideOfRequest),
        ("bob", Answer::Cancel, Refusal::OtherSideOfRequest),
        ("eve", Answer::Accept, Refusal::NoSuchFriendRequest),
    ] {
        assert_eq!(given.when(&given.answer(who, answer)), Err(refusal), "{who}: {answer:?}");
    }
    let unknown = AnswerRequest { who: user_id("bob"), request: FriendRequestId(9), answer: Answer::Accept };
    assert!(matches!(unknown.resolve(&Found::default()), Err(Error::Refused(Refusal::NoSuchFriendRequest))));
}

#[test]
fn an_expiry_is_recorded_once_by_whoever_comes_first() {
    let mut given = asked();
    let request = given.request();
    assert_eq!(given.when(&expiry()).unwrap(), NOTHING, "it still waits");
    given.later(Duration::days(7));
    assert_eq!(given.when(&of(request, "bob", Answer::Accept)), Err(Refusal::FriendRequestEnded));
    let mut asked_again = given.clone();
    assert_eq!(given.when(&expiry()).unwrap(), ["friendship.expired"]);
    assert_eq!(given.when(&expiry()).unwrap(), NOTHING);
    assert_eq!(given.when(&befriend("ada", "bob", false)).unwrap(), ["friendship.requested"]);
    let both = ["friendship.expired", "friendship.requested"];
    assert_eq!(asked_again.when(&befriend("ada", "bob", false)).unwrap(), both);
    assert_eq!(asked_again.when(&expiry()).unwrap(), NOTHING);
    assert_eq!(asked_again.when(&of(request, "bob", Answer::Accept)), Err(Refusal::FriendRequestEnded), "the old one");
}

#[test]
fn adding_directly_accepts_the_request_that_waits_whoever_asked() {
    for (who, target) in [("ada", "bob"), ("bob", "ada")] {
        let mut given = asked();
        assert_eq!(given.when(&befriend(who, target, true)).unwrap(), BEFRIENDED);
    }
    let mut given = asked();
    given.when(&change("bob", Change::PermitFriends(FriendPermission::Nobody))).unwrap();
    assert_eq!(given.when(&befriend("ada", "bob", false)), Err(Refusal::TargetRefusesAll));
    assert_eq!(given.when(&befriend("bob", "ada", false)).unwrap(), BEFRIENDED, "whoever is asked may still accept");
}

#[test]
fn blocking_ends_the_request_for_both_sides() {
    for (owner, target, end) in [("bob", "ada", "friendship.refused"), ("ada", "bob", "friendship.cancelled")] {
        let mut given = asked();
        let request = given.request();
        assert_eq!(given.when(&block(owner, &[target, target])).unwrap(), ["blocklist.blocked", end]);
        assert_eq!(given.when(&of(request, "bob", Answer::Accept)), Err(Refusal::FriendRequestEnded));
        assert!(given.when(&befriend("ada", "bob", false)).is_err());
    }
    let mut given = asked();
    given.later(Duration::days(7));
    assert_eq!(given.when(&block("bob", &["ada"])).unwrap(), ["blocklist.blocked"], "that lapsed is recorded as such");
    assert_eq!(given.when(&expiry()).unwrap(), ["friendship.expired"]);
}

#[test]
fn a_request_is_not_accepted_against_a_list_or_past_the_number_of_friends() {
    let mut given = asked();
    given.when(&SetAllowlist { who: people(&["bob"]), enabled: true }).unwrap();
    assert_eq!(given.when(&given.answer("bob", Answer::Accept)), Err(Refusal::DoesNotAllowTarget));
    for (full, refusal) in [("bob", Refusal::FriendsFull), ("ada", Refusal::TargetFriendsFull)] {
        let mut given = asked();
        given.tallies.insert(subject(full), Tally { friends: LIST_MAX, ..Tally::default() });
        assert_eq!(given.when(&given.answer("bob", Answer::Accept)), Err(refusal));
        assert_eq!(given.when(&given.answer("bob", Answer::Refuse)).unwrap(), ["friendship.refused"]);
    }
}

#[test]
fn a_request_of_somebody_who_is_deactivated_is_not_accepted_and_ends() {
    for (gone, who, refusal) in [("ada", "bob", Refusal::FriendRequestEnded), ("bob", "bob", Refusal::Deactivated)] {
        let mut given = asked();
        given.when(&deactivate(gone)).unwrap();
        assert_eq!(given.when(&given.answer(who, Answer::Accept)), Err(refusal));
        let (by, other) = if gone == "ada" { ("ada", "bob") } else { ("bob", "ada") };
        let Some(State::Friendship(state)) = given.states.get(&pair()) else { panic!("there is no request") };
        let ended = friendship::end(state, subject(by), subject(other), EndCause::Deactivated);
        assert_eq!(ended.len(), 1);
    }
}

#[test]
fn only_so_many_requests_of_a_user_and_to_a_user_wait_and_whoever_needs_none_is_not_limited() {
    let mut given = Given::users(&["ada", "bob", "eve"]);
    let full = Tally { sent: SENT_REQUESTS_MAX, received: RECEIVED_REQUESTS_MAX, ..Tally::default() };
    given.tallies.insert(subject("ada"), full);
    assert_eq!(given.when(&befriend("ada", "bob", false)), Err(Refusal::SentRequestsFull));
    assert_eq!(given.when(&befriend("bob", "ada", false)), Err(Refusal::ReceivedRequestsFull));
    assert_eq!(given.when(&befriend("ada", "bob", true)).unwrap(), ["friendship.befriended"], "no request is needed");
    given.when(&change("eve", Change::PermitFriends(FriendPermission::Anyone))).unwrap();
    assert_eq!(given.when(&befriend("ada", "eve", false)).unwrap(), ["friendship.befriended"]);
}

#[test]
fn each_end_of_a_request_makes_room_for_another_one_on_both_sides() {
    let none = Tally::default();
    for end in [
        |given: &mut Given| drop(given.when(&given.answer("bob", Answer::Refuse)).unwrap()),
        |given: &mut Given| drop(given.when(&given.answer("ada", Answer::Cancel)).unwrap()),
        |given: &mut Given| drop(given.when(&block("bob", &["ada"])).unwrap()),
        |given: &mut Given| {
            given.later(Duration::days(7));
            given.when(&expiry()).unwrap();
        },
    ] {
        let mut given = asked();
        assert_eq!(given.tallies[&subject("ada")], Tally { sent: 1, ..none });
        assert_eq!(given.tallies[&subject("bob")], Tally { received: 1, ..none });
        end(&mut given);
        assert_eq!((given.tallies[&subject("ada")], given.tallies[&subject("bob")]), (none, none));
    }
    let mut given = asked();
    given.when(&given.answer("bob", Answer::Accept)).unwrap();
    let friends = Tally { friends: 1, ..none };
    assert_eq!((given.tallies[&subject("ada")], given.tallies[&subject("bob")]), (friends, friends));
}
