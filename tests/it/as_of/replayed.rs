//! What the past shows is what was seen live at that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall::audit::as_of::{Past, WholeLists, bans_at, deactivated_at, friends_at};
use rollcall::domain::allowlist::{Allow, SetAllowlist};
use rollcall::domain::ban::Lift;
use rollcall::domain::blocklist::Unblock;
use rollcall::domain::friend_groups::{GroupFriend, LabelGroup, RemoveGroup};
use rollcall::domain::token::Invalidate;
use rollcall::domain::user::Change;
use rollcall::domain::values::{GroupNumber, Label, MuteMinutes, QuietHours, Tag};
use rollcall::engine::rebuild;
use rollcall::eventlog::{self, EventLog, RawEvent};
use rollcall_projections::store::ReadStore;
use rollcall_projections::{
    NumberedPage, Order, PAST_ONLY, access_tokens, allowlists, banned_users, blocklists, deactivated_users,
    friend_graph, friend_groups, hosted_profiles, mutes, user_directory, user_settings, user_tags,
};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::FriendPermission;
use serde_json::{Map, Value, json};

use super::{
    Asked, Given, app_id, befriend, block, change, deactivate, impose, profile, register, rename, unfriend, user_id,
};
use crate::support::log_layer::{Layer, Layered};

const USERS: [&str; 5] = ["ada", "bob", "eve", "kim", "zoe"];
const PAGE: NumberedPage = NumberedPage::first(1_000);

/// Numbers that look random and are the same in every run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn user(&mut self) -> &'static str {
        USERS[self.below(USERS.len())]
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(super) fn command(&mut self) -> Asked {
        let (who, target, n) = (self.user(), self.user(), self.below(1_000));
        let of = |changed| change(who, changed);
        let list = vec![user_id(target)];
        let (owner, group) = (user_id(who), GroupNumber::new(1 + n as u32 % 2).unwrap());
        match self.below(24) {
            0..3 => register(who, &format!("Name {n}")),
            3 => rename(who, &format!("Renamed {n}")),
            4 => profile(who, "email", Some(json!(format!("{n}@example.com")))),
            5 => profile(who, "email", None),
            6 => of(Change::CleanProfile),
            7 => of(Change::Tag(if self.flag() { vec![Tag::parse(&format!("t{n}")).unwrap()] } else { vec![] })),
            8 if self.flag() => {
                of(Change::MuteDirectMessages(n.is_multiple_of(2).then(|| MuteMinutes::new(60).unwrap())))
            }
            8 => of(Change::UnmuteDirectMessages),
            9 => of(Change::QuietPushes(self.flag().then(|| QuietHours::parse("22:00:00", 60, 1).unwrap()))),
            10 => of(Change::PermitFriends(
                [FriendPermission::Anyone, FriendPermission::Approval, FriendPermission::Nobody][n % 3],
            )),
            11 => impose(who, 60, &format!("reason {n}")),
            12 => Arc::new(Lift { who: list, scheduled: true, only: None }),
            13 => block(who, target),
            14 => Arc::new(Unblock { owner: user_id(who), targets: list }),
            15 => Arc::new(Allow { owner: user_id(who), targets: list }),
            16 => Arc::new(SetAllowlist { who: list, enabled: self.flag() }),
            17 => befriend(who, target, true),
            18 => unfriend(who, target),
            19 => {
                let label = Label::parse(&format!("label {n}")).unwrap();
                Arc::new(LabelGroup { owner, group, label, relabels: true })
            }
            20 | 21 => Arc::new(GroupFriend { owner, group, friend: user_id(target), is_in: n % 3 > 0 }),
            22 if n % 3 == 0 => Arc::new(RemoveGroup { owner, group }),
            _ => Arc::new(Invalidate { who: list, before: DateTime::<Utc>::from_timestamp_millis(n as i64).unwrap() }),
        }
    }
}

