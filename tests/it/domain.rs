//! Given these events, when this command, then these events or this refusal.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use rollcall::domain::erasure::Request;
use rollcall::domain::values::{BanMinutes, Name, Remark, UserId};
use rollcall::domain::{
    Command, Context, LIST_MAX, ListKind, Person, Refusal, Reply, State, World, app, ban, decide, user,
};
use rollcall_schemas::ids::{AppId, FieldName, OperationId, SubjectRef};
use rollcall_schemas::plain::{Environment, FriendPermission, Plan, Settings};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, friendship};
use uuid::Uuid;

/// A world in memory: what the decider loop is, without its loop.
struct Given {
    app: AppId,
    states: HashMap<Stream, State>,
    friends: HashMap<SubjectRef, usize>,
    now: DateTime<Utc>,
    names: Vec<String>,
}

impl World for Given {
    fn state(&self, stream: &Stream) -> Option<&State> {
        self.states.get(stream)
    }
    fn friends(&self, subject: SubjectRef) -> usize {
        self.friends.get(&subject).copied().unwrap_or(0)
    }
}

fn subject(user_id: &str) -> SubjectRef {
    let mut bytes = [0_u8; 16];
    for (place, byte) in bytes.iter_mut().zip(user_id.bytes()) {
        *place = byte;
    }
    SubjectRef(Uuid::from_bytes(bytes))
}

fn person(user_id: &str) -> Person {
    Person { user_id: UserId::parse("userId", user_id).unwrap(), subject: Some(subject(user_id)) }
}

fn people(user_ids: &[&str]) -> Vec<Person> {
    user_ids.iter().copied().map(person).collect()
}

fn name() -> Name {
    Name::parse("Somebody").unwrap()
}

impl Given {
    fn app(environment: Environment) -> Self {
        let mut given = Self {
            app: "app".parse().unwrap(),
            states: HashMap::new(),
            friends: HashMap::new(),
            now: DateTime::from_timestamp_millis(1_800_000_000_000).unwrap(),
            names: vec![],
        };
        given.when(Command::App(app::Command::Register(environment, Plan::Pro))).unwrap();
        given
    }

    fn users(user_ids: &[&str]) -> Self {
        let mut given = Self::app(Environment::Production);
        for user_id in user_ids {
            given.when(Command::Register(person(user_id), name(), None)).unwrap();
        }
        given
    }

    /// Decides, and lets happen what was decided; answers the names of the events.
    fn when(&mut self, command: Command) -> Result<Vec<&'static str>, Refusal> {
        self.ask(command).map(|(names, _)| names)
    }

    fn ask(&mut self, command: Command) -> Result<(Vec<&'static str>, Reply), Refusal> {
        let fresh = (0..command.fresh_ids()).map(|_| Uuid::new_v4()).collect();
        let context = Context { now: self.now, operation: OperationId("OP".into()), fresh };
        let read = command.streams(&self.app);
        let decision = decide(&self.app.clone(), self, &context, &command)?;
        let mut names = vec![];
        for (stream, event) in decision.events {
            let new = matches!(stream, Stream::Erasure(_));
            assert!(new || read.contains(&stream), "{stream} was written but not read by {command:?}");
            self.states.entry(stream.clone()).or_insert_with(|| State::of(&stream)).evolve(&event, self.now);
            if let (Event::Friendship(friendship::Event::Befriended(_)), Stream::Friendship(pair)) = (&event, &stream) {
                pair.both().into_iter().for_each(|subject| *self.friends.entry(subject).or_default() += 1);
            }
            names.push(event.declaration().name);
        }
        self.names.extend(names.iter().map(|name| (*name).to_owned()));
        Ok((names, decision.reply))
    }

    fn later(&mut self, duration: Duration) {
        self.now += duration;
    }
}

fn ban(user_ids: &[&str], minutes: i64) -> Command {
    Command::Ban(people(user_ids), ban::Command::Ban(BanMinutes::new(minutes).unwrap(), None))
}

