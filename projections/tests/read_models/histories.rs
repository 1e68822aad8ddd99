//! Random histories that the domain could have recorded.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveTime;
use proptest::prelude::{Strategy, any};
use rollcall_schemas::ids::{ErasureId, FieldName, OperationId, Pair, SecretId, SubjectRef, TokenId};
use rollcall_schemas::personal::{Class, Personal};
use rollcall_schemas::plain::{EndCause, Environment, Finality, FriendPermission, Plan, Scope, Settings, Visibility};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{
    allowlist, app, ban, blocklist, erasure, friend_groups, friendship, remarks, roster, token, user,
};
use uuid::Uuid;

use crate::support::{Log, app as key, at, banned, blocked, profile, requested, scrubbed, sealed, subject};

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Unknown,
    Named,
    Registered,
    Deactivated,
}

struct Person {
    subject: SubjectRef,
    status: Status,
    muted: bool,
    banned: bool,
    epoch: u32,
}

struct World {
    log: Log,
    people: Vec<Person>,
    friends: BTreeSet<Pair>,
    next: u32,
}

/// A log made of random steps by a handful of people in two apps.
pub fn history() -> impl Strategy<Value = Log> {
    proptest::collection::vec((0u8..29, 0usize..8, 0usize..8, any::<u8>()), 0..250).prop_map(|steps| {
        let mut world = World { log: Log::default(), people: Vec::new(), friends: BTreeSet::new(), next: 100 };
        for number in 0..8 {
            world.people.push(Person::new(subject(number)));
        }
        for name in ["app-one", "app-two"] {
            world.set_up(name);
        }
        for (step, who, other, salt) in steps {
            world.log.app = key(if who % 2 == 0 { "app-one" } else { "app-two" });
            // The other is of the same app.
            world.step(step, who, (other / 2) * 2 + who % 2, salt);
        }
        world.log
    })
}

impl Person {
    fn new(subject: SubjectRef) -> Self {
        Self { subject, status: Status::Unknown, muted: false, banned: false, epoch: 0 }
    }
}

fn field(name: &str) -> FieldName {
    FieldName(name.into())
}

impl World {
    fn set_up(&mut self, name: &str) {
        self.log.app = key(name);
        let app = key(name);
        let stream = Stream::App(app.clone());
        let (environment, plan) = (Environment::Development, Plan::Pro);
        let registered = app::Registered { app: app.clone(), environment, plan };
        self.log.record(stream.clone(), app::Event::from(registered));
        for secret in [SecretId(1), SecretId(2)] {
            self.log.record(stream.clone(), app::Event::from(app::SecretAdded { app: app.clone(), secret }));
        }
        let retired = app::SecretRetired { app: app.clone(), secret: SecretId(1) };
        self.log.record(stream.clone(), app::Event::from(retired));
        let settings = app::SettingsChanged { app: app.clone(), settings: Settings::default() };
        self.log.record(stream.clone(), app::Event::from(settings));
        let window = app::SignatureWindowSet { app: app.clone(), seconds: 300 };
        self.log.record(stream.clone(), app::Event::from(window));
        for enabled in [true, name == "app-one"] {
            let friends_only = app::FriendsOnlyMessagesSet { app: app.clone(), enabled };
            self.log.record(stream.clone(), app::Event::from(friends_only));
        }
        let limit = app::RateLimitSet { app: app.clone(), limit: rollcall_schemas::plain::RateLimit::Platform };
        self.log.record(stream.clone(), app::Event::from(limit));
        let user_fields = BTreeSet::from([field("ext_team")]);
        let declared = app::ExtensionFieldsDeclared { app, friend_fields: user_fields.clone(), user_fields };
        self.log.record(stream, app::Event::from(declared));
    }