/// What a face would be told about a user right now, in the form an auditor reads.
async fn observed(given: &Given, subject: SubjectRef) -> Value {
    let (engine, app) = (given.engine(), app_id());
    engine.applied_up_to(given.head()).await.unwrap();
    let read = engine.read();
    let text = |sealed: Option<Vec<u8>>| sealed.map(|sealed| engine.open_text(&app, subject, &sealed).unwrap());
    let json_of = |sealed: Vec<u8>| engine.open_value::<Value>(&app, subject, &sealed).unwrap();
    let row = user_directory::by_subject(read, &app, subject).await.unwrap();
    let status = match &row {
        None => "unknown",
        Some(row) if row.registered_at.is_none() => "named",
        Some(_) => "registered",
    };
    let fields = hosted_profiles::of_subjects(read, &app, &[subject]).await.unwrap().pop().flatten();
    let fields: Map<_, _> = fields.map_or_else(Map::new, |profile| {
        profile.fields.into_iter().map(|(field, sealed)| (field.0, json_of(sealed).unwrap())).collect()
    });
    let tags = user_tags::of_subjects(read, &app, &[subject]).await.unwrap().pop().flatten();
    let settings = user_settings::of(read, subject).await.unwrap();
    let quiet = settings.quiet.map(|q| json!({"start": q.start, "minutes": q.minutes, "level": q.level}));
    let ban = banned_users::of(read, subject).await.unwrap();
    let ban = ban.map(|b| json!({"banned_at": b.banned_at, "until": b.ends_at, "reason": text(b.reason)}));
    let mute = mutes::of(read, subject).await.unwrap();
    let muted_until = mute.as_ref().and_then(|mute| mute.ends_at);
    let others = async |subjects: Vec<SubjectRef>| {
        let ids = engine.user_ids(&app, &subjects).await.unwrap();
        let pairs = subjects.iter().zip(ids);
        pairs.map(|(subject, id)| json!({"subject": subject, "user_id": id.unwrap()})).collect::<Vec<_>>()
    };
    let blocked = blocklists::page(read, subject, None, 1_000).await.unwrap();
    let allowed = allowlists::page(read, subject, None, 1_000).await.unwrap();
    let friends = friend_graph::page(read, subject, None, 1_000, Order::OldestFirst).await.unwrap();
    let mut friend_list = others(friends.iter().map(|friend| friend.friend).collect()).await;
    for (shown, friend) in friend_list.iter_mut().zip(&friends) {
        shown["befriended_at"] = json!(friend.befriended_at);
    }
    let mut groups = vec![];
    for group in friend_groups::all(read, subject).await.unwrap() {
        let members = friend_groups::members(read, (subject, group.number), None, 1_000).await.unwrap();
        let friends = others(members).await;
        groups.push(json!({"group_id": group.number, "label": text(Some(group.label)), "friends": friends}));
    }
    let tokens = tokens(given, subject).await;
    let mut user = json!({
        "subject": subject, "status": status, "held": false, "epoch": row.as_ref().map_or(0, |row| row.epoch),
        "user_id": text(row.as_ref().and_then(|row| row.user_id.clone())),
        "registered_at": row.as_ref().and_then(|row| row.registered_at),
        "deactivated_at": deactivated_users::of(read, subject).await.unwrap().map(|found| found.deactivated_at),
        "name": text(row.as_ref().and_then(|row| row.name.clone())),
        "portrait": text(row.as_ref().and_then(|row| row.portrait.clone())),
        "profile": fields, "tags": tags.and_then(json_of),
        "muted": mute.is_some(), "quiet_hours": quiet,
        "friend_permission": settings.friend_permission, "ban": ban,
        "blocklist": others(blocked.iter().map(|entry| entry.target).collect()).await,
        "allowlist_enabled": allowlists::in_force_since(read, &[subject]).await.unwrap()[0].is_some(),
        "allowlist": others(allowed.iter().map(|entry| entry.target).collect()).await,
        "friends": friend_list, "friend_groups": groups,
        "tokens_issued": tokens.as_ref().map_or(0, |tokens| tokens.issued),
        "tokens_invalid_before": tokens.and_then(|tokens| tokens.invalid_before),
    });
    if let Some(until) = muted_until {
        user["muted_until"] = json!(until);
    }
    user
}

/// The tokens of a user right now: nobody asks the service for them, so they are projected for this.
async fn tokens(given: &Given, subject: SubjectRef) -> Option<access_tokens::Tokens> {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(ReadStore::scratch(&dir.path().join("read.db"), PAST_ONLY).unwrap());
    let engine = given.engine();
    rebuild::catch_up(engine.log(), engine.vault(), &store, PAST_ONLY, &|_, _| {}).await.unwrap();
    access_tokens::of(&store, subject).await.unwrap()
}

