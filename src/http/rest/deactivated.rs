//! Deactivated users.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::{deactivated_users, erasure_ledger, user_directory};
use rollcall_schemas::ids::OperationId;
use rollcall_schemas::plain::{LegalBasis, Requester};
use serde::Serialize;
use utoipa::ToSchema;

use super::Call;
use super::paging::{PageLinks, PageQuery};
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
    /// Who deactivated it, such as `server:1`, `api_key:2`, `operator`, or `user:` with a reference.
    actor: String,
    /// On what ground its data is erased (GDPR, Article 17(1)).
    #[schema(value_type = Option<String>)]
    legal_basis: Option<LegalBasis>,
    /// In whose name: controller, subject, representative or authority.
    #[schema(value_type = Option<String>)]
    requester: Option<Requester>,
}

/// A part of the deactivated users.
#[derive(Serialize, ToSchema)]
pub(super) struct DeactivatedUsers {
    /// The latest deactivation first.
    deactivated_users: Vec<Deactivated>,
    #[serde(flatten)]
    links: PageLinks,
}

/// `GET /deactivated-users?cursor=&limit=`.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let (read, app) = (call.engine.read(), &call.app.id);
    let mut rows = deactivated_users::listed(read, app, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |(_, position)| Some(*position));
    let subjects: Vec<_> = rows.iter().map(|(user, _)| user.subject).collect();
    let ids = user_directory::user_ids(read, app, &subjects).await?;
    let erasures: Vec<_> = rows.iter().map(|(user, _)| user.erasure).collect();
    let erasures = erasure_ledger::by_ids(read, app, &erasures).await?;
    let users = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut users = Vec::with_capacity(rows.len());
        for (((user, _), id), erasure) in rows.into_iter().zip(&ids).zip(&erasures) {
            let Some(user_id) = opened(opener, user.subject, "user_id", id.as_deref())? else { continue };
            let deactivated_users::Deactivated { deactivated_at, operation, actor, .. } = user;
            let (legal_basis, requester) = erasure.as_ref().map(|erasure| (erasure.basis, erasure.requester)).unzip();
            users.push(Deactivated { user_id, deactivated_at, operation, actor, legal_basis, requester });
        }
        Ok::<_, Problem>(users)
    });
    Answer::query(&DeactivatedUsers { deactivated_users: users.await?, links })
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
