//! What was revoked is not valid any more, whatever failed on the way.

use std::time::Duration;

use rollcall::engine::Caller;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SecretId;

use super::{Environment, Running, app, app_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_retired_while_the_vault_failed_is_not_valid_once_it_works_again() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    running.data.vault.put_secret(&app_id(), SecretId(2), "second").unwrap();
    running.operate(app::Command::AddSecret(SecretId(2))).await;
    let valid = || -> Vec<_> {
        let app = running.engine().app("chat").unwrap();
        app.secrets.iter().map(|(id, _)| id.0).collect()
    };
    assert_eq!(valid(), [1, 2]);
    let vault = rusqlite::Connection::open(dir.path().join("vault.db")).unwrap();
    vault.busy_timeout(Duration::from_secs(5)).unwrap();
    vault.execute_batch("alter table app_secret rename to app_secret_away").unwrap();
    let operator = Caller::internal(app_id(), Actor::Operator);
    let retire = app::Command::RetireSecret(SecretId(1));
    running.engine().execute(&operator, retire).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(valid(), [1, 2], "its secrets cannot be read");
    vault.execute_batch("alter table app_secret_away rename to app_secret").unwrap();
    for _ in 0..1_000 {
        if valid() == [2] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(valid(), [2]);
    running.stop();
}
