//! A decision reads and writes what its command declares, and nothing else.

use rollcall::domain::access::{Disclose, RecordReads};
use rollcall::domain::allowlist::Disallow;
use rollcall::domain::ban::Expire;
use rollcall::domain::data_request::{self, ChangeRequest, Receive};
use rollcall::domain::erasure::{Advance, Cancel, Step};
use rollcall::domain::friend_groups::LabelGroup;
use rollcall::domain::friendship::{Answer, ClearFriends, ExpireRequest};
use rollcall::domain::operation::Undo;
use rollcall::domain::remarks::Unremark;
use rollcall::domain::token::Revoke;
use rollcall::domain::user::{ExpireMute, ImportMute, MuteEnd};
use rollcall::domain::values::Reason;
use rollcall::domain::{Decide, Defect, ErasureOwner, Reads, TokenTimes, UnitOfWork, ban, token, webhook};
use rollcall_schemas::ban::Lifted;
use rollcall_schemas::erasure::Begun;
use rollcall_schemas::ids::{DataRequestId, ErasureId, OperationId, TokenId, WebhookId};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{ApiScope, DataRequestKind, Finality, RateLimit, ReportStatus};
use rollcall_schemas::webhook::{Cause, Endpoint, Format};

use super::groups::{group_friend, label_group, remove_group};
use super::*;

/// The steps of an erasure, each with friends that end with it.
fn steps(given: &Given) -> Vec<Advance> {
    let begin = |scope| Step::Begin(scope, OperationId("OP".into()));
    let (status, sha256, envelope) = (ReportStatus::Final, "00".to_owned(), "{}".to_owned());
    let steps = vec![
        begin(Scope::Deactivate),
        begin(Scope::Forget),
        Step::EndSomeRelations,
        Step::EndRelations(1),
        Step::Scrub {
            classes: Class::ALL.to_vec(),
            keys: vec![],
            root_cell: "file".into(),
            generations: (1, 2),
            events_detached: 0,
            values_detached: 0,
        },
        Step::ScrubReadModels(vec![]),
        Step::Verify { tried: 0, control_opened: true },
        Step::Report { status, sha256: sha256.clone(), envelope: envelope.clone() },
        Step::Finalise(Finality::Immediate),
        Step::Notify { recipient: "chat.example".into(), number: 2, status, sha256, envelope },
    ];
    let friends = vec![subject("bob")];
    let advance = |step| Advance { erasure: given.erasure(), subject: subject("ada"), step, friends: friends.clone() };
    steps.into_iter().map(advance).collect()
}

/// Changes of one user.
fn changes() -> Vec<Change> {
    let reason = Some(Reason::parse("court").unwrap());
    vec![
        Change::Modify(Some(name()), None),
        Change::SetProfile([(FieldName("email".into()), Some("a@b.example".into()))].into()),
        Change::Update { name: Some(name()), portrait: None, profile: [].into() },
        Change::SetVisibility(rollcall_schemas::plain::Visibility::Friends),
        Change::CleanProfile,
        Change::Tag(vec![]),
        Change::MuteDirectMessages(None),
        Change::UnmuteDirectMessages,
        Change::QuietPushes(None),
        Change::PermitFriends(FriendPermission::Anyone),
        Change::PlaceHold(reason),
        Change::ReleaseHold,
    ]
}

/// Ada's data is sent to a recipient.
fn disclose(given: &Given) -> Disclose {
    Disclose { subjects: vec![subject("ada")], webhook: given.webhook(), recipient: String::new() }
}

/// What a webhook is told.
fn endpoint() -> Endpoint {
    let types = ["*".to_owned()].into();
    Endpoint { url: "https://example.org/".into(), types, format: Format::Standard, description: None }
}