    fn step(&mut self, step: u8, who: usize, other: usize, salt: u8) {
        let person = &self.people[who];
        let (me, status) = (person.subject, person.status);
        match (step, status) {
            (0 | 1, Status::Unknown) => {
                let user_id = sealed(Class::Identity, me, "id");
                self.log.user(me, user::Named { subject: me, user_id });
                self.people[who].status = Status::Named;
            }
            (2..=5, Status::Unknown | Status::Named) => {
                let user_id = (status == Status::Unknown).then(|| sealed(Class::Identity, me, "id"));
                let name = profile(me, "name");
                self.log.user(me, user::Registered { subject: me, user_id, name, portrait: None });
                let seated = roster::Seated { app: self.log.app.clone(), subject: me };
                self.log.record(Stream::Roster(self.log.app.clone()), roster::Event::from(seated));
                self.people[who].status = Status::Registered;
            }
            (0..=11, Status::Registered) => self.of_user(step, who, salt),
            (12, Status::Registered) => self.erase(who, Scope::Deactivate, salt),
            (13, Status::Registered | Status::Named) => self.erase(who, Scope::Forget, salt),
            (14..=16, Status::Deactivated) => {
                self.people[who].epoch += 1;
                let operation = OperationId(format!("op-{salt}"));
                self.log.user(me, user::Reactivated { subject: me, epoch: self.people[who].epoch, operation });
                self.people[who].status = Status::Registered;
            }
            (17..=19, Status::Registered | Status::Named | Status::Deactivated) => self.ban(who, step, salt),
            (20..=28, Status::Registered) if who != other && self.people[other].status == Status::Registered => {
                self.relate(step, who, other, salt);
            }
            _ => {}
        }
    }

    fn of_user(&mut self, step: u8, who: usize, salt: u8) {
        let me = self.people[who].subject;
        let text = format!("text-{salt}");
        let event: user::Event = match step {
            0 => user::Reregistered { subject: me, name: profile(me, &text), portrait: None }.into(),
            1 => user::Modified { subject: me, name: None, portrait: Some(profile(me, &text)) }.into(),
            2 | 3 => {
                let named = |number: u8| field(["uniqueId", "f1", "f2"][usize::from(number % 3)]);
                let (fields, cleared) =
                    (BTreeMap::from([(named(salt), profile(me, &text))]), BTreeSet::from([named(salt / 3)]));
                user::ProfileSet { subject: me, fields, cleared }.into()
            }
            4 => user::ProfileCleaned { subject: me }.into(),
            5 => user::Tagged { subject: me, tags: (!salt.is_multiple_of(3)).then(|| profile(me, &text)) }.into(),
            6 | 7 => {
                self.people[who].muted = !self.people[who].muted;
                if self.people[who].muted && salt.is_multiple_of(2) {
                    user::DirectMessagesMutedV2 { subject: me, ends_at: Some(at(1_000 + i64::from(salt))) }.into()
                } else if self.people[who].muted {
                    user::DirectMessagesMuted { subject: me }.into()
                } else if salt.is_multiple_of(3) {
                    user::DirectMessagesMuteExpired { subject: me, until: at(1_000) }.into()
                } else {
                    user::DirectMessagesUnmuted { subject: me }.into()
                }
            }
            8 => {
                let start = NaiveTime::from_hms_opt(u32::from(salt % 24), 0, 0).unwrap();
                user::PushQuieted { subject: me, start, minutes: 60, level: 1 }.into()
            }
            9 => user::PushUnquieted { subject: me }.into(),
            10 if salt.is_multiple_of(2) => {
                user::VisibilitySet { subject: me, visibility: Visibility::ALL[usize::from(salt % 3)] }.into()
            }
            10 => user::FriendPermissionSet { subject: me, permission: FriendPermission::Nobody }.into(),
            _ => {
                let (issued_at, expires_at) = (at(salt.into()), Some(at(1_000)));
                let token = TokenId(Uuid::from_u128(salt.into()));
                let issued = token::Issued { subject: me, token, secret: SecretId(1), epoch: 0, issued_at, expires_at };
                let invalidated = token::InvalidatedBefore { subject: me, before: issued_at };
                self.log.record(Stream::Token(me), token::Event::from(issued));
                if salt.is_multiple_of(2) {
                    let revoked = token::Revoked { subject: me, token, issued_at, expires_at };
                    self.log.record(Stream::Token(me), token::Event::from(revoked));
                }
                self.log.record(Stream::Token(me), token::Event::from(invalidated));
                return;
            }
        };
        self.log.user(me, event);
    }

