//! What a client has missed: all of it, or that it is too much and everything is to be read again. Never a part.

use std::sync::Arc;

use rollcall_projections::{PAGE_MAX, audit_trail};
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::change::Notice;
use crate::engine::{Engine, Error, journal};
use crate::tasks;

/// What changed for a subject above the position `since` and up to `until`, in order; `None`: as much happened to the user as a
/// page holds, or the log has never been at `since`.
///
/// # Errors
/// The log or the read models are unavailable.
pub async fn between(
    engine: &Arc<Engine>,
    app: &AppId,
    subject: SubjectRef,
    since: u64,
    until: u64,
) -> Result<Option<Vec<Notice>>, Error> {
    if since > until {
        return Ok(None);
    }
    let mut positions = audit_trail::positions_about(engine.read(), subject, since, PAGE_MAX).await?;
    let is_full = positions.len() >= usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    if is_full && positions.last().is_some_and(|last| *last <= until) {
        return Ok(None);
    }
    positions.retain(|position| *position <= until);
    if positions.is_empty() {
        return Ok(Some(vec![]));
    }
    // The log may have to wait for a disk, for which a thread that serves requests must not.
    let (log, handle) = (Arc::clone(engine.log()), tokio::runtime::Handle::current());
    let read = tasks::spawn_blocking(move || tasks::block_on(&handle, log.read_at(&positions)));
    let events = read.await.map_err(|error| Error::Unavailable(error.to_string()))??;
    let mut notices = Vec::new();
    for raw in &events {
        let recorded = journal::decode(raw)?;
        if recorded.metadata.app == *app {
            notices.extend(Notice::of(subject, &recorded));
        }
    }
    Ok(Some(notices))
}
