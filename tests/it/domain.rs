//! Given these events, when this command, then these events or this refusal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use rollcall::domain::allowlist::{Allow, SetAllowlist};
use rollcall::domain::ban::{Ban, Lift, Over};
use rollcall::domain::blocklist::{Block, Unblock};
use rollcall::domain::erasure::{Erase, Request};
use rollcall::domain::friendship::{Befriend, Describe, Tally, Unfriend};
use rollcall::domain::remarks::Remark;
use rollcall::domain::token::Invalidate;
use rollcall::domain::user::{Change, ChangeUsers, Import, Reactivate, Register};
use rollcall::domain::values::{BanMinutes, Name, Remark as Text, UserId};
use rollcall::domain::{
    Command, Context, DynDecide, Error, Found, LIST_MAX, ListKind, Person, RECEIVED_REQUESTS_MAX, Refusal, Reply,
    SENT_REQUESTS_MAX, State, World, app, decide, erasure, user,
};
use rollcall_schemas::ids::{AppId, FieldName, SubjectRef};
use rollcall_schemas::plain::{Environment, FriendPermission, Plan, Scope, Settings};
use rollcall_schemas::stream::Stream;
use uuid::Uuid;

mod bans;
mod declarations;
mod groups;
mod imports;
mod mutes;
mod operations;
mod requests;
mod snapshots;
mod tokens;

/// A world in memory: what the decider loop is, without its loop.
#[derive(Clone)]
struct Given {
    app: AppId,
    states: HashMap<Stream, State>,
    tallies: HashMap<SubjectRef, Tally>,
    now: DateTime<Utc>,
    names: Vec<String>,
}

impl World for Given {
    fn state(&self, stream: &Stream) -> Option<&State> {
        self.states.get(stream)
    }
    fn tally(&self, subject: SubjectRef) -> Option<Tally> {
        Some(self.tallies.get(&subject).copied().unwrap_or_default())
    }
}

fn subject(user_id: &str) -> SubjectRef {
    let mut bytes = [0_u8; 16];
    for (place, byte) in bytes.iter_mut().zip(user_id.bytes()) {
        *place = byte;
    }
    SubjectRef(Uuid::from_bytes(bytes))
}

fn user_id(text: &str) -> UserId {
    UserId::parse("userId", text).unwrap()
}

fn user_ids(texts: &[&str]) -> Vec<UserId> {
    texts.iter().copied().map(user_id).collect()
}

fn person(text: &str) -> Person {
    Person { user_id: user_id(text), subject: Some(subject(text)), further: vec![] }
}

fn people(texts: &[&str]) -> Vec<Person> {
    texts.iter().copied().map(person).collect()
}

fn name() -> Name {
    Name::parse("Somebody").unwrap()
}

fn register(who: &str) -> Register<Person> {
    Register { who: person(who), name: name(), portrait: None }
}

fn import(who: &str) -> Import<Person> {
    Import { who: person(who), name: name(), portrait: None, profile: BTreeMap::new(), updates: true }
}

fn change(who: &str, change: Change) -> ChangeUsers<Person> {
    ChangeUsers { who: people(&[who]), change }
}

fn erase(who: &str, scope: Scope) -> Erase<Person> {
    Erase { who: people(&[who]), scope, request: Request::default() }
}

fn deactivate(who: &str) -> Erase<Person> {
    erase(who, Scope::Deactivate)
}

fn reactivate(who: &str) -> Reactivate<Person> {
    Reactivate { who: people(&[who]) }
}

fn ban(user_ids: &[&str], minutes: i64) -> Ban<Person> {
    Ban {
        who: people(user_ids),
        term: BanMinutes::new(minutes).unwrap().into(),
        reason: None,
        note: None,
        over: Over::Any,
    }
}

fn lift(who: &str) -> Lift<Person> {
    Lift { who: people(&[who]), scheduled: true, only: None }
}

fn block(owner: &str, targets: &[&str]) -> Block<Person> {
    Block { owner: person(owner), targets: people(targets) }
}

fn unblock(owner: &str, targets: &[&str]) -> Unblock<Person> {
    Unblock { owner: person(owner), targets: people(targets) }
}

