//! What a user calls others.

use rollcall_projections::remarks::{self, RemarkCursor};
use rollcall_projections::user_directory;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::{opened, owner, user_id};
use crate::domain::remarks::{Remark, Unremark};
use crate::domain::values::{Remark as Text, UserId};

/// What a user calls another one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemarkBody {
    /// At most 64 characters.
    remark: String,
}

fn target(call: &Call<'_>) -> Result<UserId, Problem> {
    UserId::parse("target", call.parameter(1)).map_err(|invalid| Problem::Invalid("{target}", invalid))
}

/// `PUT /users/{id}/remarks/{target}`.
pub(super) async fn remark(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, target) = (user_id(call.parameter(0))?, target(call)?);
    let RemarkBody { remark } = call.json()?;
    let remark = Text::parse(&remark).map_err(|invalid| Problem::Invalid("#/remark", invalid))?;
    let command = Remark { owner, remarks: vec![(target, remark)] };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `DELETE /users/{id}/remarks/{target}`.
pub(super) async fn unremark(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, target) = (user_id(call.parameter(0))?, target(call)?);
    Ok(Answer::done(call.engine.execute(&call.caller, Unremark { owner, target }).await?.position))
}

/// A remark, and about whom it is.
#[derive(Serialize, ToSchema)]
pub(super) struct Remarked {
    user_id: String,
    remark: String,
}

/// `GET /users/{id}/remarks/{target}`: 404 where the user has no remark about that one.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, target) = (owner(call).await?, target(call)?);
    let about = call.engine.find(&call.app.id, &target).await?.ok_or(Problem::NoRemark)?;
    let found = remarks::of(call.engine.read(), owner, about).await?.ok_or(Problem::NoRemark)?;
    let subjects = [about];
    let remark = call.engine.disclose(&call.caller, &subjects, |opener| {
        // Who was erased in this moment has none.
        opened(opener, about, "remark", Some(&found.remark))?.ok_or(Problem::NoRemark)
    });
    Answer::query(&Remarked { user_id: target.as_str().to_owned(), remark: remark.await? })
}

/// A part of the remarks of a user.
#[derive(Serialize, ToSchema)]
pub(super) struct Remarks {
    remarks: Vec<Remarked>,
    #[serde(flatten)]
    links: PageLinks,
}

/// `GET /users/{id}/remarks?cursor=&limit=`: the earliest first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, owner) = (PageQuery::<RemarkCursor>::read(call.query)?, owner(call).await?);
    let (read, app) = (call.engine.read(), &call.app.id);
    let mut rows = remarks::listed(read, owner, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |(_, place)| Some(*place));
    let targets: Vec<_> = rows.iter().map(|(remark, _)| remark.target).collect();
    let ids = user_directory::user_ids(read, app, &targets).await?;
    let remarks = call.engine.disclose(&call.caller, &targets, |opener| {
        let mut remarks = Vec::with_capacity(rows.len());
        for ((row, _), id) in rows.iter().zip(&ids) {
            let user_id = opened(opener, row.target, "user_id", id.as_deref())?;
            let remark = opened(opener, row.target, "remark", Some(&row.remark))?;
            // Who was erased in this moment has neither.
            remarks.extend(user_id.zip(remark).map(|(user_id, remark)| Remarked { user_id, remark }));
        }
        Ok::<_, Problem>(remarks)
    });
    Answer::query(&Remarks { remarks: remarks.await?, links })
}
