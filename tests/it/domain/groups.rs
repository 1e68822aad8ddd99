//! Friend groups: numbered, of one user, with friends only.

use rollcall::domain::friend_groups::{GroupFriend, LabelGroup, RemoveGroup};
use rollcall::domain::values::{GroupNumber, Label};

use super::*;

fn number(group: u32) -> GroupNumber {
    GroupNumber::new(group).unwrap()
}

pub(super) fn label_group(owner: &str, group: u32) -> LabelGroup<Person> {
    let label = Label::parse("family").unwrap();
    LabelGroup { owner: person(owner), group: number(group), label, relabels: true }
}

pub(super) fn group_friend(owner: &str, group: u32, friend: &str, is_in: bool) -> GroupFriend<Person> {
    GroupFriend { owner: person(owner), group: number(group), friend: person(friend), is_in }
}

pub(super) fn remove_group(owner: &str, group: u32) -> RemoveGroup<Person> {
    RemoveGroup { owner: person(owner), group: number(group) }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_group_is_made_given_another_label_and_removed_once() {
    let mut given = Given::users(&["ada"]);
    assert_eq!(given.when(&remove_group("ada", 7)).unwrap(), NOTHING);
    for _ in 0..2 {
        assert_eq!(given.when(&label_group("ada", 7)).unwrap(), ["friend_groups.labelled"]);
    }
    let anew = |group| LabelGroup { relabels: false, ..label_group("ada", group) };
    assert_eq!(given.when(&anew(7)), Err(Refusal::FriendGroupExists));
    assert_eq!(given.when(&anew(8)).unwrap(), ["friend_groups.labelled"]);
    assert_eq!(given.when(&remove_group("ada", 7)).unwrap(), ["friend_groups.removed"]);
    assert_eq!(given.when(&remove_group("ada", 7)).unwrap(), NOTHING);
    assert_eq!(given.when(&anew(7)).unwrap(), ["friend_groups.labelled"]);
}

#[test]
fn only_friends_are_put_into_a_group_that_exists() {
    let mut given = Given::users(&["ada", "bob", "eve"]);
    assert_eq!(given.when(&group_friend("ada", 1, "bob", true)), Err(Refusal::NoSuchFriendGroup));
    given.when(&label_group("ada", 1)).unwrap();
    for who in ["bob", "ada"] {
        assert_eq!(given.when(&group_friend("ada", 1, who, true)), Err(Refusal::NotFriends), "{who}");
        assert_eq!(given.when(&group_friend("ada", 1, who, false)).unwrap(), NOTHING, "{who}");
    }
    given.when(&befriend("ada", "eve", false)).unwrap();
    assert_eq!(given.when(&group_friend("ada", 1, "eve", true)), Err(Refusal::NotFriends), "she has only been asked");
    given.when(&befriend("ada", "bob", true)).unwrap();
    assert_eq!(given.when(&group_friend("ada", 1, "bob", true)).unwrap(), ["friend_groups.added"]);
    assert_eq!(given.when(&group_friend("bob", 1, "ada", true)), Err(Refusal::NoSuchFriendGroup), "it is not his");
    given.when(&block("ada", &["bob"])).unwrap();
    assert_eq!(
        given.when(&group_friend("ada", 1, "bob", true)).unwrap(),
        ["friend_groups.added"],
        "a friend all the same"
    );
    assert_eq!(given.when(&group_friend("ada", 1, "bob", false)).unwrap(), ["friend_groups.taken_out"]);
    let ended = Unfriend { who: user_id("ada"), targets: user_ids(&["bob"]) };
    let mut found = Found::default();
    ["ada", "bob"].iter().for_each(|who| found.insert(user_id(who), Some(subject(who))));
    given.when(&ended.resolve(&found).unwrap()).unwrap();
    assert_eq!(given.when(&group_friend("ada", 1, "bob", true)), Err(Refusal::NotFriends));
}

#[test]
fn nobody_who_is_deactivated_has_groups_or_is_put_into_one() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(&label_group("ada", 1)).unwrap();
    given.when(&label_group("bob", 1)).unwrap();
    given.when(&befriend("ada", "bob", true)).unwrap();
    assert!(given.when(&deactivate("ada")).unwrap().contains(&"friend_groups.emptied"));
    assert_eq!(given.when(&label_group("ada", 1)), Err(Refusal::Deactivated));
    assert_eq!(given.when(&group_friend("ada", 1, "bob", true)), Err(Refusal::Deactivated));
    assert_eq!(given.when(&remove_group("ada", 1)).unwrap(), NOTHING);
    // The friendship remains until the erasure ends it.
    assert_eq!(given.when(&group_friend("bob", 1, "ada", true)), Err(Refusal::Deactivated));
    assert_eq!(given.when(&group_friend("bob", 1, "ada", false)).unwrap(), ["friend_groups.taken_out"]);
}
