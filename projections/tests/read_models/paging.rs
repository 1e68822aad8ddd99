//! Lists come in pages, in their order, without a repetition or a hole, and one app never sees another's.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_projections::{
    ALL, NumberedPage, Order, Seek, allowlists, apps, audit_trail, banned_users, blocklists, deactivated_users,
    erasure_ledger, friend_graph, hosted_profiles, mutes, remarks, user_directory,
};
use rollcall_schemas::ids::{ErasureId, FieldName, OperationId, Pair, SubjectRef};
use rollcall_schemas::plain::{Environment, Plan, Scope};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{allowlist, app as app_events, friendship, user};
use uuid::Uuid;

use crate::rebuilding::store;
use crate::support::{Log, app, at, banned, blocked, now, profile, requested, subject, tag};

const PEOPLE: u32 = 7;

fn everyone() -> Vec<SubjectRef> {
    (0..PEOPLE).map(subject).collect()
}

fn reversed() -> Vec<SubjectRef> {
    everyone().into_iter().rev().collect()
}

/// Seven of `app-one`, whose lists are asked for, and one of `app-two`, who must never appear.
fn crowd(each: impl Fn(&mut Log, SubjectRef)) -> Log {
    let mut log = Log::default();
    for who in everyone() {
        log.register(who);
        each(&mut log, who);
    }
    log.app = app("app-two");
    log.register(subject(100));
    each(&mut log, subject(100));
    log
}

fn numbered(page: u32, size: u32) -> NumberedPage {
    NumberedPage::new(page, size).unwrap()
}

/// Asks for numbered pages of three until one is short.
macro_rules! pages {
    ($page:ident => $query:expr, $key:expr) => {{
        let mut all = Vec::new();
        for $page in 1..=9_u32 {
            let found = $query.await.unwrap();
            let full = found.len() == 3;
            all.extend(found.iter().map($key));
            if !full {
                break;
            }
        }
        all
    }};
}

/// Pages through a list forward to its end and back to its beginning, in steps of three; both ways show the same.
macro_rules! both_ways {
    ($seek:ident => $query:expr, $key:expr, $place:expr) => {{
        let (mut forward, mut $seek) = (Vec::new(), Seek::After(None));
        let end = loop {
            let mut found = $query.await.unwrap();
            let beside = $seek.cut(&mut found, 3, |row| Some($place(row)));
            forward.push(found.iter().map($key).collect::<Vec<_>>());
            match beside.next {
                Some(next) => $seek = Seek::After(Some(next)),
                None => break beside,
            }
        };
        let (mut back, mut previous) = (vec![forward.last().unwrap().clone()], end.previous);
        while let Some(place) = previous {
            $seek = Seek::UpTo(place);
            let mut found = $query.await.unwrap();
            previous = $seek.cut(&mut found, 3, |row| Some($place(row))).previous;
            back.insert(0, found.iter().map($key).collect::<Vec<_>>());
        }
        assert_eq!(back, forward, "the way back");
        forward.concat()
    }};
}

/// Follows a cursor in steps of three until the list ends.
macro_rules! follow {
    ($cursor:ident => $query:expr, $key:expr, $next:expr) => {{
        let mut all = Vec::new();
        let mut $cursor = None;
        loop {
            let found = $query.await.unwrap();
            all.extend(found.iter().map($key));
            match found.last() {
                Some(last) if found.len() == 3 => $cursor = Some($next(last)),
                _ => break all,
            }
        }
    }};
}

