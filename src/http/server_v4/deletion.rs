//! Soft deletion: the deactivation of the domain.

use rollcall_projections::deactivated_users;
use rollcall_schemas::ids::OperationId;
use rollcall_schemas::plain::Scope;
use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault};
use crate::domain::erasure::{Erase, Request};
use crate::domain::user;

/// Users one call may name.
const USERS_MAX: usize = 100;

/// How an operation is called.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    pub(super) operation_id: OperationId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    user_ids: Vec<String>,
}

/// Fence users and erase their data.
pub(super) async fn soft_delete_users(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.counted(call.params()?.user_ids("userIds", USERS_MAX)?)?;
    call.operation(Erase { who, scope: Scope::Deactivate, request: Request::default() }).await
}

/// Lift the fence; nothing that was erased comes back.
pub(super) async fn restore_users(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.counted(call.params()?.user_ids("userIds", USERS_MAX)?)?;
    call.operation(user::Reactivate { who }).await
}

/// A page of the deactivated users.
pub(super) async fn list_soft_deleted_users(call: &Call<'_>) -> Result<Answer, Fault> {
    let page = call.params()?.page(50, 50)?;
    call.caught_up().await?;
    let subjects = deactivated_users::page(call.engine.read(), &call.app.id, page).await?;
    Answer::of(&Deleted { user_ids: call.reader().user_ids(&subjects).await? })
}
