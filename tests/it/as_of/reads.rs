//! Reads are recorded in the log before anything is answered.

use rollcall::domain::app;
use rollcall::engine::reads::fields_of;
use rollcall::engine::{Caller, journal};
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

    given.operate(app::Command::Configure(Settings { record_reads: true, ..Settings::default() }, None)).await;
    given.engine().record_read(&caller, Vec::new).await.unwrap();
    let head = given.head();
    given.engine().record_read(&caller, || vec![fields_of(ada, ["name"])]).await.unwrap();
    assert_eq!(given.head(), head + 1, "it is durable when it is acknowledged");
    given.engine().applied_up_to(head + 1).await.unwrap();
    let about = audit_trail::positions_about(given.engine().read(), ada, 0, 10).await.unwrap();
    assert_eq!(about.last(), Some(&(head + 1)));
    let recorded = journal::decode(&given.log().read_at(&[head + 1]).await.unwrap()[0]).unwrap();
    assert_eq!((recorded.name, recorded.metadata.actor), ("access.read", Actor::Server(SecretId(1))));
    assert_eq!((recorded.event.about().0, recorded.metadata.correlation), (Some(ada), caller.correlation));

    let engine = given.service.engine.clone();
    given.stop();
    assert!(engine.record_read(&caller, || vec![fields_of(ada, ["name"])]).await.is_err());
}
