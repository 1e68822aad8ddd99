//! What an erasure takes out of the read models, and what it leaves.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_projections::{
    ALL, NumberedPage, Order, banned_users, blocklists, deactivated_users, erasure_ledger, friend_graph, friend_groups,
    hosted_profiles, operations, remarks, user_directory, user_tags,
};
use rollcall_schemas::friend_groups as groups;
use rollcall_schemas::ids::{BatchId, ErasureId, FieldName, OperationId, Pair};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{EndCause, Scope};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{erasure, friendship, operation, user};
use uuid::Uuid;

use crate::rebuilding::store;
use crate::support::{Log, app, at, banned, blocked, now, profile, requested, scrubbed, sealed, subject, tag};

fn known() -> Log {
    let mut log = Log::default();
    let (me, them) = (subject(1), subject(2));
    log.register(me);
    log.register(them);
    let fields = BTreeMap::from([(FieldName("email".into()), profile(me, "mail"))]);
    log.user(me, user::ProfileSet { subject: me, fields, cleared: BTreeSet::new() });
    log.user(me, user::Tagged { subject: me, tags: Some(profile(me, "tags")) });
    log.record(Stream::Ban(me), banned(me, at(9_000)));
    log.record(Stream::Blocklist(them), blocked(them, vec![me]));
    let batch = BatchId(Uuid::from_u128(1));
    for subject in [me, them] {
        let reason = sealed(Class::Moderation, subject, "reason");
        if subject == me {
            let (act, subjects) = (operation::Act::Ban, vec![me, them]);
            let requested = operation::Requested { batch, act, subjects, ends_at: None };
            log.record(Stream::Operation(batch), operation::Event::from(requested));
        }
        let given = operation::ReasonGiven { batch, number: u32::from(subject == them), subject, reason };
        log.record(Stream::Operation(batch), operation::Event::from(given));
    }
    let remarked = rollcall_schemas::remarks::Remarked { owner: them, target: me, remark: profile(me, "remark") };
    log.record(Stream::Remarks(them), rollcall_schemas::remarks::Event::from(remarked));
    let pair = Stream::Friendship(Pair::of(me, them).unwrap());
    log.record(pair.clone(), friendship::Event::from(friendship::Befriended { from: me, to: them }));
    let described = friendship::Described {
        owner: them,
        about: me,
        remark: Some(profile(me, "remark")),
        remark_cleared: false,
        fields: BTreeMap::new(),
        cleared: BTreeSet::new(),
    };
    log.record(pair, friendship::Event::from(described));
    for (owner, friend) in [(me, them), (them, me)] {
        let labelled = groups::Labelled { owner, group: 1, label: profile(owner, "label") };
        log.record(Stream::FriendGroups(owner), groups::Event::from(labelled));
        log.record(Stream::FriendGroups(owner), groups::Event::from(groups::Added { owner, friend, group: 1 }));
    }
    log
}

fn scrub(log: &mut Log, classes: Vec<Class>) {
    let (me, erasure) = (subject(1), ErasureId(Uuid::from_u128(1)));
    let stream = Stream::Erasure(erasure);
    log.record(stream.clone(), requested(erasure, me, Scope::Deactivate, "op"));
    log.user(me, user::Deactivated { subject: me, erasure, operation: OperationId("op".into()) });
    log.record(stream.clone(), erasure::Event::from(erasure::Begun { erasure, subject: me }));
    log.record(stream, scrubbed(erasure, me, classes));
}

#[tokio::test]
async fn a_deactivated_user_is_listed_without_any_value_and_bystanders_keep_theirs() {
    let (_files, store) = store();
    let mut log = known();
    scrub(&mut log, vec![Class::Profile, Class::Moderation]);
    now(store.apply(&log.after(0), ALL)).unwrap();
    let (app, me, them) = (app("app-one"), subject(1), subject(2));

    let user = user_directory::by_tag(&store, &app, tag(me)).await.unwrap().unwrap();
    assert!(user.deactivated && !user.is_active() && user.user_id.is_some());
    assert_eq!((user.name, user.portrait), (None, None));
    assert_eq!(user_directory::registered_count(&store, &app).await.unwrap(), 1);
    let listed =
        user_directory::registered(&store, &app, NumberedPage::new(1, 10).unwrap(), Order::OldestFirst).await.unwrap();
    assert_eq!(listed.iter().map(|user| user.subject).collect::<Vec<_>>(), [them]);
    assert!(listed[0].name.is_some());
    assert_eq!(hosted_profiles::of_subjects(&store, &app, &[me]).await.unwrap(), [None]);
    assert_eq!(user_tags::of_subjects(&store, &app, &[me]).await.unwrap(), [None]);
    assert_eq!(remarks::total(&store, them).await.unwrap(), 0);
    assert_eq!(friend_graph::descriptions(&store, them, &[me]).await.unwrap(), [vec![]]);
    assert_eq!(friend_groups::all(&store, me).await.unwrap(), []);
    assert!(friend_groups::label(&store, them, 1).await.unwrap().is_some(), "it is of the other");
    assert_eq!(deactivated_users::page(&store, &app, NumberedPage::new(1, 10).unwrap()).await.unwrap(), [me]);
    let ban = banned_users::of(&store, me).await.unwrap().unwrap();
    assert_eq!((ban.ends_at, ban.reason), (Some(at(9_000)), None));
    assert_eq!(blocklists::page(&store, them, None, 10).await.unwrap()[0].target, me);
    let items = operations::items(&store, BatchId(Uuid::from_u128(1)), None, 10).await.unwrap();
    assert_eq!(items.iter().map(|item| item.reason.is_some()).collect::<Vec<_>>(), [false, true]);
    let due = erasure_ledger::due(&store, at(2_592_000), None, 10).await.unwrap();
    assert_eq!((due[0].subject, due[0].step), (me, erasure_ledger::Step::Scrubbed));
    for count in rollcall_projections::remains(&store, me, &[Class::Profile, Class::Moderation]).await.unwrap() {
        assert_eq!(count.values, 0, "{}", count.store);
    }
}