#[tokio::test]
async fn registered_users_are_paged_by_registration() {
    let (_files, store) = store();
    now(store.apply(&crowd(|_, _| {}).after(0), ALL)).unwrap();
    let one = app("app-one");
    for (order, expected) in [(Order::OldestFirst, everyone()), (Order::NewestFirst, reversed())] {
        let by_number =
            pages!(page => user_directory::registered(&store, &one, numbered(page, 3), order), |user| user.subject);
        assert_eq!(by_number, expected);
        let followed = both_ways!(seek => user_directory::listed(&store, &one, seek, 4, order),
            |user| user.subject, |user: &user_directory::User| user.registered_position.unwrap());
        assert_eq!(followed, expected);
    }
    assert_eq!(user_directory::registered_count(&store, &one).await.unwrap(), 7);
    assert_eq!(user_directory::by_subject(&store, &one, subject(100)).await.unwrap(), None);
    let two = user_directory::by_subjects(&store, &app("app-two"), &[subject(0), subject(100)]).await.unwrap();
    assert_eq!(two.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn users_are_found_by_many_tags_at_once_in_the_order_asked_and_within_their_app() {
    let (_files, store) = store();
    now(store.apply(&crowd(|_, _| {}).after(0), ALL)).unwrap();
    let tags = [subject(5), subject(100), subject(0), subject(99), subject(5)].map(tag);
    let found = user_directory::subjects_of(&store, &app("app-one"), &tags).await.unwrap();
    assert_eq!(found, [Some(subject(5)), None, Some(subject(0)), None, Some(subject(5))]);
    assert_eq!(user_directory::subjects_of(&store, &app("app-one"), &[]).await.unwrap(), []);
}

#[tokio::test]
async fn profiles_are_paged_by_registration_and_users_without_one_are_left_out() {
    let (_files, store) = store();
    let log = crowd(|log, who| {
        if who != subject(3) {
            let fields = BTreeMap::from([(FieldName("email".into()), profile(who, "mail"))]);
            log.user(who, user::ProfileSet { subject: who, fields, cleared: BTreeSet::new() });
        }
    });
    now(store.apply(&log.after(0), ALL)).unwrap();
    let one = app("app-one");
    let found = pages!(page => hosted_profiles::page(&store, &one, numbered(page, 3), Order::NewestFirst), |profile| profile.subject);
    assert_eq!(found, reversed().into_iter().filter(|who| *who != subject(3)).collect::<Vec<_>>());
    let found = both_ways!(seek => hosted_profiles::listed(&store, &one, seek, 4),
        |(_, profile)| profile.as_ref().unwrap().subject, |row: &(u64, Option<hosted_profiles::Profile>)| row.0);
    assert_eq!(found, everyone().into_iter().filter(|who| *who != subject(3)).collect::<Vec<_>>());
}

#[tokio::test]
async fn deactivated_users_are_paged_from_the_latest() {
    let (_files, store) = store();
    let log = crowd(|log, who| {
        let (erasure, operation) = (ErasureId(who.0), OperationId("op".into()));
        log.user(who, user::Deactivated { subject: who, erasure, operation });
    });
    now(store.apply(&log.after(0), ALL)).unwrap();
    let one = app("app-one");
    let found = pages!(page => deactivated_users::page(&store, &one, numbered(page, 3)), |who| *who);
    assert_eq!(found, reversed());
    let listed = both_ways!(seek => deactivated_users::listed(&store, &one, seek, 4),
        |(user, _)| user.subject, |row: &(deactivated_users::Deactivated, u64)| row.1);
    assert_eq!(listed, found);
    let [first, .., last] = &found[..] else { panic!("{found:?}") };
    let asked = [*first, subject(200), *last];
    let of_them = deactivated_users::of_subjects(&store, &asked).await.unwrap();
    assert_eq!(of_them.iter().map(|user| user.subject).collect::<Vec<_>>(), [*first, *last]);
}

#[tokio::test]
async fn bans_are_paged_from_the_latest_end_and_only_while_they_last() {
    let (_files, store) = store();
    let mut log = Log::default();
    let place = |ban: &banned_users::Ban| banned_users::BanCursor { at: ban.until(), subject: ban.subject };
    for (number, who) in (0..).zip(everyone()) {
        log.record(Stream::Ban(who), banned(who, at(1_000 + number)));
    }
    now(store.apply(&log.after(0), ALL)).unwrap();
    let one = app("app-one");
    let found =
        pages!(page => banned_users::banned_until(&store, &one, at(1_000), numbered(page, 3)), |ban| ban.subject);
    assert_eq!(found, reversed()[..6]);
    let listed = both_ways!(seek => banned_users::running(&store, &one, at(1_000), seek, 4), |ban| ban.subject, place);
    assert_eq!(listed, found);
    let due = banned_users::due(&store, at(1_001), 10).await.unwrap();
    assert_eq!(due.iter().map(|ban| ban.subject).collect::<Vec<_>>(), everyone()[..2]);
    assert_eq!(banned_users::banned_until(&store, &app("app-two"), at(0), numbered(1, 3)).await.unwrap(), []);
}

#[tokio::test]
async fn blocklists_and_allowlists_are_paged_from_the_newest_entry() {
    let (_files, store) = store();
    let mut log = Log::default();
    let owner = subject(50);
    for targets in everyone().chunks(2) {
        log.record(Stream::Blocklist(owner), blocked(owner, targets.to_vec()));
        let allowed = allowlist::Allowed { subject: owner, targets: targets.to_vec() };
        log.record(Stream::Allowlist(owner), allowlist::Event::from(allowed));
    }
    log.record(Stream::Allowlist(owner), allowlist::Event::from(allowlist::Enabled { subject: owner }));
    now(store.apply(&log.after(0), ALL)).unwrap();
    let found = both_ways!(seek => blocklists::page(&store, owner, seek, 4),
        |entry| entry.target, |entry: &blocklists::Blocked| entry.sequence);
    assert_eq!(found, reversed());
    let found = both_ways!(seek => allowlists::page(&store, owner, seek, 4),
        |entry| entry.target, |entry: &allowlists::Allowed| entry.sequence);
    assert_eq!(found, reversed());
    let in_force = allowlists::in_force_since(&store, &[owner, subject(1)]).await.unwrap();
    assert_eq!(in_force.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn friends_are_paged_both_ways_and_everyone_related_is_found() {
    let (_files, store) = store();
    let mut log = Log::default();
    let owner = subject(50);
    for who in everyone() {
        let stream = Stream::Friendship(Pair::of(owner, who).unwrap());
        log.record(stream, friendship::Event::from(friendship::Befriended { from: who, to: owner }));
    }
    for number in 60..65 {
        let (from, expires_at) = (subject(number), at(90_000));
        let requested = friendship::Requested { from, to: owner, text: Some(profile(from, "please")), expires_at };
        let stream = Stream::Friendship(Pair::of(owner, from).unwrap());
        log.record(stream, friendship::Event::from(requested));
    }
    now(store.apply(&log.after(0), ALL)).unwrap();
    for (order, expected) in [(Order::OldestFirst, everyone()), (Order::NewestFirst, reversed())] {
        let found = both_ways!(seek => friend_graph::page(&store, owner, seek, 4, order),
            |friend| friend.friend, |friend: &friend_graph::Friend| friend.befriended_position);
        assert_eq!(found, expected);
    }
    assert_eq!(friend_graph::count(&store, owner).await.unwrap(), 7);
    assert_eq!(friend_graph::count(&store, subject(0)).await.unwrap(), 1);
    let among = friend_graph::among(&store, owner, &[subject(0), subject(60)]).await.unwrap();
    assert_eq!(among.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    assert_eq!(friend_graph::all_of(&store, owner, 5_000).await.unwrap().len(), 12);
}

#[tokio::test]
async fn mutes_are_paged_by_offset_and_counted() {
    let (_files, store) = store();
    let log = crowd(|log, who| {
        log.user(who, user::DirectMessagesMuted { subject: who });
    });
    now(store.apply(&log.after(0), ALL)).unwrap();
    let one = app("app-one");
    let found = pages!(page => mutes::page(&store, &one, at(0), NumberedPage::after(u64::from(page - 1) * 3, 3).unwrap()), |who| *who);
    assert_eq!(found, everyone());
    let listed = both_ways!(seek => mutes::listed(&store, &one, at(0), seek, 4),
        |mute| mute.subject, |mute: &mutes::Mute| mute.muted_position);
    assert_eq!(listed, everyone());
    assert_eq!(mutes::total(&store, &one, at(0)).await.unwrap(), 7);
    assert!(mutes::of(&store, subject(100)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_mute_whose_time_is_over_is_neither_listed_nor_counted_and_is_due_until_its_end_is_recorded() {
    let (_files, store) = store();
    let mut log = crowd(|log, who| {
        log.user(who, user::DirectMessagesMuted { subject: who });
    });
    let (one, all) = (app("app-one"), everyone());
    log.app = one.clone();
    let ends_at = |seconds| Some(at(seconds));
    log.user(all[1], user::DirectMessagesMutedV2 { subject: all[1], ends_at: ends_at(60) });
    log.user(all[4], user::DirectMessagesMutedV2 { subject: all[4], ends_at: ends_at(90) });
    now(store.apply(&log.after(0), ALL)).unwrap();
    let listed = async |seconds| {
        let page = mutes::page(&store, &one, at(seconds), NumberedPage::first(50)).await.unwrap();
        let after = mutes::listed(&store, &one, at(seconds), None, 50).await.unwrap();
        assert_eq!(after.iter().map(|mute| mute.subject).collect::<Vec<_>>(), page);
        assert_eq!(mutes::total(&store, &one, at(seconds)).await.unwrap(), page.len() as u64);
        let due = mutes::due(&store, at(seconds), 10).await.unwrap();
        (page, due.into_iter().map(|mute| mute.subject).collect::<Vec<_>>())
    };
    let without = |gone: &[usize]| {
        let kept = all.iter().enumerate().filter(|(at, _)| !gone.contains(at));
        kept.map(|(_, who)| *who).collect::<Vec<_>>()
    };
    assert_eq!(listed(59).await, (all.clone(), vec![]), "another end is no other place");
    assert_eq!(listed(60).await, (without(&[1]), vec![all[1]]));
    assert_eq!(listed(90).await, (without(&[1, 4]), vec![all[1], all[4]]));
    let read = log.events.len() as u64;
    log.user(all[1], user::DirectMessagesMuteExpired { subject: all[1], until: at(60) });
    log.user(all[4], user::DirectMessagesMuted { subject: all[4] });
    now(store.apply(&log.after(read), ALL)).unwrap();
    assert_eq!(listed(1_000).await, (without(&[1]), vec![]));
}

#[tokio::test]
async fn remarks_are_paged_in_the_order_first_made() {
    use rollcall_schemas::remarks::{Event, Remarked};
    let (_files, store) = store();
    let mut log = Log::default();
    let owner = subject(50);
    for who in everyone().into_iter().chain([subject(0)]) {
        let remarked = Remarked { owner, target: who, remark: profile(who, "remark") };
        log.record(Stream::Remarks(owner), Event::from(remarked));
    }
    now(store.apply(&log.after(0), ALL)).unwrap();
    let found = pages!(page => remarks::page(&store, owner, numbered(page, 3)), |remark| remark.target);
    assert_eq!(found, everyone());
    let listed = both_ways!(seek => remarks::listed(&store, owner, seek, 4),
        |(remark, _)| remark.target, |row: &(remarks::Remark, remarks::RemarkCursor)| row.1);
    assert_eq!(listed, everyone());
    assert_eq!(remarks::total(&store, owner).await.unwrap(), 7);
}

#[tokio::test]
async fn apps_are_listed_by_key_with_their_secrets() {
    let (_files, store) = store();
    let mut log = Log::default();
    for number in 0..7 {
        let app = app(&format!("app-{number}"));
        let registered =
            app_events::Registered { app: app.clone(), environment: Environment::Production, plan: Plan::Pro };
        log.record(Stream::App(app), app_events::Event::from(registered));
    }
    now(store.apply(&log.after(0), ALL)).unwrap();
    let found = follow!(cursor => apps::all(&store, cursor.as_ref(), 3),
        |app| app.app.to_string(), |app: &apps::App| app.app.clone());
    assert_eq!(found, (0..7).map(|number| format!("app-{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_trail_of_a_subject_is_paged_from_the_oldest_with_the_events_of_others_about_it() {
    let (_files, store) = store();
    let mut log = crowd(|log, who| {
        for _ in 0..6 {
            log.record(Stream::Ban(who), banned(who, at(1)));
        }
    });
    let pair = Pair::of(subject(1), subject(2)).unwrap();
    let requested = friendship::Requested { from: subject(2), to: subject(1), text: None, expires_at: at(9) };
    log.record(Stream::Friendship(pair), friendship::Event::from(requested));
    now(store.apply(&log.after(0), ALL)).unwrap();
    let (mut found, mut after) = (vec![], 0);
    loop {
        let page = audit_trail::positions_about(&store, subject(1), after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = *last;
        found.extend(page);
    }
    let of_another = log.events.last().unwrap().position;
    assert_eq!(found, (8..=14).chain([of_another]).collect::<Vec<u64>>());
    let last = audit_trail::positions_up_to(&store, subject(1), u64::MAX, 3).await.unwrap();
    assert_eq!(last, [13, 14, of_another]);
    assert_eq!(audit_trail::positions_up_to(&store, subject(1), 9, 3).await.unwrap(), [8, 9]);
    assert!(audit_trail::positions_about(&store, subject(99), 0, 3).await.unwrap().is_empty());
}

#[tokio::test]
async fn erasures_are_found_by_operation_within_their_app() {
    let (_files, store) = store();
    let mut log = Log::default();
    let operation = OperationId("op".into());
    for who in everyone() {
        let erasure = ErasureId(Uuid::from_u128(who.0.as_u128() + 1));
        log.record(Stream::Erasure(erasure), requested(erasure, who, Scope::Forget, &operation.0));
    }
    now(store.apply(&log.after(0), ALL)).unwrap();
    let found = erasure_ledger::of_operation(&store, &app("app-one"), &operation, 10).await.unwrap();
    assert_eq!(found.iter().map(|erasure| erasure.subject).collect::<Vec<_>>(), everyone());
    assert_eq!(erasure_ledger::of_operation(&store, &app("app-two"), &operation, 10).await.unwrap(), []);
    assert_eq!(erasure_ledger::of(&store, subject(1), 10).await.unwrap().len(), 1);
    assert_eq!(erasure_ledger::due(&store, at(2_592_000), None, 3).await.unwrap().len(), 3);
    let one = app("app-one");
    let found = both_ways!(seek => erasure_ledger::page(&store, &one, seek, 4),
        |erasure| erasure.requested_position, |erasure: &erasure_ledger::Erasure| erasure.requested_position);
    assert_eq!(found.len(), everyone().len());
    assert!(found.is_sorted_by(|newer, older| newer > older));
}
