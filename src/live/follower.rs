//! Follows the log for those who are connected here: tells them what changed, and cuts whoever may not stay.
//!
//! It keeps its own place in the log, behind what the read models have applied, so that a client that asks again because of
//! what it was told finds it. While nobody is connected, it reads nothing.

use std::sync::Arc;
use std::time::Duration;

use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, app, ban, token, user};
use tokio_util::sync::CancellationToken;

use super::Live;
use super::change::Notice;
use super::close::Close;
use super::hidden::ViewChange;
use crate::engine::journal;
use crate::eventlog::{self, RawEvent};

/// Most events looked at together.
const BATCH_MAX: usize = 1_000;
/// Events of a user that followers of its profile are told of.
const PROFILE_EVENTS: &[&str] = &["user.reregistered", "user.modified", "user.profile_set", "user.profile_cleaned"];
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Follows the log until `stop`.
pub async fn run(live: Arc<Live>, stop: CancellationToken) {
    let mut applied = live.engine.watch_applied();
    let mut followed = *applied.borrow();
    loop {
        let up_to = *applied.borrow_and_update();
        match follow(&live, followed, up_to).await {
            Ok(()) => followed = followed.max(up_to),
            Err((reached, error)) => {
                tracing::warn!(%error, "connected clients are not told what changes for now; trying again");
                followed = reached;
                tokio::select! {
                    () = tokio::time::sleep(RETRY_AFTER) => continue,
                    () = stop.cancelled() => return,
                }
            }
        }
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return stop.cancelled().await },
            () = stop.cancelled() => return,
        }
    }
}

/// Follows the events above `after` up to `up_to`; where that fails, answers how far it came.
async fn follow(live: &Live, after: u64, up_to: u64) -> Result<(), (u64, eventlog::Error)> {
    let mut reached = after;
    while reached < up_to {
        // Whoever enters after this look finds in the log what is skipped: it enters first and then looks how far the read
        // models are.
        if live.registry.connected() == 0 {
            return Ok(());
        }
        let limit = usize::try_from(up_to - reached).unwrap_or(usize::MAX).min(BATCH_MAX);
        let events = live.engine.log().read_all(reached, limit).await.map_err(|error| (reached, error))?;
        let Some(last) = events.last() else { return Ok(()) };
        let last = last.position;
        events.iter().for_each(|raw| follow_one(live, raw));
        reached = last;
    }
    Ok(())
}

/// Whom an event may concern, by its stream alone: nothing is decoded for those who are not connected.
fn concerned(raw: &RawEvent) -> Vec<SubjectRef> {
    match raw.stream.parse() {
        Ok(
            Stream::User(subject)
            | Stream::Ban(subject)
            | Stream::Token(subject)
            | Stream::Blocklist(subject)
            | Stream::Allowlist(subject)
            | Stream::FriendGroups(subject),
        ) => vec![subject],
        Ok(Stream::Friendship(pair)) => pair.both().to_vec(),
        _ => vec![],
    }
}

fn follow_one(live: &Live, raw: &RawEvent) {
    if let Ok(Stream::User(subject)) = raw.stream.parse()
        && PROFILE_EVENTS.contains(&&*raw.name)
    {
        live.pushes.profile_changed(subject, raw.position);
    }
    if raw.name.starts_with("blocklist.")
        && let Ok(Recorded { event: Event::Blocklist(event), .. }) = journal::decode(raw)
    {
        live.pushes.views_changed(ViewChange::of(&event));
    }
    if raw.name == app::TokensInvalidatedBefore::DECLARATION.name
        && let Ok(recorded) = journal::decode(raw)
        && let Event::App(app::Event::TokensInvalidatedBefore(e)) = recorded.event
    {
        live.invalidated_of_app(&e.app, e.before);
    }
    let concerned: Vec<_> = concerned(raw).into_iter().filter(|subject| live.registry.has(*subject)).collect();
    if concerned.is_empty() {
        return;
    }
    // A read model that cannot take it parks its stream and tells the operator.
    let Ok(recorded) = journal::decode(raw) else { return };
    for subject in concerned {
        match &recorded.event {
            Event::Ban(
                ban::Event::Imposed(_)
                | ban::Event::ImposedV2(_)
                | ban::Event::Replaced(_)
                | ban::Event::ReplacedV2(_)
                | ban::Event::Started(_),
            ) => live.cut(subject, Close::BANNED_NOW),
            Event::User(user::Event::Deactivated(_) | user::Event::Restricted(_) | user::Event::Forgotten(_)) => {
                live.cut(subject, Close::DEACTIVATED)
            }
            Event::Token(token::Event::InvalidatedBefore(e)) => {
                live.invalidated(live.registry.of(subject), |token| token.issued_at < e.before);
            }
            Event::Token(token::Event::Revoked(e)) => {
                live.invalidated(live.registry.of(subject), |token| token.token == e.token);
            }
            _ => {
                if let Some(notice) = Notice::of(subject, &recorded) {
                    live.registry.tell(subject, notice);
                }
            }
        }
    }
}