fn allow(owner: &str, targets: &[&str]) -> Allow<Person> {
    Allow { owner: person(owner), targets: people(targets) }
}

fn befriend(who: &str, target: &str, direct: bool) -> Befriend<Person> {
    Befriend { who: person(who), target: person(target), direct, text: None }
}

fn remark(owner: &str, about: &str) -> Remark<Person> {
    Remark { owner: person(owner), remarks: vec![(person(about), Text::parse("old friend").unwrap())] }
}

/// Resolves a command: every userId in it is known.
fn resolved<C: Command>(command: &C) -> C::Resolved {
    let mut found = Found::default();
    for user_id in command.user_ids() {
        found.insert(user_id.clone(), Some(subject(user_id.as_str())));
    }
    command.resolve(&found).unwrap()
}

impl Given {
    fn app(environment: Environment) -> Self {
        let mut given = Self {
            app: "app".parse().unwrap(),
            states: HashMap::new(),
            tallies: HashMap::new(),
            now: DateTime::from_timestamp_millis(1_800_000_000_000).unwrap(),
            names: vec![],
        };
        given.when(&app::Command::Register(environment, Plan::Pro)).unwrap();
        given
    }

    fn users(user_ids: &[&str]) -> Self {
        let mut given = Self::app(Environment::Production);
        for user_id in user_ids {
            given.when(&register(user_id)).unwrap();
        }
        given
    }

