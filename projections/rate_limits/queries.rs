//! What can be asked about the limits.

use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::RateLimit;

use crate::queries;
use crate::store::{Error, ReadStore, Row};

queries! {
    of_app: coalesced = "SELECT rate_limit FROM rate_limits_v1 WHERE app = $1";
}

fn limit(row: &Row<'_, '_>) -> Result<RateLimit, Error> {
    row.text(0)?.parse().map_err(|_| Error::Column(0))
}

/// The limit of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, app: &AppId) -> Result<RateLimit, Error> {
    Ok(store.row(of_app, &[app.into()], limit).await?.unwrap_or_default())
}
