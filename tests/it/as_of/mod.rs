//! The past, asked of an engine over its real adapters.

use std::path::Path;
use std::sync::Arc;

use rollcall::audit::as_of::{AsOf, Moment, Past, UserAt, When, Who, user_at};
use rollcall::audit::erasure::advance_all;
use rollcall::domain::ban::Ban;
use rollcall::domain::blocklist::Block;
use rollcall::domain::erasure::{Erase, Request};
use rollcall::domain::friendship::{Befriend, Unfriend};
use rollcall::domain::remarks::Remark;
use rollcall::domain::user::{Change, Register};
use rollcall::domain::values::{BanMinutes, Name, Portrait, Reason, Remark as Text, UserId};
use rollcall::domain::{DynCommand, Reply, app};
use rollcall::engine::start::Service;
use rollcall::engine::{Caller, Done, Engine, Error};
use rollcall::wiring::DataDir;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, FieldName, SecretId, SubjectRef};
use rollcall_schemas::plain::{Environment, Plan, Scope, Settings};
use serde_json::{Value, json};

mod erased;
mod explained;
mod history;
mod reads;
mod replayed;
mod when;

fn app_id() -> AppId {
    "chat".parse().unwrap()
}

fn user_id(text: &str) -> UserId {
    UserId::parse("userId", text).unwrap()
}

/// Any command.
type Asked = Arc<dyn DynCommand>;

fn register(who: &str, name: &str) -> Asked {
    let portrait = Some(Portrait::parse(&format!("http://example.com/{name}.jpg")).unwrap());
    Arc::new(Register { who: user_id(who), name: Name::parse(name).unwrap(), portrait })
}

fn change(who: &str, change: Change) -> Asked {
    Arc::new(change.of(vec![user_id(who)]))
}

fn rename(who: &str, name: &str) -> Asked {
    change(who, Change::Modify(Some(Name::parse(name).unwrap()), None))
}

fn profile(who: &str, field: &str, value: Option<Value>) -> Asked {
    change(who, Change::SetProfile([(FieldName(field.into()), value)].into()))
}

fn impose(who: &str, minutes: i64, reason: &str) -> Asked {
    let (minutes, reason) = (BanMinutes::new(minutes).unwrap(), Some(Reason::parse(reason).unwrap()));
    Arc::new(Ban { reason, ..Ban::minutes(vec![user_id(who)], minutes) })
}

fn block(who: &str, target: &str) -> Asked {
    Arc::new(Block { owner: user_id(who), targets: vec![user_id(target)] })
}

fn unfriend(who: &str, target: &str) -> Asked {
    Arc::new(Unfriend { who: user_id(who), targets: vec![user_id(target)] })
}

fn befriend(who: &str, target: &str, direct: bool) -> Asked {
    Arc::new(Befriend { who: user_id(who), target: user_id(target), direct, text: None })
}

fn erase(who: &str, scope: Scope) -> Asked {
    Arc::new(Erase { who: vec![user_id(who)], scope, request: Request::default() })
}

fn deactivate(who: &str) -> Asked {
    erase(who, Scope::Deactivate)
}

fn forget(who: &str) -> Asked {
    erase(who, Scope::Forget)
}

fn remark(who: &str, about: &str) -> Asked {
    Arc::new(Remark { owner: user_id(who), remarks: vec![(user_id(about), Text::parse("my sister").unwrap())] })
}

/// An engine with one app.
struct Given {
    data: DataDir,
    service: Service,
}

impl Given {
    async fn app(dir: &Path, environment: Environment) -> Self {
        let data = DataDir::create(&crate::support::place(dir)).unwrap();
        let service = data.start().await.unwrap();
        let given = Self { data, service };
        given.data.vault.put_secret(&app_id(), SecretId(1), "secret").unwrap();
        given.operate(app::Command::Register(environment, Plan::Pro)).await;
        given
    }

    async fn nobody(dir: &Path) -> Self {
        Self::app(dir, Environment::Production).await
    }

    fn engine(&self) -> &Engine {
        &self.service.engine
    }

    fn head(&self) -> u64 {
        self.data.log.head()
    }

    async fn operate(&self, command: app::Command) {
        let operator = Caller::internal(app_id(), Actor::Operator);
        let done = self.engine().execute(&operator, command).await.unwrap();
        self.engine().applied_up_to(done.position).await.unwrap();
        self.engine().reload_apps().await.unwrap();
    }

    async fn reactivate_at_once(&self) {
        let settings = Settings { reactivation_wait_seconds: 0, ..Settings::default() };
        self.operate(app::Command::Configure(settings, None)).await;
    }

    async fn execute(&self, command: Asked) -> Result<Done, Error> {
        self.engine().execute_any(&Caller::internal(app_id(), Actor::Server(SecretId(1))), command.as_ref()).await
    }

    /// Does it and answers the position after it.
    async fn does(&self, command: Asked) -> u64 {
        self.execute(command).await.unwrap();
        self.head()
    }

    async fn registers(&self, who: &str, name: &str) -> SubjectRef {
        match self.execute(register(who, name)).await.unwrap().reply {
            Reply::Token(registration) => registration.token.subject,
            other => panic!("no token: {other:?}"),
        }
    }

    async fn erases(&self, command: Asked) {
        self.execute(command).await.unwrap();
        let keeper = self.data.keeper().await.unwrap();
        while advance_all(self.engine(), &keeper).await.unwrap() > 0 {}
    }

    async fn past(&self) -> Past<'_> {
        Past::of(self.engine()).await.unwrap()
    }

    async fn subject(&self, who: &str) -> SubjectRef {
        self.past().await.subject(&app_id(), &Who::UserId(user_id(who))).await.unwrap()
    }

    async fn moment(&self, position: u64) -> Moment {
        self.past().await.resolve(When::Position(position)).await.unwrap()
    }

    async fn user_at(&self, subject: SubjectRef, position: u64) -> AsOf<UserAt> {
        let moment = self.moment(position).await;
        user_at(self.past().await, &app_id(), subject, moment).await.unwrap()
    }

    /// The same as an auditor reads it.
    async fn shown(&self, subject: SubjectRef, position: u64) -> Value {
        serde_json::to_value(self.user_at(subject, position).await).unwrap()
    }

    fn log(&self) -> &Arc<dyn rollcall::eventlog::EventLog> {
        &self.data.log
    }

    fn stop(self) {
        tokio::task::block_in_place(|| self.service.stop());
    }
}

fn is_erased(value: &Value) -> bool {
    value.get("erased").is_some_and(|erased| erased != &json!({}))
}
