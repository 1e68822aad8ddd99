//! Records the end of bans that ran out, so that the log and the audit trail know it. A query never depends on it:
//! a ban is over when its end has passed.

use std::sync::Arc;
use std::time::Duration;

use rollcall_schemas::envelope::Actor;
use tokio_util::sync::CancellationToken;

use super::{Caller, Engine, Error};
use crate::domain::Command;

const EVERY: Duration = Duration::from_secs(1);
const AT_ONCE_MAX: u32 = 200;

/// Runs until `stop`.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    loop {
        if let Err(error) = expire_due(&engine).await {
            tracing::debug!(%error, "ended bans could not be recorded for now");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn expire_due(engine: &Engine) -> Result<(), Error> {
    for ban in rollcall_projections::banned_users::due(engine.read(), engine.now(), AT_ONCE_MAX).await? {
        let caller = Caller::internal(ban.app, Actor::System);
        engine.execute(&caller, Command::ExpireBan(ban.subject)).await?;
    }
    Ok(())
}