/// Every command, by the name of its type.
pub(super) fn every_command(given: &Given) -> Vec<(&'static str, Box<dyn DynDecide>)> {
    let mut all: Vec<(&'static str, Box<dyn DynDecide>)> = vec![
        ("Command", Box::new(app::Command::Configure(Settings::default(), Some(RateLimit::Platform)))),
        ("Command", Box::new(app::Command::AddApiKey([ApiScope::Operator].into(), "00".into()))),
        ("Register", Box::new(register("ada"))),
        ("Import", Box::new(import("ada"))),
        ("Reactivate", Box::new(reactivate("ada"))),
        ("Erase", Box::new(Erase { who: people(&["ada", "bob", "ada"]), ..deactivate("ada") })),
        ("Erase", Box::new(erase("ada", Scope::Forget))),
        ("CancelOf", Box::new(given.cancel())),
        ("Invalidate", Box::new(Invalidate { who: people(&["ada"]), before: given.now })),
        (
            "Issue",
            Box::new(token::Issue { who: person("ada"), expires_in_seconds: Some(60), label: None, scopes: None }),
        ),
        ("RevokeOf", Box::new(given.revoke())),
        ("Ban", Box::new(ban(&["ada", "bob"], 5))),
        ("Lift", Box::new(lift("ada"))),
        ("Request", Box::new(operations::bans(&["ada", "bob"]))),
        ("Request", Box::new(operations::unbans(&["ada", "bob"]))),
        ("Progress", Box::new(given.progress(false))),
        ("Progress", Box::new(given.progress(true))),
        ("Begin", Box::new(imports::begin())),
        ("Progress", Box::new(imports::progress(given, 0, true))),
        ("Undo", Box::new(Undo { batch: given.batch() })),
        ("Expire", Box::new(Expire(subject("ada")))),
        ("ExpireMute", Box::new(ExpireMute(subject("ada")))),
        ("ImportMute", Box::new(ImportMute { who: person("ada"), end: MuteEnd::Never, updates: false })),
        ("Block", Box::new(block("ada", &["bob", "ada"]))),
        ("Unblock", Box::new(unblock("ada", &["bob"]))),
        ("Allow", Box::new(allow("ada", &["bob"]))),
        ("Disallow", Box::new(Disallow { owner: person("ada"), targets: people(&["bob"]) })),
        ("SetAllowlist", Box::new(SetAllowlist { who: people(&["ada"]), enabled: true })),
        ("Befriend", Box::new(befriend("ada", "bob", false))),
        ("Befriend", Box::new(befriend("bob", "ada", true))),
        ("EndFriendships", Box::new(resolved(&Unfriend { who: user_id("ada"), targets: user_ids(&["bob"]) }))),
        ("EndFriendships", Box::new(given.clear_friends())),
        ("AnswerRequestOf", Box::new(given.answer("bob", Answer::Accept))),
        ("AnswerRequestOf", Box::new(given.answer("bob", Answer::Refuse))),
        ("AnswerRequestOf", Box::new(given.answer("ada", Answer::Cancel))),
        ("ExpireRequest", Box::new(ExpireRequest { from: subject("ada"), to: subject("bob") })),
        ("Describe", {
            let changes = [].into();
            Box::new(Describe { owner: person("ada"), about: person("bob"), remark: Some(None), changes })
        }),
        ("LabelGroup", Box::new(label_group("ada", 1))),
        ("LabelGroup", Box::new(LabelGroup { relabels: false, ..label_group("ada", 1) })),
        ("GroupFriend", Box::new(group_friend("ada", 1, "bob", true))),
        ("GroupFriend", Box::new(group_friend("ada", 1, "bob", false))),
        ("RemoveGroup", Box::new(remove_group("ada", 1))),
        ("Remark", Box::new(remark("ada", "bob"))),
        ("Unremark", Box::new(Unremark { owner: person("ada"), target: person("bob") })),
        ("RecordReads", Box::new(RecordReads(vec![(subject("ada"), [].into())]))),
        ("Disclose", Box::new(Disclose { recipient: "chat.example".into(), ..disclose(given) })),
        ("Receive", Box::new(Receive { who: person("ada"), kind: DataRequestKind::Access, due_at: None })),
        ("ChangeRequestOf", Box::new(given.change_request())),
        ("Register", Box::new(webhook::Register(endpoint()))),
        ("Act", Box::new(webhook::Act { webhook: given.webhook(), action: webhook::Action::Disable(Cause::Gone) })),
        ("RotateSecret", Box::new(webhook::RotateSecret { webhook: given.webhook(), overlap_seconds: 60 })),
    ];
    all.extend(steps(given).into_iter().map(|step| ("Advance", Box::new(step) as Box<dyn DynDecide>)));
    all.extend(changes().into_iter().map(|of| ("ChangeUsers", Box::new(change("ada", of)) as Box<dyn DynDecide>)));
    all
}

