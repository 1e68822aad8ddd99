//! Reads are recorded in the log before anything is answered.

use rollcall::domain::app;
use rollcall::engine::Caller;
use rollcall::engine::reads::fields_of;
use rollcall_projections::audit_trail;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SecretId;
use rollcall_schemas::plain::Settings;

use super::{Given, app_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_cannot_be_recorded_is_not_answered_and_nobody_asks_what_it_was_where_none_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    let caller = Caller::internal(app_id(), Actor::Server(SecretId(1)));
    let head = given.head();
    given.engine().record_read(&caller, || panic!("asked although it is off")).await.unwrap();
    assert_eq!(given.head(), head);

    given.operate(app::Command::ChangeSettings(Settings { record_reads: true, ..Settings::default() })).await;
    given.engine().record_read(&caller, Vec::new).await.unwrap();
    let head = given.head();
    given.engine().record_read(&caller, || vec![fields_of(ada, ["name"])]).await.unwrap();
    assert_eq!(given.head(), head + 1, "it is durable when it is acknowledged");
    given.engine().applied_up_to(head + 1).await.unwrap();
    let trace = audit_trail::of_subject(given.engine().read(), &app_id(), ada, None, 1).await.unwrap().remove(0);
    assert_eq!((trace.name.as_str(), trace.actor.as_str()), ("access.read", "server:1"));
    assert_eq!((trace.subject, trace.correlation), (Some(ada), caller.correlation));

    let engine = given.service.engine.clone();
    given.stop();
    assert!(engine.record_read(&caller, || vec![fields_of(ada, ["name"])]).await.is_err());
}