    fn erase(&mut self, who: usize, scope: Scope, salt: u8) {
        let me = self.people[who].subject;
        let position = self.log.events.len() as u128;
        let (erasure, operation) = (ErasureId(Uuid::from_u128(position)), OperationId(format!("op-{salt}")));
        let stream = Stream::Erasure(erasure);
        self.log.record(stream.clone(), requested(erasure, me, scope, &operation.0));
        self.log.user(me, user::Deactivated { subject: me, erasure, operation });
        self.log.record(stream.clone(), erasure::Event::from(erasure::Begun { erasure, subject: me }));
        for pair in self.friends.clone() {
            if pair.both().contains(&me) {
                self.end(pair, me);
            }
        }
        self.log.record(Stream::Blocklist(me), blocklist::Event::from(blocklist::Emptied { subject: me }));
        let ended = erasure::RelationsEnded { erasure, subject: me, friendships: 1 };
        self.log.record(stream.clone(), erasure::Event::from(ended));
        let mut classes = vec![Class::Profile, Class::Moderation];
        if scope == Scope::Forget {
            classes.push(Class::Identity);
            self.log.user(me, user::Forgotten { subject: me, erasure });
        }
        self.log.record(stream.clone(), scrubbed(erasure, me, classes));
        let verified = erasure::Verified { erasure, subject: me, tried: 3, opened: 0, control_opened: true };
        self.log.record(stream.clone(), erasure::Event::from(verified));
        let finalised = erasure::Finalised { erasure, subject: me, finality: Finality::LocalFile };
        self.log.record(stream, erasure::Event::from(finalised));
        self.people[who].status = Status::Deactivated;
        self.people[who].muted = false;
        if scope == Scope::Forget {
            self.next += 1;
            self.people[who] = Person::new(subject(self.next));
        }
    }

    fn end(&mut self, pair: Pair, by: SubjectRef) {
        let [low, high] = pair.both();
        let other = if low == by { high } else { low };
        let ended = friendship::Ended { by, other, cause: EndCause::Removed };
        self.log.record(Stream::Friendship(pair), friendship::Event::from(ended));
        self.friends.remove(&pair);
    }

    fn ban(&mut self, who: usize, step: u8, salt: u8) {
        let me = self.people[who].subject;
        let until = at(salt.into());
        let event = match (self.people[who].banned, step) {
            (false, _) if salt.is_multiple_of(5) => self.scheduled(me, until),
            (false, _) if salt.is_multiple_of(3) => {
                let note = Some(sealed(Class::Moderation, me, "note"));
                ban::Event::from(ban::ImposedV2 { subject: me, ends_at: None, reason: None, note }).into()
            }
            (false, _) => banned(me, until),
            (true, 17) if salt.is_multiple_of(7) => self.scheduled(me, until),
            (true, 17) if salt.is_multiple_of(5) => {
                ban::Event::from(ban::Started { subject: me, starts_at: until, ends_at: None }).into()
            }
            (true, 17) if salt.is_multiple_of(3) => {
                let reason = Some(sealed(Class::Moderation, me, "reason"));
                ban::Event::from(ban::ReplacedV2 { subject: me, ends_at: None, reason, note: None }).into()
            }
            (true, 18) if salt.is_multiple_of(3) => ban::Event::from(ban::Cancelled { subject: me }).into(),
            (true, 17) => ban::Event::from(ban::Replaced { subject: me, until, reason: None }).into(),
            (true, 18) => ban::Event::from(ban::Lifted { subject: me }).into(),
            (true, _) => ban::Event::from(ban::Expired { subject: me, until }).into(),
        };
        self.people[who].banned = !self.people[who].banned || step == 17;
        self.log.record(Stream::Ban(me), event);
    }