impl Given {
    /// A webhook that was registered, where there is one.
    fn webhook(&self) -> WebhookId {
        let registered = self.states.values().find_map(|state| match state {
            State::Webhook(state) => state.ids().next(),
            _ => None,
        });
        registered.unwrap_or(WebhookId(Uuid::from_u128(1)))
    }

    /// An erasure that was requested, where there is one.
    fn erasure(&self) -> ErasureId {
        let requested = self.states.keys().find_map(|stream| match stream {
            Stream::Erasure(erasure) => Some(*erasure),
            _ => None,
        });
        requested.unwrap_or(ErasureId(Uuid::from_u128(1)))
    }

    fn revoke(&self) -> <Revoke as Command>::Resolved {
        let mut found = Found::default();
        found.insert(user_id("ada"), Some(subject("ada")));
        found.token = Some(TokenTimes { issued_at: self.now, expires_at: None });
        Revoke { who: user_id("ada"), token: TokenId(Uuid::from_u128(1)), times: () }.resolve(&found).unwrap()
    }

    fn cancel(&self) -> <Cancel as Command>::Resolved {
        let owner = ErasureOwner { erasure: self.erasure(), subject: subject("ada"), others_wait: false };
        let mut found = Found::default();
        found.erasures = vec![owner];
        Cancel { erasure: self.erasure() }.resolve(&found).unwrap()
    }

    fn clear_friends(&self) -> <ClearFriends as Command>::Resolved {
        let mut found = Found::default();
        found.relations = vec![subject("bob"), subject("eve")];
        found.insert(user_id("ada"), Some(subject("ada")));
        ClearFriends { who: user_id("ada") }.resolve(&found).unwrap()
    }

    fn change_request(&self) -> <ChangeRequest as Command>::Resolved {
        let request = self.states.keys().find_map(|stream| match stream {
            Stream::DataRequest(request) => Some(*request),
            _ => None,
        });
        let request = request.unwrap_or(DataRequestId(Uuid::from_u128(1)));
        let mut found = Found::default();
        found.data_request = Some(subject("ada"));
        ChangeRequest { request, change: data_request::Change::Answer }.resolve(&found).unwrap()
    }
}

/// What may have happened before.
pub(super) fn histories() -> Vec<Given> {
    let mut together = Given::users(&["ada", "bob"]);
    together.when(&block("ada", &["bob"])).unwrap();
    together.when(&allow("ada", &["bob"])).unwrap();
    together.when(&remark("ada", "bob")).unwrap();
    together.when(&befriend("ada", "bob", true)).unwrap();
    together.when(&label_group("ada", 1)).unwrap();
    together.when(&group_friend("ada", 1, "bob", true)).unwrap();
    together.when(&ban(&["ada"], 5)).unwrap();
    let settings = Settings { record_reads: true, ..Settings::default() };
    together.when(&app::Command::Configure(settings.clone(), None)).unwrap();
    together.when(&RecordReads(vec![(subject("ada"), [].into())])).unwrap();
    together.when(&Receive { who: person("ada"), kind: DataRequestKind::Access, due_at: None }).unwrap();
    together.when(&webhook::Register(endpoint())).unwrap();
    together.when(&operations::bans(&["ada", "bob"])).unwrap();
    together.when(&imports::begin()).unwrap();
    let mut deactivated = together.clone();
    deactivated.when(&deactivate("ada")).unwrap();
    let mut scrubbed = deactivated.clone();
    for step in steps(&deactivated) {
        scrubbed.when(&step).unwrap();
    }
    let mut forgotten = together.clone();
    forgotten.when(&erase("ada", Scope::Forget)).unwrap();
    let mut waiting = together.clone();
    waiting.when(&app::Command::Configure(Settings { erasure_grace_seconds: 60, ..settings }, None)).unwrap();
    waiting.when(&deactivate("ada")).unwrap();
    let mut named = Given::app(Environment::Development);
    named.when(&ban(&["ada"], 5)).unwrap();
    let mut seated = Given::app(Environment::Development);
    seated.when(&register("ada")).unwrap();
    let mut asked = Given::users(&["ada", "bob"]);
    asked.when(&befriend("ada", "bob", false)).unwrap();
    let mut lapsed = asked.clone();
    lapsed.later(Duration::days(7));
    vec![Given::users(&[]), named, seated, asked, lapsed, together, waiting, deactivated, scrubbed, forgotten]
}

