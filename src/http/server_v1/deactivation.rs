//! Deactivate, list the deactivated, reactivate.

use rollcall_projections::deactivated_users;
use rollcall_schemas::plain::Scope;

use super::answer::{Answer, Fault, OK};
use super::{Call, convert};
use crate::domain::erasure::{Erase, Request};
use crate::domain::user;

/// `deactivate`: fence users and erase their data. One user that does not exist refuses the whole call.
pub(super) async fn deactivate(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.counted(call.form()?.user_ids("userId", 100)?)?;
    call.operation(Erase { who, scope: Scope::Deactivate, request: Request::default() }).await
}

/// `reactivate`: lift the fence; nothing that was erased comes back.
pub(super) async fn reactivate(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.counted(call.form()?.user_ids("userId", 100)?)?;
    call.operation(user::Reactivate { who }).await
}

/// `deactivate/query`: a page of the deactivated users.
pub(super) async fn query_deactivated(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let page = convert::page(&form, ("pageNo", "pageSize"), (50, 50))?;
    call.caught_up().await?;
    let subjects = deactivated_users::page(call.engine.read(), &call.app.id, page).await?;
    Answer::of(&convert::Users { code: OK, users: convert::user_ids(call, &subjects).await? })
}