    /// Decides, and lets happen what was decided; answers the names of the events.
    fn when(&mut self, command: &dyn DynDecide) -> Result<Vec<&'static str>, Refusal> {
        self.ask(command).map(|(names, _)| names)
    }

    fn ask(&mut self, command: &dyn DynDecide) -> Result<(Vec<&'static str>, Reply), Refusal> {
        match self.decided(command) {
            Ok(decided) => Ok(decided),
            Err(Error::Refused(refusal)) => Err(refusal),
            Err(Error::Defect(defect)) => panic!("{defect} by {command:?}"),
        }
    }

    /// Of which versions the events are that a command comes to; none of them happens.
    fn versions(&self, command: &dyn DynDecide) -> Vec<u16> {
        let fresh = (0..command.fresh_ids()).map(|_| Uuid::new_v4()).collect();
        let (context, reads, mut world) = (Context { now: self.now, fresh }, command.reads(&self.app), self.clone());
        for stream in reads.streams() {
            world.states.entry(stream.clone()).or_insert_with(|| State::of(stream));
        }
        let decision = decide(&self.app, &world, &context, command, &reads).unwrap();
        decision.events.iter().map(|(_, event)| event.declaration().version).collect()
    }

    fn decided(&mut self, command: &dyn DynDecide) -> Result<(Vec<&'static str>, Reply), Error> {
        let fresh = (0..command.fresh_ids()).map(|_| Uuid::new_v4()).collect();
        let context = Context { now: self.now, fresh };
        let reads = command.reads(&self.app);
        // What is loaded is more than what is declared: the decision must not see it.
        for stream in reads.streams() {
            self.states.entry(stream.clone()).or_insert_with(|| State::of(stream));
        }
        let decision = decide(&self.app.clone(), self, &context, command, &reads)?;
        let mut names = vec![];
        for (stream, event) in decision.events {
            let state = self.states.entry(stream.clone()).or_insert_with(|| State::of(&stream));
            let before = state.clone();
            state.evolve(&event, self.now).unwrap();
            if let (Stream::Friendship(pair), State::Friendship(before), State::Friendship(now)) =
                (&stream, &before, &*state)
            {
                for subject in pair.both() {
                    let tally = self.tallies.entry(subject).or_default();
                    tally.change(Tally::of(before, subject), Tally::of(now, subject));
                }
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

#[test]
fn a_registration_records_the_user_and_a_token() {
    let mut given = Given::app(Environment::Production);
    assert_eq!(given.when(&register("ada")).unwrap(), ["user.registered", "token.issued"]);
}

#[test]
fn registering_again_issues_another_token_and_takes_no_second_seat() {
    let mut given = Given::app(Environment::Development);
    let first = given.when(&register("ada")).unwrap();
    assert_eq!(first, ["user.registered", "roster.seated", "token.issued"]);
    let again = given.when(&register("ada")).unwrap();
    assert_eq!(again, ["user.reregistered", "token.issued"]);
}

#[test]
fn a_development_app_has_a_hundred_seats_and_a_forgotten_user_leaves_its_own() {
    let mut given = Given::app(Environment::Development);
    for n in 0..100 {
        given.when(&register(&format!("u{n}"))).unwrap();
    }
    let one_more = register("late");
    assert_eq!(given.when(&one_more.clone()), Err(Refusal::SeatsTaken));
    assert!(given.when(&register("u7")).is_ok(), "who has a seat may come again");
    given.when(&erase("u7", Scope::Forget)).unwrap();
    assert!(given.when(&one_more).is_ok());
}

#[test]
fn a_user_named_before_it_is_registered_keeps_its_bans_and_is_named_once() {
    let mut given = Given::app(Environment::Production);
    assert_eq!(given.when(&ban(&["ada"], 5)).unwrap(), ["user.named", "ban.imposed"]);
    assert_eq!(given.when(&register("ada")).unwrap(), ["user.registered", "token.issued"]);
    assert_eq!(given.when(&ban(&["ada"], 9)).unwrap(), ["ban.replaced"]);
}

#[test]
fn a_ban_that_ran_out_is_imposed_anew_and_needs_no_lifting() {
    let mut given = Given::users(&["ada"]);
    given.when(&ban(&["ada"], 5)).unwrap();
    given.later(Duration::minutes(5));
    assert_eq!(given.when(&lift("ada")).unwrap(), ["ban.expired"]);
    assert_eq!(given.when(&lift("ada")).unwrap(), [""; 0]);
    assert_eq!(given.when(&ban(&["ada"], 5)).unwrap(), ["ban.imposed"]);
    given.later(Duration::minutes(5));
    assert_eq!(given.when(&ban(&["ada"], 5)).unwrap(), ["ban.expired", "ban.imposed"]);
    assert_eq!(given.when(&lift("ada")).unwrap(), ["ban.lifted"]);
}

#[test]
fn a_deactivation_fences_the_user_and_ends_its_tokens_and_lists_in_one_decision() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(&block("ada", &["bob"])).unwrap();
    given.when(&allow("ada", &["bob"])).unwrap();
    given.when(&remark("ada", "bob")).unwrap();
    given.when(&groups::label_group("ada", 1)).unwrap();
    assert_eq!(
        given.when(&deactivate("ada")).unwrap(),
        [
            "erasure.requested",
            "user.deactivated",
            "erasure.begun",
            "token.invalidated_before",
            "blocklist.emptied",
            "allowlist.emptied",
            "remarks.emptied",
            "friend_groups.emptied"
        ]
    );
    assert_eq!(given.when(&deactivate("ada")).unwrap(), [""; 0], "twice is once");
}

#[test]
fn nothing_about_a_deactivated_user_lands_behind_the_fence() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(&deactivate("ada")).unwrap();
    let commands: [Box<dyn DynDecide>; 11] = [
        Box::new(register("ada")),
        Box::new(change("ada", Change::Modify(Some(name()), None))),
        Box::new(change("ada", Change::Tag(vec![]))),
        Box::new(change("ada", Change::MuteDirectMessages(None))),
        Box::new(change("ada", Change::CleanProfile)),
        Box::new(ban(&["ada"], 5)),
        Box::new(block("ada", &["bob"])),
        Box::new(allow("ada", &["bob"])),
        Box::new(befriend("ada", "bob", true)),
        Box::new(befriend("bob", "ada", true)),
        Box::new(remark("bob", "ada")),
    ];
    for command in commands {
        assert_eq!(given.when(command.as_ref()), Err(Refusal::Deactivated), "{command:?}");
    }
    assert_eq!(given.when(&block("bob", &["ada"])).unwrap(), ["blocklist.blocked"]);
}

#[test]
fn a_batch_with_one_bad_user_changes_nobody() {
    let mut given = Given::users(&["ada", "bob", "eve"]);
    given.when(&deactivate("bob")).unwrap();
    let before = given.names.len();
    assert_eq!(given.when(&ban(&["ada", "bob", "eve"], 5)), Err(Refusal::Deactivated));
    assert_eq!(given.names.len(), before);
}

#[test]
fn a_user_is_reactivated_after_an_hour_with_nothing_of_what_was() {
    let mut given = Given::users(&["ada"]);
    given.when(&change("ada", Change::MuteDirectMessages(None))).unwrap();
    given.when(&deactivate("ada")).unwrap();
    let reactivate = reactivate("ada");
    given.later(Duration::minutes(59));
    assert!(matches!(given.when(&reactivate.clone()), Err(Refusal::ReactivationTooEarly { .. })));
    given.later(Duration::minutes(1));
    assert_eq!(given.when(&reactivate.clone()).unwrap(), ["user.reactivated"]);
    assert_eq!(given.when(&reactivate).unwrap(), [""; 0], "repeating is no error");
    let (_, reply) = given.ask(&register("ada")).unwrap();
    assert!(matches!(reply, Reply::Token(registration) if registration.token.epoch == 1));
    let muted = given.when(&change("ada", Change::MuteDirectMessages(None))).unwrap();
    assert_eq!(muted, ["user.direct_messages_muted"], "the mute of before did not come back");
}

#[test]
fn the_waiting_time_of_a_reactivation_is_a_setting_of_the_app() {
    let mut given = Given::users(&["ada"]);
    let settings = Settings { reactivation_wait_seconds: 0, ..Settings::default() };
    given.when(&app::Command::Configure(settings, None)).unwrap();
    given.when(&deactivate("ada")).unwrap();
    let reactivate = reactivate("ada");
    assert_eq!(given.when(&reactivate).unwrap(), ["user.reactivated"]);
}

#[test]
fn a_list_is_capped_and_counts_nobody_twice() {
    let mut given = Given::users(&["ada"]);
    for n in 0..LIST_MAX / 20 {
        let targets = (0..20).map(|k| person(&format!("t{n}x{k}"))).collect();
        given.when(&Block { owner: person("ada"), targets }).unwrap();
    }
    let known = block("ada", &["t0x0", "t0x1"]);
    assert_eq!(given.when(&known).unwrap(), [""; 0]);
    let one_more = block("ada", &["one-more"]);
    assert_eq!(given.when(&one_more.clone()), Err(Refusal::ListFull(ListKind::Blocklist)));
    given.when(&unblock("ada", &["t0x0"])).unwrap();
    assert!(given.when(&one_more).is_ok());
}

#[test]
fn a_user_cannot_be_its_own_target() {
    let mut given = Given::users(&["ada"]);
    assert_eq!(given.when(&befriend("ada", "ada", true)), Err(Refusal::OwnTarget));
}

#[test]
fn a_user_that_puts_itself_on_its_own_list_changes_nothing() {
    let mut given = Given::users(&["ada", "bob"]);
    assert_eq!(given.when(&block("ada", &["ada"])).unwrap(), [""; 0]);
    assert_eq!(given.when(&allow("ada", &["ada", "ada"])).unwrap(), [""; 0]);
    assert_eq!(given.when(&block("ada", &["ada", "bob"])).unwrap(), ["blocklist.blocked"], "the others are blocked");
    assert_eq!(given.when(&unblock("ada", &["ada"])).unwrap(), [""; 0], "itself is not on the list");
    let [alone, two] =
        [&["ada"][..], &["ada", "bob"]].map(|targets| Block { owner: user_id("ada"), targets: user_ids(targets) });
    assert!(!alone.introduces() && two.introduces(), "a userId that was never used stays unknown");
    given.when(&deactivate("ada")).unwrap();
    assert_eq!(given.when(&block("ada", &["ada"])), Err(Refusal::Deactivated));
}

/// What is recorded where a request is accepted.
const BEFRIENDED: [&str; 2] = ["friendship.accepted", "friendship.befriended"];

#[test]
fn friendship_obeys_the_permission_of_the_one_who_is_asked() {
    let mut given = Given::users(&["ada", "bob", "eve", "joe"]);
    let permit = |who: &str, permission| change(who, Change::PermitFriends(permission));
    assert_eq!(given.when(&befriend("ada", "bob", false)).unwrap(), ["friendship.requested"], "the default asks");
    assert_eq!(given.when(&befriend("bob", "ada", false)).unwrap(), BEFRIENDED, "both asked");
    assert_eq!(given.when(&befriend("ada", "bob", false)), Err(Refusal::AlreadyFriends));
    given.when(&permit("eve", FriendPermission::Anyone)).unwrap();
    assert_eq!(given.when(&befriend("ada", "eve", false)).unwrap(), ["friendship.befriended"]);
    given.when(&permit("joe", FriendPermission::Nobody)).unwrap();
    assert_eq!(given.when(&befriend("ada", "joe", false)), Err(Refusal::TargetRefusesAll));
    assert_eq!(given.when(&befriend("ada", "joe", true)).unwrap(), ["friendship.befriended"], "directly");
}

#[test]
fn a_request_lapses_after_seven_days() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(&befriend("ada", "bob", false)).unwrap();
    assert_eq!(given.when(&befriend("ada", "bob", false)).unwrap(), [""; 0], "asking twice is asking once");
    given.later(Duration::days(7));
    let asked = given.when(&befriend("bob", "ada", false)).unwrap();
    assert_eq!(asked, ["friendship.expired", "friendship.requested"]);
}