#[test]
fn every_command_keeps_to_its_declarations_whatever_happened_before() {
    for given in histories() {
        for (name, command) in every_command(&given) {
            let mut given = given.clone();
            for repeated in [false, true] {
                match given.decided(command.as_ref()) {
                    Ok(_) | Err(Error::Refused(_)) => {}
                    Err(Error::Defect(defect)) => panic!("{name}, repeated: {repeated}: {defect}"),
                }
            }
        }
    }
}

#[test]
fn no_command_is_left_out_of_the_test_of_declarations() {
    let mut commands = BTreeSet::new();
    for file in crate::architecture::sources("src/domain") {
        let source = std::fs::read_to_string(&file).unwrap();
        let names = source.lines().filter_map(|line| line.strip_prefix("impl Decide for "));
        commands.extend(names.map(|name| name.split(['<', ' ']).next().unwrap().to_owned()));
    }
    let tested: BTreeSet<_> = every_command(&Given::users(&[])).iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(commands, tested);
}

type Decision = fn(&mut UnitOfWork<'_>) -> Result<(), Error>;

/// A command that declares Ada's ban and does something else.
#[derive(Debug, Clone)]
struct Careless(Decision);

impl Decide for Careless {
    type Reply = ();
    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Ban(subject("ada")));
    }
    fn fresh_ids(&self) -> usize {
        1
    }
    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        (self.0)(work)
    }
}

#[test]
fn what_is_not_declared_is_neither_read_nor_written_though_it_is_loaded() {
    let mut given = Given::users(&["ada"]);
    let (ada, events) = (subject("ada"), given.names.len());
    let cases: [(Decision, Defect); 5] = [
        (|work| Ok(work.state::<user::State>(subject("ada")).map(|_| ())?), Defect::UndeclaredRead(Stream::User(ada))),
        (|work| Ok(work.tally(subject("ada")).map(|_| ())?), Defect::UndeclaredTally(ada)),
        (|work| Ok(work.record::<token::State>(subject("ada"), [])?), Defect::UndeclaredWrite(Stream::Token(ada))),
        (
            |work| {
                let erasure = ErasureId(Uuid::from_u128(1));
                let begun = Begun { erasure, subject: subject("ada") };
                Ok(work.record::<erasure::State>(erasure, [begun.into()])?)
            },
            Defect::UndeclaredWrite(Stream::Erasure(ErasureId(Uuid::from_u128(1)))),
        ),
        (|work| Ok((0..2).try_for_each(|_| work.fresh().map(drop))?), Defect::FreshIds),
    ];
    for (decision, defect) in cases {
        assert_eq!(given.decided(&Careless(decision)), Err(Error::Defect(defect)));
    }
    assert_eq!(given.names.len(), events, "nothing happened");
}

#[test]
fn what_is_declared_is_read_and_written_and_so_is_a_stream_of_a_fresh_id() {
    let mut given = Given::users(&["ada"]);
    let careful = Careless(|work| {
        let ada = subject("ada");
        assert!(work.state::<ban::State>(ada)?.span.is_none());
        work.record::<ban::State>(ada, [Lifted { subject: ada }.into()])?;
        let erasure = ErasureId(work.fresh()?);
        Ok(work.record::<erasure::State>(erasure, [Begun { erasure, subject: ada }.into()])?)
    });
    assert_eq!(given.when(&careful).unwrap(), ["ban.lifted", "erasure.begun"]);
}

#[test]
fn a_declared_stream_that_is_not_loaded_decides_nothing() {
    let given = Given::users(&["ada"]);
    let command = ban(&["bob"], 5);
    let (reads, context) = (DynDecide::reads(&command, &given.app), Context { now: given.now, fresh: vec![] });
    let decided = decide(&given.app, &given, &context, &command, &reads);
    assert_eq!(decided, Err(Error::Defect(Defect::NotLoaded(Stream::User(subject("bob"))))));
}

#[test]
fn a_user_id_that_a_command_does_not_name_is_not_taken_for_one_that_was_never_used() {
    assert_eq!(Found::default().person(&user_id("ada")), Err(Defect::UnnamedPerson));
}