fn befriend(who: &str, target: &str, direct: bool) -> Command {
    Command::Befriend { who: person(who), target: person(target), direct, text: None }
}

#[test]
fn a_registration_records_the_user_and_a_token() {
    let mut given = Given::app(Environment::Production);
    assert_eq!(
        given.when(Command::Register(person("ada"), name(), None)).unwrap(),
        ["user.registered", "token.issued"]
    );
}

#[test]
fn registering_again_issues_another_token_and_takes_no_second_seat() {
    let mut given = Given::app(Environment::Development);
    let first = given.when(Command::Register(person("ada"), name(), None)).unwrap();
    assert_eq!(first, ["user.registered", "roster.seated", "token.issued"]);
    let again = given.when(Command::Register(person("ada"), name(), None)).unwrap();
    assert_eq!(again, ["user.reregistered", "token.issued"]);
}

#[test]
fn a_development_app_has_a_hundred_seats_and_a_forgotten_user_leaves_its_own() {
    let mut given = Given::app(Environment::Development);
    for n in 0..100 {
        given.when(Command::Register(person(&format!("u{n}")), name(), None)).unwrap();
    }
    let one_more = Command::Register(person("late"), name(), None);
    assert_eq!(given.when(one_more.clone()), Err(Refusal::SeatsTaken));
    assert!(given.when(Command::Register(person("u7"), name(), None)).is_ok(), "who has a seat may come again");
    given.when(Command::Forget(people(&["u7"]), Request::default())).unwrap();
    assert!(given.when(one_more).is_ok());
}

#[test]
fn a_user_named_before_it_is_registered_keeps_its_bans_and_is_named_once() {
    let mut given = Given::app(Environment::Production);
    assert_eq!(given.when(ban(&["ada"], 5)).unwrap(), ["user.named", "ban.imposed"]);
    assert_eq!(
        given.when(Command::Register(person("ada"), name(), None)).unwrap(),
        ["user.registered", "token.issued"]
    );
    assert_eq!(given.when(ban(&["ada"], 9)).unwrap(), ["ban.replaced"]);
}

#[test]
fn a_ban_that_ran_out_is_imposed_anew_and_needs_no_lifting() {
    let mut given = Given::users(&["ada"]);
    given.when(ban(&["ada"], 5)).unwrap();
    given.later(Duration::minutes(5));
    assert_eq!(given.when(Command::Ban(people(&["ada"]), ban::Command::Lift)).unwrap(), ["ban.expired"]);
    assert_eq!(given.when(Command::Ban(people(&["ada"]), ban::Command::Lift)).unwrap(), [""; 0]);
    assert_eq!(given.when(ban(&["ada"], 5)).unwrap(), ["ban.imposed"]);
    assert_eq!(given.when(Command::Ban(people(&["ada"]), ban::Command::Lift)).unwrap(), ["ban.lifted"]);
}

#[test]
fn a_deactivation_fences_the_user_and_ends_its_tokens_and_lists_in_one_decision() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(Command::Block(person("ada"), people(&["bob"]))).unwrap();
    given.when(Command::Allow(person("ada"), people(&["bob"]))).unwrap();
    given.when(Command::Remark(person("ada"), vec![(person("bob"), Remark::parse("old friend").unwrap())])).unwrap();
    assert_eq!(
        given.when(Command::Deactivate(people(&["ada"]), Request::default())).unwrap(),
        [
            "erasure.requested",
            "user.deactivated",
            "erasure.begun",
            "token.invalidated_before",
            "blocklist.emptied",
            "allowlist.emptied",
            "remarks.emptied"
        ]
    );
    assert_eq!(
        given.when(Command::Deactivate(people(&["ada"]), Request::default())).unwrap(),
        [""; 0],
        "twice is once"
    );
}