#[test]
fn block_and_allow_lists_stand_between_a_request_and_its_target() {
    let mut given = Given::users(&["ada", "bob"]);
    given.when(&block("bob", &["ada"])).unwrap();
    assert_eq!(given.when(&befriend("ada", "bob", false)), Err(Refusal::TargetBlocks));
    assert_eq!(given.when(&befriend("bob", "ada", false)), Err(Refusal::BlocksTarget));
    given.when(&SetAllowlist { who: people(&["bob"]), enabled: true }).unwrap();
    assert_eq!(given.when(&befriend("ada", "bob", false)), Err(Refusal::TargetDoesNotAllow));
    assert_eq!(given.when(&befriend("bob", "ada", false)), Err(Refusal::DoesNotAllowTarget));
    given.when(&allow("bob", &["ada"])).unwrap();
    let asked = given.when(&befriend("ada", "bob", false)).unwrap();
    assert_eq!(asked, ["friendship.requested"], "an allowlist in force takes the blocklist's place");
}

#[test]
fn friends_are_capped_on_both_sides() {
    let mut given = Given::users(&["ada", "bob"]);
    given.tallies.insert(subject("ada"), Tally { friends: LIST_MAX, ..Tally::default() });
    assert_eq!(given.when(&befriend("ada", "bob", true)), Err(Refusal::FriendsFull));
    assert_eq!(given.when(&befriend("bob", "ada", true)), Err(Refusal::TargetFriendsFull));
}

