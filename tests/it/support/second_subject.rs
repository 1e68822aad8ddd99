//! A log that has two subjects of one userId, as an append that was taken for lost and recorded nevertheless left it.

use std::path::Path;

use rollcall::engine::journal;
use rollcall::eventlog::{Append, EventLog, Item, Outcome};
use rollcall::privacy::Vault;
use rollcall::wiring::DataDir;
use rollcall_schemas::envelope::{Actor, Metadata};
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user;
use uuid::Uuid;

use super::place;

/// Records that a userId was registered with a subject of its own, whatever other subjects it has.
pub async fn register(log: &dyn EventLog, vault: &dyn Vault, app: &AppId, user_id: &str, name: &str) -> SubjectRef {
    let subject = vault.allocate().await.unwrap();
    let stream = Stream::User(subject).to_string();
    let actor = Actor::Server(SecretId(1));
    let metadata = Metadata { app: app.clone(), actor, correlation: Uuid::new_v4(), causation: None };
    let (user_id, name) = (Some(Personal::Present(user_id.into())), Personal::Present(name.into()));
    let event = user::Event::from(user::Registered { subject, user_id, name, portrait: None }).into();
    // It was on its way when the last one was recorded.
    let at = log.read_all(log.head() - 1, 1).await.unwrap()[0].recorded_at;
    let event = journal::encode(vault, &stream, &metadata, at, event, None).unwrap();
    let appends = vec![Append { stream, expected: 0, events: vec![event] }];
    let outcomes = log.append(vec![Item { appends, ..Item::default() }]).await.unwrap();
    assert!(matches!(outcomes[..], [Outcome::Appended { .. }]), "{outcomes:?}");
    subject
}

/// The same, over the directory of a stopped service.
pub fn register_in(data: &Path, app: &str, user_id: &str, name: &str) -> SubjectRef {
    let data = DataDir::open(&place(data)).unwrap();
    let app = app.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(register(data.log.as_ref(), data.vault.as_ref(), &app, user_id, name))
}