#[test]
fn nothing_about_a_deactivated_user_lands_behind_the_fence() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(Command::Deactivate(people(&["ada"]), Request::default())).unwrap();
    let commands = [
        Command::Register(person("ada"), name(), None),
        Command::User(people(&["ada"]), user::Command::Modify(Some(name()), None)),
        Command::User(people(&["ada"]), user::Command::Tag(vec![])),
        Command::User(people(&["ada"]), user::Command::MuteDirectMessages(true)),
        Command::User(people(&["ada"]), user::Command::CleanProfile),
        ban(&["ada"], 5),
        Command::Block(person("ada"), people(&["bob"])),
        Command::Allow(person("ada"), people(&["bob"])),
        befriend("ada", "bob", true),
        befriend("bob", "ada", true),
        Command::Remark(person("bob"), vec![(person("ada"), Remark::parse("gone").unwrap())]),
    ];
    for command in commands {
        assert_eq!(given.when(command.clone()), Err(Refusal::Deactivated), "{command:?}");
    }
    assert_eq!(given.when(Command::Block(person("bob"), people(&["ada"]))).unwrap(), ["blocklist.blocked"]);
}

#[test]
fn a_batch_with_one_bad_user_changes_nobody() {
    let mut given = Given::users(&["ada", "bob", "eve"]);
    given.when(Command::Deactivate(people(&["bob"]), Request::default())).unwrap();
    let before = given.names.len();
    assert_eq!(given.when(ban(&["ada", "bob", "eve"], 5)), Err(Refusal::Deactivated));
    assert_eq!(given.names.len(), before);
}

#[test]
fn a_user_is_reactivated_after_an_hour_with_nothing_of_what_was() {
    let mut given = Given::users(&["ada"]);
    given.when(Command::User(people(&["ada"]), user::Command::MuteDirectMessages(true))).unwrap();
    given.when(Command::Deactivate(people(&["ada"]), Request::default())).unwrap();
    let reactivate = Command::User(people(&["ada"]), user::Command::Reactivate(OperationId("OP".into())));
    given.later(Duration::minutes(59));
    assert!(matches!(given.when(reactivate.clone()), Err(Refusal::ReactivationTooEarly { .. })));
    given.later(Duration::minutes(1));
    assert_eq!(given.when(reactivate.clone()).unwrap(), ["user.reactivated"]);
    assert_eq!(given.when(reactivate).unwrap(), [""; 0], "repeating is no error");
    let (_, reply) = given.ask(Command::Register(person("ada"), name(), None)).unwrap();
    assert!(matches!(reply, Reply::Token(token) if token.epoch == 1));
    let muted = given.when(Command::User(people(&["ada"]), user::Command::MuteDirectMessages(true))).unwrap();
    assert_eq!(muted, ["user.direct_messages_muted"], "the mute of before did not come back");
}

#[test]
fn the_waiting_time_of_a_reactivation_is_a_setting_of_the_app() {
    let mut given = Given::users(&["ada"]);
    let settings = Settings { reactivation_wait_seconds: 0, ..Settings::default() };
    given.when(Command::App(app::Command::ChangeSettings(settings))).unwrap();
    given.when(Command::Deactivate(people(&["ada"]), Request::default())).unwrap();
    let reactivate = Command::User(people(&["ada"]), user::Command::Reactivate(OperationId("OP".into())));
    assert_eq!(given.when(reactivate).unwrap(), ["user.reactivated"]);
}

#[test]
fn a_list_is_capped_and_counts_nobody_twice() {
    let mut given = Given::users(&["ada"]);
    for n in 0..LIST_MAX / 20 {
        let targets: Vec<_> = (0..20).map(|k| person(&format!("t{n}x{k}"))).collect();
        given.when(Command::Block(person("ada"), targets)).unwrap();
    }
    let known = Command::Block(person("ada"), people(&["t0x0", "t0x1"]));
    assert_eq!(given.when(known).unwrap(), [""; 0]);
    let one_more = Command::Block(person("ada"), people(&["one-more"]));
    assert_eq!(given.when(one_more.clone()), Err(Refusal::ListFull(ListKind::Blocklist)));
    given.when(Command::Unblock(person("ada"), people(&["t0x0"]))).unwrap();
    assert!(given.when(one_more).is_ok());
}

