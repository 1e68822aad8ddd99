//! Deactivated users.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::{deactivated_users, user_directory};
use rollcall_schemas::ids::OperationId;
use serde::Serialize;
use utoipa::ToSchema;

use super::Call;
use super::paging::PageQuery;
use super::problem::{Answer, Problem};
use super::users::{opened, user_id};
use crate::domain::user::Reactivate;

/// A deactivated user.
#[derive(Serialize, ToSchema)]
pub(super) struct Deactivated {
    user_id: String,
    deactivated_at: DateTime<Utc>,
    /// What whoever deactivated it was told.
    operation: String,
}

/// A part of the deactivated users.
#[derive(Serialize, ToSchema)]
pub(super) struct DeactivatedUsers {
    /// The latest deactivation first.
    deactivated_users: Vec<Deactivated>,
    next: Option<String>,
}

/// `GET /deactivated-users?cursor=&limit=`.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let (read, app) = (call.engine.read(), &call.app.id);
    let mut rows = deactivated_users::before(read, app, asked.cursor, asked.limit + 1).await?;
    let next = asked.cut(&mut rows, |(_, position)| Some(*position));
    let subjects: Vec<_> = rows.iter().map(|(user, _)| user.subject).collect();
    let ids = user_directory::user_ids(read, app, &subjects).await?;
    let users = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut users = Vec::with_capacity(rows.len());
        for ((user, _), id) in rows.into_iter().zip(&ids) {
            let Some(user_id) = opened(opener, user.subject, "user_id", id.as_deref())? else { continue };
            users.push(Deactivated { user_id, deactivated_at: user.deactivated_at, operation: user.operation });
        }
        Ok::<_, Problem>(users)
    });
    Answer::query(&DeactivatedUsers { deactivated_users: users.await?, next })
}

/// What the reactivation is called.
#[derive(Serialize, ToSchema)]
pub(super) struct Reactivation {
    #[schema(value_type = String)]
    operation: OperationId,
}

/// `POST /users/{id}/reactivation`: the user may be registered again; nothing that was erased comes back.
pub(super) async fn reactivate(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let done = call.engine.execute(&call.caller, Reactivate { who }).await?;
    Answer::command(StatusCode::OK, &Reactivation { operation: done.reply }, done.position)
}
