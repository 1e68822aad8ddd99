//! The engine over its real adapters, in a directory of its own.

use std::path::Path;
use std::sync::Arc;

use rollcall::audit::erasure::advance_all;
use rollcall::domain::user::{Change, ChangeUsers, Register};
use rollcall::domain::values::{Name, UserId};
use rollcall::domain::{
    self, Command, Decide, Defect, IssuedToken, Reads, Refusal, Registration, ReplyOf, UnitOfWork, app,
};
use rollcall::engine::start::{self, Ports, Service};
use rollcall::engine::{Caller, Done, Engine, Error, IdempotencyKey, Limits, tokens};
use rollcall::eventlog::{EventLog, RawEvent};
use rollcall::wiring::{DataDir, Place};
use rollcall_projections::user_directory;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef};
use rollcall_schemas::plain::{Environment, Plan, Settings};
use rollcall_schemas::stream::Stream;

mod admission;
mod clock;
mod connections;
mod erasing;
mod failing;
mod foreign;
mod friendship;
mod gathering;
mod graph;
mod issued;
pub(crate) mod loads;
mod mutes;
mod overload;
mod request_limits;
mod revocation;
mod torture;
mod uniqueness;

fn app_id() -> AppId {
    "chat".parse().unwrap()
}

fn caller() -> Caller {
    Caller::internal(app_id(), Actor::Server(SecretId(1)))
}

fn user_id(user_id: &str) -> UserId {
    UserId::parse("userId", user_id).unwrap()
}

fn named(name: &str) -> Name {
    Name::parse(name).unwrap()
}

fn register(who: &str) -> Register {
    Register { who: user_id(who), name: named("Somebody"), portrait: None }
}

fn rename(who: &str, name: &str) -> ChangeUsers {
    Change::Modify(Some(named(name)), None).of(vec![user_id(who)])
}

/// An engine that runs over a data directory.
struct Running {
    data: DataDir,
    service: Service,
}

impl Running {
    /// Opens the directory, with the log seen through `wrap`.
    async fn open_with(dir: &Path, wrap: impl FnOnce(Arc<dyn EventLog>) -> Arc<dyn EventLog>) -> Self {
        Self::open_limited(dir, Limits::default(), wrap).await
    }

    async fn open_limited(
        dir: &Path,
        limits: Limits,
        wrap: impl FnOnce(Arc<dyn EventLog>) -> Arc<dyn EventLog>,
    ) -> Self {
        Self::open_at(&crate::support::place(dir), limits, wrap).await
    }

    async fn open_at(place: &Place, limits: Limits, wrap: impl FnOnce(Arc<dyn EventLog>) -> Arc<dyn EventLog>) -> Self {
        let data = tokio::task::block_in_place(|| DataDir::create(place).unwrap());
        let ports = Ports {
            log: wrap(data.log.clone()),
            vault: data.vault.clone(),
            read: data.read.clone(),
            kept_beside: vec![],
            on_server: None,
        };
        let service = start::start(ports, limits).await.unwrap();
        Self { data, service }
    }

    async fn open(dir: &Path) -> Self {
        Self::open_with(dir, |log| log).await
    }

    /// A new directory with one app.
    async fn create(dir: &Path, environment: Environment) -> Self {
        Self::create_at(&crate::support::place(dir), environment).await
    }

    /// The same, at a place.
    async fn create_at(place: &Place, environment: Environment) -> Self {
        let running = Self::open_at(place, Limits::default(), |log| log).await;
        running.data.vault.put_secret(&app_id(), SecretId(1), "secret").unwrap();
        running.operate(app::Command::Register(environment, Plan::Pro)).await;
        running
    }

    async fn operate(&self, command: app::Command) {
        let engine = self.engine();
        let operator = Caller::internal(app_id(), Actor::Operator);
        let done = engine.execute(&operator, command).await.unwrap();
        engine.applied_up_to(done.position).await.unwrap();
        engine.reload_apps().await.unwrap();
    }

    fn engine(&self) -> Arc<Engine> {
        self.service.engine.clone()
    }

    fn stop(self) {
        tokio::task::block_in_place(|| {
            self.service.stop();
            drop(self.data);
        });
    }

    async fn reopen(self, dir: &Path) -> Self {
        self.stop();
        Self::open(dir).await
    }