#[tokio::test]
async fn a_scrub_takes_only_the_classes_it_names() {
    let (_files, store) = store();
    let mut log = known();
    let (app, me) = (app("app-one"), subject(1));
    scrub(&mut log, vec![Class::Profile]);
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert!(banned_users::of(&store, me).await.unwrap().unwrap().reason.is_some());
    assert!(user_directory::by_subject(&store, &app, me).await.unwrap().unwrap().user_id.is_some());
}

#[tokio::test]
async fn who_is_a_friend_no_more_is_in_no_group_of_the_other() {
    let (_files, store) = store();
    let mut log = known();
    let (me, them) = (subject(1), subject(2));
    let further = groups::Labelled { owner: them, group: 2, label: profile(them, "label") };
    log.record(Stream::FriendGroups(them), groups::Event::from(further));
    for friend in [me, subject(3)] {
        let added = groups::Added { owner: them, friend, group: 2 };
        log.record(Stream::FriendGroups(them), groups::Event::from(added));
    }
    let ended = friendship::Ended { by: me, other: them, cause: EndCause::Removed };
    log.record(Stream::Friendship(Pair::of(me, them).unwrap()), friendship::Event::from(ended));
    now(store.apply(&log.after(0), ALL)).unwrap();
    let members = async |owner| {
        let groups = friend_groups::all(&store, owner).await.unwrap();
        groups.iter().map(|group| (group.number, group.members)).collect::<Vec<_>>()
    };
    assert_eq!((members(me).await, members(them).await), (vec![(1, 0)], vec![(1, 0), (2, 1)]));
    assert_eq!(friend_groups::members(&store, (them, 2), None, 10).await.unwrap(), [subject(3)]);
    assert_eq!(friend_groups::members(&store, (them, 2), Some(subject(3)), 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_forgotten_user_is_on_no_list_and_its_user_id_names_a_new_person() {
    let (_files, store) = store();
    let mut log = known();
    scrub(&mut log, vec![Class::Profile, Class::Moderation, Class::Identity]);
    let (app, me) = (app("app-one"), subject(1));
    log.user(me, user::Forgotten { subject: me, erasure: ErasureId(Uuid::from_u128(1)) });
    let newcomer = log.register(subject(9));
    let mut arrivals = log.after(0);
    let same_user_id = rollcall_projections::Entry { tag: Some(tag(me)), ..log.entry(newcomer) };
    *arrivals.last_mut().unwrap() = rollcall_projections::Arrival::Decoded(same_user_id);
    now(store.apply(&arrivals, ALL)).unwrap();
    assert_eq!(store.parked(10).await.unwrap(), []);
    assert_eq!(user_directory::by_tag(&store, &app, tag(me)).await.unwrap().unwrap().subject, subject(9));
    assert_eq!(user_directory::by_subject(&store, &app, me).await.unwrap(), None);
    assert_eq!(deactivated_users::of(&store, me).await.unwrap(), None);
    assert_eq!(banned_users::of(&store, me).await.unwrap(), None);
}

#[tokio::test]
async fn a_reactivated_user_is_registered_again_without_name_and_portrait() {
    let (_files, store) = store();
    let mut log = known();
    scrub(&mut log, vec![Class::Profile, Class::Moderation]);
    let (app, me) = (app("app-one"), subject(1));
    log.user(me, user::Reactivated { subject: me, epoch: 1, operation: OperationId("op2".into()) });
    now(store.apply(&log.after(0), ALL)).unwrap();
    let user = user_directory::by_subject(&store, &app, me).await.unwrap().unwrap();
    assert!(user.is_active());
    assert_eq!((user.epoch, user.name, user.portrait), (1, None, None));
    assert_eq!(user_directory::registered_count(&store, &app).await.unwrap(), 2);
    assert_eq!(deactivated_users::page(&store, &app, NumberedPage::new(1, 10).unwrap()).await.unwrap(), []);
}