#[test]
fn a_user_cannot_be_its_own_target() {
    let mut given = Given::users(&["ada"]);
    assert_eq!(given.when(Command::Block(person("ada"), people(&["ada"]))), Err(Refusal::OwnTarget));
    assert_eq!(given.when(befriend("ada", "ada", true)), Err(Refusal::OwnTarget));
}

#[test]
fn friendship_obeys_the_permission_of_the_one_who_is_asked() {
    let mut given = Given::users(&["ada", "bob", "eve", "joe"]);
    let permit = |who: &str, permission| Command::User(people(&[who]), user::Command::PermitFriends(permission));
    assert_eq!(given.when(befriend("ada", "bob", false)).unwrap(), ["friendship.requested"], "the default asks");
    assert_eq!(given.when(befriend("bob", "ada", false)).unwrap(), ["friendship.befriended"], "both asked");
    assert_eq!(given.when(befriend("ada", "bob", false)), Err(Refusal::AlreadyFriends));
    given.when(permit("eve", FriendPermission::Anyone)).unwrap();
    assert_eq!(given.when(befriend("ada", "eve", false)).unwrap(), ["friendship.befriended"]);
    given.when(permit("joe", FriendPermission::Nobody)).unwrap();
    assert_eq!(given.when(befriend("ada", "joe", false)), Err(Refusal::TargetRefusesAll));
    assert_eq!(given.when(befriend("ada", "joe", true)).unwrap(), ["friendship.befriended"], "directly");
}

#[test]
fn a_request_lapses_after_seven_days() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(befriend("ada", "bob", false)).unwrap();
    assert_eq!(given.when(befriend("ada", "bob", false)).unwrap(), [""; 0], "asking twice is asking once");
    given.later(Duration::days(7));
    assert_eq!(given.when(befriend("bob", "ada", false)).unwrap(), ["friendship.requested"]);
}

#[test]
fn block_and_allow_lists_stand_between_a_request_and_its_target() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(Command::Block(person("bob"), people(&["ada"]))).unwrap();
    assert_eq!(given.when(befriend("ada", "bob", false)), Err(Refusal::TargetBlocks));
    assert_eq!(given.when(befriend("bob", "ada", false)), Err(Refusal::BlocksTarget));
    given.when(Command::SetAllowlist(people(&["bob"]), true)).unwrap();
    assert_eq!(given.when(befriend("ada", "bob", false)), Err(Refusal::TargetDoesNotAllow));
    assert_eq!(given.when(befriend("bob", "ada", false)), Err(Refusal::DoesNotAllowTarget));
    given.when(Command::Allow(person("bob"), people(&["ada"]))).unwrap();
    let asked = given.when(befriend("ada", "bob", false)).unwrap();
    assert_eq!(asked, ["friendship.requested"], "an allowlist in force takes the blocklist's place");
}

#[test]
fn friends_are_capped_on_both_sides() {
    let mut given = Given::users(&["ada", "bob"]);
    given.friends.insert(subject("ada"), LIST_MAX);
    assert_eq!(given.when(befriend("ada", "bob", true)), Err(Refusal::FriendsFull));
    assert_eq!(given.when(befriend("bob", "ada", true)), Err(Refusal::TargetFriendsFull));
}