    async fn execute<C: Command>(&self, command: C) -> Result<Done<ReplyOf<C>>, Error> {
        self.service.engine.execute(&caller(), command).await
    }

    async fn register(&self, user_id: &str) -> IssuedToken {
        self.execute(register(user_id)).await.unwrap().reply.token
    }

    /// Takes every erasure that is due as far as it goes; answers how many there were.
    async fn erase(&self) -> usize {
        advance_all(&self.engine(), self.data.keeper().await.unwrap().as_ref()).await.unwrap()
    }

    async fn events(&self, name: &str) -> Vec<RawEvent> {
        let all = self.data.log.read_all(0, 1_000_000).await.unwrap();
        all.into_iter().filter(|event| event.name == name).collect()
    }

    async fn user(&self, subject: SubjectRef) -> Option<user_directory::User> {
        self.service.engine.caught_up(&app_id()).await.unwrap();
        user_directory::by_subject(&self.data.read, &app_id(), subject).await.unwrap()
    }
}

/// Executes commands at once, each in a task of its own.
async fn at_once<C: Command>(engine: &Arc<Engine>, calls: Vec<(Caller, C)>) -> Vec<Result<Done<ReplyOf<C>>, Error>> {
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|(caller, command)| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.execute(&caller, command).await })
        })
        .collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_registrations_of_one_user_id_at_once_make_one_subject() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    for user_id in ["ada", "bob", "eve"] {
        let calls = (0..40).map(|_| (caller(), register(user_id))).collect();
        let done = at_once(&running.engine(), calls).await;
        let subjects: Vec<_> = done.iter().map(|done| done.as_ref().unwrap().reply.token.subject).collect();
        assert!(subjects.iter().all(|subject| *subject == subjects[0]), "{subjects:?}");
        assert!(running.user(subjects[0]).await.is_some());
    }
    assert_eq!(running.events("user.registered").await.len(), 3);
    assert_eq!(running.events("user.reregistered").await.len(), 3 * 39);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_app_seats_a_hundred_however_many_come_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Development).await;
    let calls = (0..300).map(|n| (caller(), register(&format!("user-{n}")))).collect();
    let done = at_once(&running.engine(), calls).await;
    let refused = done.iter().filter(|done| matches!(done, Err(Error::Refused(Refusal::SeatsTaken)))).count();
    assert_eq!((done.iter().filter(|done| done.is_ok()).count(), refused), (100, 200));
    assert_eq!(running.events("user.registered").await.len(), 100);
    // Whoever was refused left nothing behind: no subject, no event.
    for (n, done) in done.iter().enumerate().filter(|(_, done)| done.is_err()).take(5) {
        let user_id = UserId::parse("userId", &format!("user-{n}")).unwrap();
        assert_eq!(running.engine().find(&app_id(), &user_id).await.unwrap(), None, "{done:?}");
    }
    let running = running.reopen(dir.path()).await;
    let refused = running.execute(register("late")).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::SeatsTaken))));
    assert!(running.execute(register("late")).await.is_err());
    assert_eq!(running.events("user.registered").await.len(), 100);
    running.stop();
}