#[test]
fn only_friends_are_described_and_only_with_declared_fields() {
    let mut given = Given::users(&["ada", "bob"]);
    let describe = |fields: &[&str]| {
        let changes = fields.iter().map(|f| (FieldName((*f).into()), Some("x".into()))).collect();
        Describe { owner: person("ada"), about: person("bob"), remark: Some(None), changes }
    };
    assert_eq!(given.when(&describe(&[])), Err(Refusal::NotFriends));
    given.when(&befriend("ada", "bob", true)).unwrap();
    assert_eq!(given.when(&describe(&["ext_a"])), Err(Refusal::UndeclaredField("ext_a".into())));
    let declared = BTreeSet::from([FieldName("ext_a".into())]);
    given.when(&app::Command::DeclareExtensionFields(BTreeSet::new(), declared)).unwrap();
    assert_eq!(given.when(&describe(&["ext_a"])).unwrap(), ["friendship.described"]);
}

#[test]
fn the_last_secret_of_an_app_cannot_be_retired() {
    let mut given = Given::app(Environment::Production);
    let retire = |n| app::Command::RetireSecret(rollcall_schemas::ids::SecretId(n));
    assert_eq!(given.when(&retire(1)), Err(Refusal::LastSecret));
    given.when(&app::Command::AddSecret(rollcall_schemas::ids::SecretId(2))).unwrap();
    assert_eq!(given.when(&retire(1)).unwrap(), ["app.secret_retired"]);
}

/// A command, and whether it decides nothing when it is repeated.
type Repeatable = (Box<dyn DynDecide>, bool);

