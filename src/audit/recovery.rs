//! Continues with a log that was put back to an earlier state, so that what was erased since stays erased.
//!
//! The vault keeps a ledger of the keys it destroyed. An erasure that is missing in the log is recorded there again under
//! its old id, and then goes through its steps like any other.

use rollcall_schemas::envelope::Actor;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::Scope;

use crate::domain::erasure::{Advance, Step};
use crate::engine::{Caller, Engine, Error};
use crate::privacy::KeysToDestroy;

const PAGE: u32 = 500;

/// Records every erasure of the vault's ledger that the log does not know; returns how many there are in the ledger.
///
/// # Errors
/// The vault or the log is unavailable; it may be repeated.
pub async fn reapply_erasures(engine: &Engine) -> Result<u32, Error> {
    let (mut done, mut last) = (0, 0);
    loop {
        let destructions = engine.vault().destructions(last, PAGE)?;
        if destructions.is_empty() {
            return Ok(done);
        }
        for (number, destruction) in destructions {
            let KeysToDestroy { erasure, app, subject, classes, operation } = destruction.keys_to_destroy;
            let scope = if classes.contains(&Class::Identity) { Scope::Forget } else { Scope::Deactivate };
            let step = Step::Begin(scope, operation);
            let caller = Caller::internal(app, Actor::Operator);
            engine.execute(&caller, Advance { erasure, subject, step, friends: vec![] }).await?;
            (done, last) = (done + 1, number);
        }
    }
}