fn keyed(key: &str, content: &str) -> Caller {
    Caller { idempotency: Some(IdempotencyKey { key: key.into(), content: content.into() }), ..caller() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_answered_as_the_first_call_was_also_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let first = running.engine().execute(&keyed("k1", "ada"), register("ada")).await.unwrap();
    let head = running.data.log.head();
    let check = async |running: &Running| {
        let again = running.engine().execute(&keyed("k1", "ada"), register("ada")).await.unwrap();
        assert_eq!((&again.reply, again.position), (&first.reply, 0));
        assert!(again.reply.is_new, "the first call registered a new user");
        let other = running.engine().execute(&keyed("k1", "bob"), register("bob")).await;
        assert!(matches!(other, Err(Error::KeyMismatch)));
        assert_eq!(running.data.log.head(), head, "a retry is not recorded");
    };
    check(&running).await;
    let running = running.reopen(dir.path()).await;
    check(&running).await;

    let calls = (0..30).map(|_| (keyed("k2", "eve"), register("eve"))).collect();
    let mut tokens = std::collections::HashSet::new();
    for done in at_once(&running.engine(), calls).await {
        match done {
            Ok(done) => drop(tokens.insert(done.reply.token.token)),
            Err(Error::KeyInUse) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(tokens.len(), 1);
    assert_eq!(running.events("user.registered").await.len(), 2);
    assert_eq!(running.events("user.reregistered").await.len(), 0);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_does_not_use_its_key_up() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let rename = rename("ada", "Ada");
    let refused = running.engine().execute(&keyed("k", "rename"), rename.clone()).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::NotRegistered))));
    running.register("ada").await;
    running.engine().execute(&keyed("k", "rename"), rename).await.unwrap();
    assert_eq!(running.events("user.modified").await.len(), 1);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_reads_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let subject = running.register("ada").await.subject;
    for n in 0..60 {
        let name = format!("Ada {n}");
        running.execute(rename("ada", &name)).await.unwrap();
        let sealed = running.user(subject).await.unwrap().name.unwrap();
        assert_eq!(running.engine().open_text(&app_id(), subject, &sealed).unwrap(), Some(name));
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_read_as_it_was_issued_and_not_with_a_byte_changed() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    running
        .operate(app::Command::Configure(Settings { token_lifetime_seconds: Some(60), ..Settings::default() }, None))
        .await;
    let Registration { token: issued, .. } = running.execute(register("ada")).await.unwrap().reply;
    let token = running.engine().token_text(&app_id(), &issued).unwrap();
    assert!(!token.contains('@'), "web clients cut a token at an @");
    let vault = running.data.vault.clone();
    let engine = running.engine();
    let (app, read) = engine.read_token(&token).await.unwrap();
    assert_eq!((app, &read), (app_id(), &issued));
    assert!(read.expires_at.is_some() && token.len() <= 256);
    for index in 0..token.len() {
        for with in ['A', 'B', '@', '.', '~'] {
            let mut changed = token.clone().into_bytes();
            changed[index] = u8::try_from(with).unwrap();
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == token || engine.read_token(&changed).await.is_err(), "byte {index} as {with}");
        }
        assert!(engine.read_token(&token[..index]).await.is_err());
    }
    let (payload, _) = token.split_once('.').unwrap();
    let of_nobody = engine.read_token(&format!("{payload}.nobody")).await;
    assert!(matches!(of_nobody, Err(tokens::Error::NotOurs)), "no keys are made for an app that does not exist");
    vault.put_secret(&app_id(), SecretId(2), "second").unwrap();
    vault.drop_secret(&app_id(), SecretId(1)).unwrap();
    assert!(matches!(engine.read_token(&token).await, Err(tokens::Error::SecretRetired)));
    drop((vault, engine));
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_opened_only_of_a_subject_whose_keys_were_loaded_for_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let ada = running.register("ada").await.subject;
    let sealed = running.user(ada).await.unwrap().name.unwrap();
    let disclose = |subjects: Vec<SubjectRef>| {
        let (engine, sealed) = (running.engine(), sealed.clone());
        tokio::spawn(async move {
            engine.disclose(&caller(), &subjects, |opener| opener.open::<String>(ada, "name", &sealed)).await
        })
    };
    assert_eq!(disclose(vec![ada]).await.unwrap().unwrap().as_deref(), Some("Somebody"));
    // A build with assertions panics, so that a test notices; any other one answers an error.
    assert!(!matches!(disclose(vec![]).await, Ok(Ok(_))), "its key may have to be waited for");
    running.stop();
}

/// A command that reads the state of a user it does not declare, which the decider loop has in memory.
#[derive(Debug, Clone)]
struct Careless(SubjectRef);

impl Decide for Careless {
    type Reply = ();
    fn reads(&self, _: &AppId, _: &mut Reads) {}
    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), domain::Error> {
        work.state::<domain::user::State>(self.0)?.unfenced()?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_reads_what_it_does_not_declare_is_a_defect_and_records_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let ada = running.register("ada").await.subject;
    let head = running.data.log.head();
    let undeclared = Defect::UndeclaredRead(Stream::User(ada));
    for caller in [caller(), keyed("k", "careless")] {
        let done = running.engine().execute(&caller, Careless(ada)).await;
        assert!(matches!(done, Err(Error::Defect(defect)) if defect == undeclared));
    }
    assert_eq!(running.data.log.head(), head);
    assert_eq!(running.register("ada").await.subject, ada, "other commands are decided as before");
    running.stop();
}
