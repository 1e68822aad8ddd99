//! What can be asked about the rules.

use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::ClientRules;

use crate::queries;
use crate::store::{Error, ReadStore, Row};

queries! {
    of_app: coalesced = "SELECT devices, invalidation_cuts, erasure, without_last_seen FROM client_rules_v1 WHERE app = $1";
}

fn rules(row: &Row<'_, '_>) -> Result<ClientRules, Error> {
    Ok(ClientRules {
        devices: row.word(0)?,
        invalidation_cuts: row.flag(1)?,
        erasure: row.flag(2)?,
        without_last_seen: row.flag(3)?,
    })
}

/// The rules of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, app: &AppId) -> Result<ClientRules, Error> {
    Ok(store.row(of_app, &[app.into()], rules).await?.unwrap_or_default())
}
