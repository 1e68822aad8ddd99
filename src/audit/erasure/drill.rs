//! A drill: an erasure of a person that was made up for it, to see that the whole way is still open. It is recorded,
//! proven and reported like any other, and counted apart from them.

use rollcall_schemas::ids::OperationId;
use rollcall_schemas::plain::{Requester, Scope};
use uuid::Uuid;

use crate::domain::erasure::{Erase, Request};
use crate::domain::user::Register;
use crate::domain::values::{Invalid, Name, Portrait, UserId};
use crate::engine::{self, Caller, Engine};

/// Why there is no drill.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The person could not be registered or erased.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// What was made up is not what the domain takes.
    #[error("the person of the drill cannot be made up: {0}")]
    MadeUp(#[from] Invalid),
}

/// Makes a person up, registers it and requests its erasure with all that is known of it. Each call is a drill of its own.
/// Answers the operation, and where in the log it stands.
///
/// # Errors
/// The app has no place for another user, or a part is unavailable.
pub async fn begin(engine: &Engine, caller: &Caller) -> Result<(OperationId, u64), Error> {
    let caller = Caller { idempotency: None, ..caller.clone() };
    let unique = Uuid::new_v4().simple();
    let user_id = UserId::parse("userId", &format!("drill-{unique}"))?;
    let portrait = Some(Portrait::parse(&format!("https://drill.invalid/{unique}"))?);
    let name = Name::parse(&format!("Drill {unique}"))?;
    engine.execute(&caller, Register { who: user_id.clone(), name, portrait }).await?;
    let request = Request { requester: Requester::Drill, ..Request::default() };
    let done = engine.execute(&caller, Erase { who: vec![user_id], scope: Scope::Forget, request }).await?;
    Ok((done.reply, done.position))
}
