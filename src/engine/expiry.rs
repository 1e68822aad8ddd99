//! What the clock does: scheduled bans whose time has come are recorded as begun, bans, mutes and friend requests whose time is
//! over as ended, so that the log and the audit trail know it and connections of whoever is banned now are cut (neither a query
//! nor a decision depends on it: they look at the time); and idempotency keys are forgotten after a day.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_projections::friend_graph::{self, Request};
use rollcall_projections::{banned_users, mutes};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::AppId;
use tokio_util::sync::CancellationToken;

use super::{Caller, Engine, Error};
use crate::domain::friendship::ExpireRequest;
use crate::domain::user::ExpireMute;
use crate::domain::{Command, ban};

const EVERY: Duration = Duration::from_secs(1);
const AT_ONCE_MAX: u32 = 200;
/// How often idempotency keys are looked through.
const KEYS_EVERY: TimeDelta = TimeDelta::minutes(10);
/// How long an `Idempotency-Key` is remembered.
const KEYS_LIVE: TimeDelta = TimeDelta::hours(24);

/// Runs until `stop`.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let mut rounds = Rounds::default();
    loop {
        rounds.round(&engine).await;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What is done again and again.
#[derive(Debug, Default)]
pub struct Rounds {
    /// When idempotency keys were forgotten last.
    forgot_at: Option<DateTime<Utc>>,
}

impl Rounds {
    /// Does what is due by the engine's clock, on the node that leads. What fails is tried again in a later round.
    pub async fn round(&mut self, engine: &Engine) {
        if !engine.leads() {
            return;
        }
        let now = engine.now();
        if self.forgets(now) {
            self.forgot_at = Some(now);
            if let Err(error) = forget_old(engine).await {
                tracing::debug!(%error, "old idempotency keys and claims could not be forgotten for now");
            }
        }
        expire_due(engine).await;
    }

    /// Whether old keys are to be forgotten now; also where the clock was put back behind the last time.
    fn forgets(&self, now: DateTime<Utc>) -> bool {
        self.forgot_at.is_none_or(|at| (now - at).abs() >= KEYS_EVERY)
    }
}

async fn forget_old(engine: &Engine) -> Result<(), Error> {
    engine.log().expire_outcomes(engine.now() - KEYS_LIVE).await?;
    if let Some(claims) = engine.read().claims() {
        engine.all_applied().await?;
        claims.forget_old().await?;
    }
    Ok(())
}

/// Records the bans that began or ended, and the mutes and requests that ended. One that cannot be recorded does not keep the
/// others: it is tried again in the next round.
async fn expire_due(engine: &Engine) {
    match banned_users::due(engine.read(), engine.now(), AT_ONCE_MAX).await {
        Ok(due) => {
            for ban in due {
                expire(engine, ban.app, ban::Expire(ban.subject), "ban").await;
            }
        }
        Err(error) => tracing::debug!(%error, "bans that began or ended cannot be looked up for now"),
    }
    match mutes::due(engine.read(), engine.now(), AT_ONCE_MAX).await {
        Ok(due) => {
            for mute in due {
                expire(engine, mute.app, ExpireMute(mute.subject), "mute").await;
            }
        }
        Err(error) => tracing::debug!(%error, "mutes that ended cannot be looked up for now"),
    }
    match friend_graph::due(engine.read(), engine.now(), AT_ONCE_MAX).await {
        Ok(due) => {
            for Request { app, from, to, .. } in due {
                expire(engine, app, ExpireRequest { from, to }, "friend request").await;
            }
        }
        Err(error) => tracing::debug!(%error, "lapsed friend requests cannot be looked up for now"),
    }
}

async fn expire<C: Command>(engine: &Engine, app: AppId, command: C, what: &'static str) {
    let caller = Caller::internal(app, Actor::System);
    if let Err(error) = engine.execute(&caller, command).await {
        tracing::warn!(%error, app = %caller.app, what, "what the clock did could not be recorded; it is tried again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_keys_are_looked_for_every_ten_minutes_also_after_the_clock_was_put_back() {
        let (mut rounds, start) = (Rounds::default(), DateTime::UNIX_EPOCH);
        assert!(rounds.forgets(start), "at the start");
        rounds.forgot_at = Some(start);
        let due = [0, 599, 600, -599, -600].map(|seconds| rounds.forgets(start + TimeDelta::seconds(seconds)));
        assert_eq!(due, [false, false, true, false, true]);
    }
}