/// The bans of the app right now.
async fn banned(given: &Given) -> Vec<SubjectRef> {
    let read = given.engine().read();
    let bans = banned_users::banned_until(read, &app_id(), given.engine().now(), PAGE).await.unwrap();
    bans.iter().map(|ban| ban.subject).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_moment_is_shown_as_it_was_seen_live() {
    for seed in [1, 2, 3] {
        let dir = tempfile::tempdir().unwrap();
        let given = Given::nobody(dir.path()).await;
        let mut dice = Dice(seed);
        let (mut seen, mut bans_seen) = (vec![], vec![]);
        for step in 0..120 {
            if given.execute(dice.command()).await.is_err() {
                continue;
            }
            let who = user_id_seen(&given, dice.user()).await;
            let Some(subject) = who else { continue };
            seen.push((given.head(), subject, observed(&given, subject).await));
            if step % 20 == 0 {
                bans_seen.push((given.head(), banned(&given).await));
            }
        }
        assert!(seen.len() > 60, "{}", seen.len());
        for (position, subject, live) in seen {
            let mut past = given.shown(subject, position).await;
            let shown = past.as_object_mut().unwrap();
            assert_eq!(shown.remove("position"), Some(json!(position)));
            shown.remove("at");
            assert_eq!(past, live, "seed {seed}, position {position}");
            let moment = given.moment(position).await;
            let friends = friends_at(given.past().await, &app_id(), subject, moment).await.unwrap();
            assert_eq!(serde_json::to_value(friends.view.friends).unwrap(), live["friends"]);
        }
        for (position, live) in bans_seen {
            let moment = given.moment(position).await;
            let bans = bans_at(given.past().await, &app_id(), moment, PAGE, &|_, _| ()).await.unwrap();
            let past: Vec<_> = bans.view.bans.iter().map(|ban| ban.subject).collect();
            assert_eq!(past, live, "seed {seed}, position {position}");
        }
        given.stop();
    }
}

async fn user_id_seen(given: &Given, who: &str) -> Option<SubjectRef> {
    given.engine().applied_up_to(given.head()).await.unwrap();
    given.engine().find(&app_id(), &super::user_id(who)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replays_answer_the_same_bytes_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let mut dice = Dice(9);
    for _ in 0..80 {
        drop(given.execute(dice.command()).await);
    }
    given.erases(deactivate("ada")).await;
    let (head, subject) = (given.head(), given.subject("bob").await);
    let (ada, moment) = (given.subject("ada").await, given.moment(head / 2).await);
    let replay = async || {
        let past = given.past().await;
        let bans = bans_at(past, &app_id(), moment, PAGE, &|_, _| ()).await.unwrap();
        let gone = deactivated_at(past, &app_id(), given.moment(head).await, PAGE, &|_, _| ()).await.unwrap();
        let users = (given.user_at(subject, head / 2).await, given.user_at(ada, head).await);
        serde_json::to_vec(&(bans, gone, users)).unwrap()
    };
    let first = replay().await;
    for _ in 0..3 {
        assert_eq!(replay().await, first);
    }
    assert_eq!(given.head(), head);
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_counts_until_its_end_and_not_after() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let subject = given.registers("ada", "Ada").await;
    let head = given.does(impose("ada", 10, "noise")).await;
    given.engine().applied_up_to(head).await.unwrap();
    let until = banned_users::of(given.engine().read(), subject).await.unwrap().unwrap().until();
    for (at, banned) in [(until - chrono::Duration::milliseconds(1), true), (until, false)] {
        let past = given.past().await;
        let moment = past.resolve(rollcall::audit::as_of::When::Time(at)).await.unwrap();
        assert_eq!(moment.position, head);
        let bans = bans_at(past, &app_id(), moment, PAGE, &|_, _| ()).await.unwrap().view.bans;
        let user = rollcall::audit::as_of::user_at(past, &app_id(), subject, moment).await.unwrap();
        assert_eq!((bans.len() == 1, user.view.ban.is_some()), (banned, banned));
    }
    given.stop();
}

/// Counts how often a log is read from front to back.
#[derive(Default)]
struct Counted {
    reads: AtomicU64,
}

#[async_trait]
impl Layer for Counted {
    async fn read_all(&self, log: &dyn EventLog, after: u64, limit: usize) -> Result<Vec<RawEvent>, eventlog::Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        log.read_all(after, limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_a_list_of_the_past_need_one_replay_and_tell_what_was_erased_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let names = ["ada", "bob", "cat"];
    for who in names {
        given.registers(who, who).await;
        given.does(impose(who, 10, "noise")).await;
    }
    let moment = given.moment(given.head()).await;
    let counted = Layered::over(given.log().clone(), Counted::default());
    let log: Arc<dyn EventLog> = counted.clone();
    let (vault, read) = (given.data.vault.clone(), given.data.read.clone());
    given.engine().applied_up_to(given.head()).await.unwrap();
    let past = Past::of_stopped(&log, &vault, &read, &|_, _| ()).await.unwrap();
    let lists = WholeLists::default();
    let page = async |number| {
        let page = NumberedPage::new(number, 1).unwrap();
        let whole = bans_at(given.past().await, &app_id(), moment, page, &|_, _| ()).await.unwrap();
        let kept = lists.bans_at(past, &app_id(), moment, page).await.unwrap();
        assert_eq!(serde_json::to_value(&kept).unwrap(), serde_json::to_value(&whole).unwrap());
        serde_json::to_string(&kept).unwrap()
    };
    assert!(page(1).await.contains("noise"));
    let reads = counted.reads.load(Ordering::Relaxed);
    assert!(reads > 0);
    for number in [2, 3, 1] {
        assert!(page(number).await.contains("noise"));
    }
    assert_eq!(counted.reads.load(Ordering::Relaxed), reads, "the log was read again");
    given.erases(deactivate("ada")).await;
    assert!(page(3).await.contains("erased"), "what is kept is opened with today's keys");
    given.stop();
}
