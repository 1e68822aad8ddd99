//! A refusal is explained by the events that made it so.

use std::sync::Arc;

use rollcall::audit::as_of::{Explanation, command, explain};
use rollcall::domain::Refusal;
use rollcall::domain::blocklist::Unblock;
use rollcall::domain::friend_groups::{LabelGroup, RemoveGroup};
use rollcall::domain::values::{GroupNumber, Label};
use rollcall::engine::Error;

use super::replayed::Dice;
use super::{Given, app_id, befriend, block, deactivate, forget, register, unfriend, user_id};

/// How a command in words is decided after a position.
async fn asked(given: &Given, words: &str, position: u64) -> Explanation {
    let words: Vec<_> = words.split(' ').collect();
    let moment = given.moment(position).await;
    explain(given.past().await, &app_id(), &command(&words).unwrap(), moment).await.unwrap()
}

fn facts(explanation: &Explanation) -> Vec<(u64, &str)> {
    explanation.facts.iter().map(|fact| (fact.position, fact.event.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_the_event_that_made_it_so_and_none_before_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    given.registers("bob", "Bob").await;
    let before = given.head();
    let blocked = given.does(block("ada", "bob")).await;
    let first = asked(&given, "befriend bob ada", blocked).await;
    assert_eq!((first.allowed, first.refusal.as_ref()), (false, Some(&Refusal::TargetBlocks)));
    assert_eq!(facts(&first), [(blocked, "blocklist.blocked")]);
    assert_eq!(first.facts[0].stream, format!("blocklist-{ada}"));
    assert_eq!(first.facts[0].revision, 1);
    let earlier = asked(&given, "befriend bob ada", before).await;
    assert!(earlier.allowed && earlier.facts.is_empty() && earlier.refused.is_none());

    let unblocked = given.does(Arc::new(Unblock { owner: user_id("ada"), targets: vec![user_id("bob")] })).await;
    let again = given.does(block("ada", "bob")).await;
    assert!(asked(&given, "befriend bob ada", unblocked).await.allowed);
    assert_eq!(facts(&asked(&given, "befriend bob ada", again).await), [(again, "blocklist.blocked")]);
    assert_eq!(given.head(), again, "explaining appends nothing");
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nothing_recorded_made_so_is_refused_without_facts() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    given.registers("ada", "Ada").await;
    for (words, refusal) in [
        ("rename mallory", Refusal::NotRegistered),
        ("describe ada mallory", Refusal::NotFriends),
        ("befriend ada ada", Refusal::OwnTarget),
    ] {
        let explained = asked(&given, words, given.head()).await;
        assert_eq!(explained.refusal, Some(refusal), "{words}");
        assert!(explained.facts.is_empty(), "{words}: {:?}", explained.facts);
    }
    assert!(asked(&given, "register mallory", given.head()).await.allowed);
    let stranger = command(&["rename", "subject:00000000-0000-0000-0000-000000000007"]).unwrap();
    let moment = given.moment(given.head()).await;
    let refused = explain(given.past().await, &app_id(), &stranger, moment).await.unwrap_err();
    assert!(matches!(refused, rollcall::audit::as_of::Error::UnknownUser));
    assert!(command(&["befriend", "ada"]).is_err() && command(&["make-coffee", "ada"]).is_err());
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_behind_the_fence_names_the_fence_also_of_a_forgotten_person() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    let fenced = |explained: &Explanation, event: &str| {
        let [fact] = &explained.facts[..] else { panic!("{:?}", explained.facts) };
        assert_eq!((fact.event.as_str(), fact.stream.as_str()), (event, &*format!("user-{ada}")));
    };
    given.erases(deactivate("ada")).await;
    let explained = asked(&given, "issue-token ada", given.head()).await;
    assert_eq!(explained.refusal, Some(Refusal::Deactivated));
    fenced(&explained, "user.deactivated");
    let early = asked(&given, "reactivate ada", given.head()).await;
    assert!(matches!(early.refusal, Some(Refusal::ReactivationTooEarly { .. })));
    fenced(&early, "user.deactivated");

    given.erases(forget("ada")).await;
    let explained = asked(&given, &format!("rename subject:{ada}"), given.head()).await;
    assert_eq!(explained.refusal, Some(Refusal::NotRegistered));
    fenced(&explained, "user.forgotten");
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_of_a_friendship_makes_it_possible_again() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    for who in ["ada", "bob"] {
        given.does(register(who, who)).await;
    }
    let friends = given.does(befriend("ada", "bob", true)).await;
    let explained = asked(&given, "befriend ada bob", friends).await;
    assert_eq!(explained.refusal, Some(Refusal::AlreadyFriends));
    assert_eq!(facts(&explained), [(friends, "friendship.befriended")]);
    let ended = given.does(unfriend("ada", "bob")).await;
    assert!(asked(&given, "befriend ada bob", ended).await.allowed);
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_explained_is_what_the_service_decides() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let mut dice = Dice::of(4);
    let mut refused = 0;
    for _ in 0..250 {
        let command = dice.command();
        let moment = given.moment(given.head()).await;
        let explained = explain(given.past().await, &app_id(), &command.clone().into(), moment).await.unwrap();
        let decided = match given.execute(command).await {
            Ok(_) => None,
            Err(Error::Refused(refusal)) => Some(refusal),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(explained.refusal, decided);
        refused += usize::from(decided.is_some());
        assert!(explained.facts.iter().all(|fact| fact.position <= moment.position));
    }
    assert!(refused > 20, "{refused}");
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_friend_cannot_be_put_into_a_group_is_explained_by_what_became_of_the_friendship_or_of_the_group() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    given.registers("ada", "Ada").await;
    given.registers("bob", "Bob").await;
    let befriended = given.does(super::befriend("ada", "bob", true)).await;
    let none = asked(&given, "group-friend ada bob 7", befriended).await;
    assert_eq!((none.refusal, none.facts.len()), (Some(Refusal::NoSuchFriendGroup), 0), "there never was one");
    let (owner, group) = (user_id("ada"), GroupNumber::new(7).unwrap());
    let label = LabelGroup { owner: owner.clone(), group, label: Label::parse("tennis").unwrap(), relabels: true };
    let labelled = given.does(Arc::new(label)).await;
    assert!(asked(&given, "group-friend ada bob 7", labelled).await.allowed);
    assert!(asked(&given, "label-group ada 7", labelled).await.allowed);
    let unfriended = given.does(unfriend("ada", "bob")).await;
    let ended = asked(&given, "group-friend ada bob 7", unfriended).await;
    assert_eq!(ended.refusal, Some(Refusal::NotFriends));
    // Without the group, it would be refused for another reason.
    assert_eq!(facts(&ended), [(labelled, "friend_groups.labelled"), (unfriended, "friendship.ended")]);
    let removed = given.does(Arc::new(RemoveGroup { owner, group })).await;
    let gone = asked(&given, "group-friend ada bob 7", removed).await;
    assert_eq!(gone.refusal, Some(Refusal::NoSuchFriendGroup));
    assert_eq!(facts(&gone), [(removed, "friend_groups.removed")]);
    assert!(asked(&given, "ungroup-friend ada bob 7", labelled).await.allowed);
    given.stop();
}