#[test]
fn only_friends_are_described_and_only_with_declared_fields() {
    let mut given = Given::users(&["ada", "bob"]);
    let describe = |fields: &[&str]| {
        let changes = fields.iter().map(|f| (FieldName((*f).into()), Some("x".into()))).collect();
        Command::DescribeFriend(person("ada"), person("bob"), Some(None), changes)
    };
    assert_eq!(given.when(describe(&[])), Err(Refusal::NotFriends));
    given.when(befriend("ada", "bob", true)).unwrap();
    assert_eq!(given.when(describe(&["ext_a"])), Err(Refusal::UndeclaredField("ext_a".into())));
    let declared = BTreeSet::from([FieldName("ext_a".into())]);
    given.when(Command::App(app::Command::DeclareExtensionFields(BTreeSet::new(), declared))).unwrap();
    assert_eq!(given.when(describe(&["ext_a"])).unwrap(), ["friendship.described"]);
}

#[test]
fn the_last_secret_of_an_app_cannot_be_retired() {
    let mut given = Given::app(Environment::Production);
    let retire = |n| Command::App(app::Command::RetireSecret(rollcall_schemas::ids::SecretId(n)));
    assert_eq!(given.when(retire(1)), Err(Refusal::LastSecret));
    given.when(Command::App(app::Command::AddSecret(rollcall_schemas::ids::SecretId(2)))).unwrap();
    assert_eq!(given.when(retire(1)).unwrap(), ["app.secret_retired"]);
}

fn any_command() -> impl Strategy<Value = Command> {
    let who = || (0..4_usize).prop_map(|n| person(["ada", "bob", "eve", "joe"][n]));
    let two = || (who(), who());
    prop_oneof![
        who().prop_map(|p| Command::Register(p, name(), None)),
        who().prop_map(|p| Command::Deactivate(vec![p], Request::default())),
        who().prop_map(|p| Command::Forget(vec![p], Request::default())),
        who().prop_map(|p| Command::User(vec![p], user::Command::Reactivate(OperationId("OP".into())))),
        who().prop_map(|p| Command::User(vec![p], user::Command::MuteDirectMessages(true))),
        (who(), 1..9_i64).prop_map(|(p, m)| ban(&[p.user_id.as_str()], m)),
        who().prop_map(|p| Command::Ban(vec![p], ban::Command::Lift)),
        two().prop_map(|(a, b)| Command::Block(a, vec![b])),
        two().prop_map(|(a, b)| Command::Unblock(a, vec![b])),
        two().prop_map(|(a, b)| Command::Allow(a, vec![b])),
        (two(), any::<bool>()).prop_map(|((a, b), direct)| Command::Befriend { who: a, target: b, direct, text: None }),
        two().prop_map(|(a, b)| Command::Unfriend(a, vec![b])),
        two().prop_map(|(a, b)| Command::Remark(a, vec![(b, Remark::parse("r").unwrap())])),
        who().prop_map(|p| Command::InvalidateTokens(vec![p], DateTime::<Utc>::UNIX_EPOCH)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_sequence_of_commands_evolves_without_panic_and_writes_only_what_it_read(
        commands in prop::collection::vec((any_command(), 0..90_i64), 0..40)
    ) {
        let mut given = Given::app(Environment::Development);
        for (command, minutes) in commands {
            given.later(Duration::minutes(minutes));
            // A refusal is as good as a decision: what is checked happens inside.
            let _ = given.when(command);
        }
    }

    #[test]
    fn a_repeated_removal_or_deactivation_decides_nothing_the_second_time(
        commands in prop::collection::vec(any_command(), 0..30), last in any_command()
    ) {
        let mut given = Given::app(Environment::Production);
        for command in commands {
            let _ = given.when(command);
        }
        let idempotent = matches!(
            last,
            Command::Deactivate(..) | Command::Block(..) | Command::Unblock(..) | Command::Allow(..) | Command::Unfriend(..)
                | Command::InvalidateTokens(..)
        );
        if idempotent && given.when(last.clone()).is_ok() {
            prop_assert_eq!(given.when(last).unwrap(), [""; 0]);
        }
    }
}