    fn scheduled(&self, me: SubjectRef, starts_at: chrono::DateTime<chrono::Utc>) -> rollcall_schemas::Event {
        let (reason, note) = (Some(sealed(Class::Moderation, me, "why")), None);
        ban::Event::from(ban::Scheduled { subject: me, starts_at, ends_at: None, reason, note }).into()
    }

    fn relate(&mut self, step: u8, who: usize, other: usize, salt: u8) {
        let (me, them) = (self.people[who].subject, self.people[other].subject);
        let pair = Pair::of(me, them).unwrap();
        let friends = self.friends.contains(&pair);
        match (step, friends) {
            (20, _) if salt.is_multiple_of(3) => {
                let unblocked = blocklist::Unblocked { subject: me, targets: vec![them] };
                self.log.record(Stream::Blocklist(me), blocklist::Event::from(unblocked));
            }
            (20, _) => {
                self.log.record(Stream::Blocklist(me), blocked(me, vec![them, subject(50)]));
            }
            (21, _) => {
                let event = match salt % 5 {
                    0 => allowlist::Event::from(allowlist::Enabled { subject: me }),
                    1 => allowlist::Disabled { subject: me }.into(),
                    2 => allowlist::Emptied { subject: me }.into(),
                    3 => allowlist::Disallowed { subject: me, targets: vec![them] }.into(),
                    _ => allowlist::Allowed { subject: me, targets: vec![them] }.into(),
                };
                self.log.record(Stream::Allowlist(me), event);
            }
            (22 | 23, _) => {
                let event = match salt % 4 {
                    0 => remarks::Event::from(remarks::Unremarked { owner: me, target: them }),
                    1 => remarks::Emptied { owner: me }.into(),
                    _ => remarks::Remarked { owner: me, target: them, remark: profile(them, "remark") }.into(),
                };
                self.log.record(Stream::Remarks(me), event);
            }
            (28, _) => {
                let group = u32::from(salt % 2) + 1;
                let event = match salt / 2 % 7 {
                    0 => friend_groups::Event::from(friend_groups::Removed { owner: me, group }),
                    1 => friend_groups::TakenOut { owner: me, friend: them, group }.into(),
                    2 => friend_groups::Emptied { owner: me }.into(),
                    3 | 4 if friends => friend_groups::Added { owner: me, friend: them, group }.into(),
                    _ => friend_groups::Labelled { owner: me, group, label: profile(me, "label") }.into(),
                };
                self.log.record(Stream::FriendGroups(me), event);
            }
            (24, false) if !salt.is_multiple_of(7) => {
                let text: Option<Personal<String>> = Some(profile(me, "please"));
                let requested = friendship::Requested { from: me, to: them, text, expires_at: at(salt.into()) };
                self.log.record(Stream::Friendship(pair), friendship::Event::from(requested));
            }
            (24 | 25, _) if salt.is_multiple_of(7) && !friends => {
                let event = match salt % 4 {
                    0 => friendship::Event::from(friendship::Accepted { by: me, other: them }),
                    1 => friendship::Refused { by: me, other: them }.into(),
                    2 => friendship::Cancelled { by: me, other: them }.into(),
                    _ => friendship::Expired { from: me, to: them, expires_at: at(salt.into()) }.into(),
                };
                self.log.record(Stream::Friendship(pair), event);
            }
            (25 | 26, false) => {
                let befriended = friendship::Befriended { from: me, to: them };
                self.log.record(Stream::Friendship(pair), friendship::Event::from(befriended));
                self.friends.insert(pair);
            }
            (27, true) if salt.is_multiple_of(4) => self.end(pair, me),
            (24..=27, true) => {
                let described = friendship::Described {
                    owner: me,
                    about: them,
                    remark: salt.is_multiple_of(2).then(|| profile(them, "remark")),
                    remark_cleared: salt.is_multiple_of(5),
                    fields: BTreeMap::from([(field("ext_team"), profile(them, "team"))]),
                    cleared: BTreeSet::from([field("ext_old")]),
                };
                self.log.record(Stream::Friendship(pair), friendship::Event::from(described));
            }
            _ => {}
        }
    }
}
