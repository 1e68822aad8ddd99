//! A drill: the erasure of a fictitious person, which shows that every step of an erasure works. It is recorded,
//! proven and reported like any other, and counted apart from them.

use rollcall_schemas::ids::OperationId;
use rollcall_schemas::plain::{Requester, Scope};
use uuid::Uuid;

use crate::domain::Refusal;
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

/// Makes a person up, registers it and requests its erasure with all that is known of it. Each call is a drill of its own,
/// but for a repetition under the same idempotency key, which answers the same operation. Answers the operation, and where
/// in the log it stands; 0 where an earlier call requested it.
///
/// # Errors
/// The app has no place for another user, or a part is unavailable.
pub async fn begin(engine: &Engine, caller: &Caller) -> Result<(OperationId, u64), Error> {
    let unique = match &caller.idempotency {
        Some(key) => {
            let made_up = engine.vault().fingerprint(&caller.app, &[b"drill", key.key.as_bytes()]);
            hex::encode(made_up.map_err(engine::Error::from)?.get(..16).unwrap_or_default())
        }
        None => Uuid::new_v4().simple().to_string(),
    };
    let user_id = UserId::parse("userId", &format!("drill-{unique}"))?;
    let portrait = Some(Portrait::parse(&format!("https://drill.invalid/{unique}"))?);
    let name = Name::parse(&format!("Drill {unique}"))?;
    let register = Register { who: user_id.clone(), name, portrait };
    let forget = || {
        let request = Request { requester: Requester::Drill, ..Request::default() };
        Erase { who: vec![user_id.clone()], scope: Scope::Forget, request }
    };
    if caller.idempotency.is_some() {
        // Asked first: a repetition must not register the person again that the drill has erased. As nobody is erased
        // where there is no person yet, it does not count for the brake.
        let asked = Caller { overrides_brake: true, ..caller.clone() };
        match engine.execute(&asked, forget()).await {
            Err(engine::Error::Refused(Refusal::NotRegistered)) => {}
            outcome => {
                let done = outcome?;
                return Ok((done.reply, done.position));
            }
        }
    }
    engine.execute(&Caller { idempotency: None, ..caller.clone() }, register).await?;
    let done = engine.execute(caller, forget()).await?;
    Ok((done.reply, done.position))
}
