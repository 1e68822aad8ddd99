//! Checks every few seconds that whoever is connected may still be: a signal that was lost is late, never lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use rollcall_schemas::ids::SubjectRef;
use tokio_util::sync::CancellationToken;

use super::Live;
use super::close::Close;
use super::registry::Connection;
use crate::engine;
use crate::engine::standing::Standing;

/// How often.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Subjects that are looked up at the same time.
const LOOKUPS_MAX: usize = 64;

/// Checks until `stop`.
pub async fn run(live: Arc<Live>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CHECK_EVERY) => {}
            () = stop.cancelled() => return,
        }
        check(&live).await;
    }
}

/// Looks once at everybody who is connected here, and closes the connections of whoever may not stay.
pub async fn check(live: &Live) {
    let mut of_subject: HashMap<SubjectRef, Vec<Arc<Connection>>> = HashMap::new();
    for connection in live.registry.all() {
        of_subject.entry(connection.subject()).or_default().push(connection);
    }
    let checks = of_subject.into_values().map(|connections| check_subject(live, connections));
    let failures = stream::iter(checks).buffer_unordered(LOOKUPS_MAX).filter_map(|checked| async { checked.err() });
    // One line says enough: they fail for the same reason.
    let failed: Vec<_> = failures.collect().await;
    if let Some(error) = failed.first() {
        tracing::warn!(%error, connections = failed.len(), "it is not known for now who may stay connected");
    }
}

async fn check_subject(live: &Live, connections: Vec<Arc<Connection>>) -> Result<(), engine::Error> {
    let Some(first) = connections.first() else { return Ok(()) };
    let standing = live.engine.standing(&first.app.id, first.subject()).await?;
    let now = live.engine.now();
    let app = live.engine.app(first.app.id.as_str());
    let cuts = app.as_ref().is_some_and(|app| app.client.invalidation_cuts);
    let of_app = app.and_then(|app| app.tokens_invalid_before);
    // What was made invalid ends a connection only where the app asks for it.
    let standing = standing.map(|standing| match cuts {
        true => Standing { invalid_before: standing.invalid_before.max(of_app), ..standing },
        false => Standing { invalid_before: None, revoked: [].into(), ..standing },
    });
    for connection in connections {
        // A subject without a standing was forgotten.
        let Some(standing) = &standing else {
            connection.close(Close::DEACTIVATED);
            continue;
        };
        if let Err(refusal) = standing.admits(&connection.token, now) {
            connection.close(Close::cut(refusal));
        }
    }
    Ok(())
}
