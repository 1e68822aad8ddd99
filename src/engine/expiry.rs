//! What ends by itself: bans that ran out are recorded as ended, so that the log and the audit trail know it (a query
//! never depends on it: a ban is over when its end has passed), and idempotency keys are forgotten after a day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rollcall_schemas::envelope::Actor;
use tokio_util::sync::CancellationToken;

use super::{Caller, Engine, Error};
use crate::domain::ban;

const EVERY: Duration = Duration::from_secs(1);
const AT_ONCE_MAX: u32 = 200;
const KEYS_EVERY: Duration = Duration::from_secs(600);
/// How long an `Idempotency-Key` is remembered.
const KEYS_LIVE: chrono::Duration = chrono::Duration::hours(24);

/// Runs until `stop`.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let mut keys_expired: Option<Instant> = None;
    loop {
        if engine.leads() {
            if keys_expired.is_none_or(|at| at.elapsed() >= KEYS_EVERY) {
                keys_expired = Some(Instant::now());
                if let Err(error) = forget_old(&engine).await {
                    tracing::debug!(%error, "old idempotency keys and claims could not be forgotten for now");
                }
            }
            expire_due(&engine).await;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
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

/// Records the bans that ended. One that cannot be recorded does not keep the others: it is tried again in the next round.
async fn expire_due(engine: &Engine) {
    let due = match rollcall_projections::banned_users::due(engine.read(), engine.now(), AT_ONCE_MAX).await {
        Ok(due) => due,
        Err(error) => return tracing::debug!(%error, "ended bans cannot be looked up for now"),
    };
    for ban in due {
        let caller = Caller::internal(ban.app, Actor::System);
        if let Err(error) = engine.execute(&caller, ban::Expire(ban.subject)).await {
            tracing::warn!(%error, app = %caller.app, "an ended ban could not be recorded; it is tried again");
        }
    }
}