fn any_command() -> impl Strategy<Value = Repeatable> {
    let who = || (0..4_usize).prop_map(|n| ["ada", "bob", "eve", "joe"][n]);
    let two = || (who(), who());
    fn of(command: impl DynDecide + 'static, repeatable: bool) -> Repeatable {
        (Box::new(command), repeatable)
    }
    prop_oneof![
        who().prop_map(|a| of(register(a), false)),
        who().prop_map(|a| of(deactivate(a), true)),
        who().prop_map(|a| of(erase(a, Scope::Forget), false)),
        who().prop_map(|a| of(reactivate(a), false)),
        who().prop_map(|a| of(change(a, Change::MuteDirectMessages(None)), true)),
        (who(), 1..9_i64).prop_map(|(a, minutes)| of(ban(&[a], minutes), false)),
        who().prop_map(|a| of(lift(a), true)),
        two().prop_map(|(a, b)| of(block(a, &[b]), true)),
        two().prop_map(|(a, b)| of(unblock(a, &[b]), true)),
        two().prop_map(|(a, b)| of(allow(a, &[b]), true)),
        (two(), any::<bool>()).prop_map(|((a, b), direct)| of(befriend(a, b, direct), false)),
        two().prop_map(|(a, b)| of(resolved(&Unfriend { who: user_id(a), targets: user_ids(&[b]) }), true)),
        two().prop_map(|(a, b)| of(remark(a, b), false)),
        who().prop_map(|a| of(Invalidate { who: people(&[a]), before: DateTime::<Utc>::UNIX_EPOCH }, true)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_sequence_of_commands_evolves_without_panic_and_keeps_to_its_declarations(
        commands in prop::collection::vec((any_command(), 0..90_i64), 0..40)
    ) {
        let mut given = Given::app(Environment::Development);
        for ((command, _), minutes) in commands {
            given.later(Duration::minutes(minutes));
            // A refusal is as good as a decision: what is checked happens inside.
            let _ = given.when(command.as_ref());
        }
    }

    #[test]
    fn a_repeated_removal_or_deactivation_decides_nothing_the_second_time(
        commands in prop::collection::vec(any_command(), 0..30), (last, repeatable) in any_command()
    ) {
        let mut given = Given::app(Environment::Production);
        for (command, _) in commands {
            let _ = given.when(command.as_ref());
        }
        if repeatable && given.when(last.as_ref()).is_ok() {
            prop_assert_eq!(given.when(last.as_ref()).unwrap(), [""; 0]);
        }
    }
}

/// A person whose userId is two subjects.
fn twofold(text: &str, further: &str) -> Person {
    Person { further: vec![subject(further)], ..person(text) }
}

#[test]
fn whoever_is_two_subjects_is_erased_and_reactivated_as_both() {
    let mut given = Given::users(&["ada", "ada-again"]);
    given.when(&ban(&["only-named"], 5)).unwrap();
    let both = || Erase { who: vec![twofold("ada", "ada-again")], ..deactivate("ada") };
    let done = given.when(&both()).unwrap();
    for event in ["erasure.requested", "erasure.linked", "user.deactivated", "erasure.begun"] {
        assert_eq!(done.iter().filter(|name| **name == event).count(), 2, "{event}: {done:?}");
    }
    assert_eq!(given.when(&both()).unwrap(), [""; 0], "twice is once");
    given.later(Duration::days(1));
    let back = Reactivate { who: vec![twofold("ada", "ada-again")] };
    assert_eq!(given.when(&back).unwrap(), ["user.reactivated"; 2]);
    // One is erased already, or is only the target of a ban: what is left is erased.
    given.when(&deactivate("ada")).unwrap();
    let done = given.when(&both()).unwrap();
    assert_eq!(done.iter().filter(|name| **name == "erasure.requested").count(), 1, "{done:?}");
    let named = Erase { who: vec![twofold("ada-again", "only-named")], ..deactivate("ada") };
    let done = given.when(&named).unwrap();
    assert_eq!(done.iter().filter(|name| **name == "erasure.requested").count(), 1, "{done:?}");
    let nobody = Erase { who: vec![twofold("nobody", "nobody-else")], ..deactivate("ada") };
    assert_eq!(given.when(&nobody), Err(Refusal::NotRegistered));
}
