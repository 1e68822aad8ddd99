//! Blocklists and allowlists.

use std::collections::HashSet;

use rollcall_projections::{allowlists, blocklists, user_directory};
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::operations::BatchAnswer;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::{opened, owner, user_id};
use crate::domain::values::{self, Invalid, UserId};
use crate::domain::{allowlist, blocklist};
use crate::engine;
use crate::engine::operations::{ListChange, Would, would_list};
use crate::http::cursor::Followed;

/// Users one call may add to a list or take from it, and pairs one call may check.
const ENTRIES_MAX: usize = 1_000;

/// Somebody on a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    user_id: String,
}

/// A part of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct ListPage {
    users: Vec<Listed>,
    #[serde(flatten)]
    links: PageLinks,
}

/// Whether somebody is on a list.
#[derive(Serialize, ToSchema)]
#[schema(as = ListEntry)]
pub(super) struct Entry {
    user_id: String,
    listed: bool,
}

/// Whom to add or to take away, all or nobody.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListBatch {
    #[serde(default)]
    #[schema(required)]
    user_ids: Vec<String>,
    /// Whether they are taken from the list instead.
    #[serde(default)]
    remove: bool,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// Whether an allowlist is in force.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowlistSetting {
    enabled: bool,
}

async fn change(call: &Call<'_>, change: ListChange, targets: Vec<UserId>) -> Result<Answer, Problem> {
    let (owner, caller, engine) = (user_id(call.parameter(0))?, &call.caller, call.engine);
    let done: Result<_, engine::Error> = match change {
        ListChange::Block => engine.execute(caller, blocklist::Block { owner, targets }).await,
        ListChange::Unblock => engine.execute(caller, blocklist::Unblock { owner, targets }).await,
        ListChange::Allow => engine.execute(caller, allowlist::Allow { owner, targets }).await,
        ListChange::Disallow => engine.execute(caller, allowlist::Disallow { owner, targets }).await,
    };
    Ok(Answer::done(done?.position))
}

/// The user a path names second.
fn target(call: &Call<'_>) -> Result<UserId, Problem> {
    UserId::parse("target", call.parameter(1)).map_err(|invalid| Problem::Invalid("{target}", invalid))
}

async fn change_one(call: &Call<'_>, kind: ListChange) -> Result<Answer, Problem> {
    change(call, kind, vec![target(call)?]).await
}

async fn change_many(call: &Call<'_>, add: ListChange, remove: ListChange) -> Result<Answer, Problem> {
    let asked: ListBatch = call.json()?;
    let invalid = |invalid| Problem::Invalid("#/user_ids", invalid);
    if asked.user_ids.is_empty() {
        return Err(invalid(Invalid::missing("user_ids")));
    }
    if asked.user_ids.len() > ENTRIES_MAX {
        return Err(invalid(Invalid::new("user_ids", values::Problem::TooMany { max: ENTRIES_MAX })));
    }
    let targets = asked.user_ids.iter().map(|id| UserId::parse("user_ids", id)).collect::<Result<Vec<_>, _>>();
    let (kind, targets) = (if asked.remove { remove } else { add }, targets.map_err(invalid)?);
    if asked.dry_run { dry_run(call, kind, targets).await } else { change(call, kind, targets).await }
}

/// What a change of a list would come to.
async fn dry_run(call: &Call<'_>, kind: ListChange, mut targets: Vec<UserId>) -> Result<Answer, Problem> {
    let owner = user_id(call.parameter(0))?;
    let mut named = HashSet::new();
    targets.retain(|target| named.insert(target.clone()));
    call.engine.caught_up(&call.app.id).await?;
    let others: Vec<_> = targets.iter().filter(|target| **target != owner).cloned().collect();
    let subjects = call.engine.find_all(&call.app.id, &others).await?;
    let subject = call.engine.find(&call.app.id, &owner).await?;
    let mut would = would_list(call.engine, subject, &subjects, kind).await?.into_iter();
    let result = |target: UserId| {
        // A user on its own list changes nothing.
        let would = if target == owner { None } else { would.next() };
        (target, would.unwrap_or(Would::Unchanged))
    };
    Answer::query(&BatchAnswer::of_dry_run(targets.into_iter().map(result)))
}

/// `PUT /users/{id}/blocklist/{target}`.
pub(super) async fn block(call: &Call<'_>) -> Result<Answer, Problem> {
    change_one(call, ListChange::Block).await
}

/// `DELETE /users/{id}/blocklist/{target}`.
pub(super) async fn unblock(call: &Call<'_>) -> Result<Answer, Problem> {
    change_one(call, ListChange::Unblock).await
}

/// `POST /users/{id}/blocklist/batch`.
pub(super) async fn block_many(call: &Call<'_>) -> Result<Answer, Problem> {
    change_many(call, ListChange::Block, ListChange::Unblock).await
}

/// `PUT /users/{id}/allowlist/{target}`.
pub(super) async fn allow(call: &Call<'_>) -> Result<Answer, Problem> {
    change_one(call, ListChange::Allow).await
}

/// `DELETE /users/{id}/allowlist/{target}`.
pub(super) async fn disallow(call: &Call<'_>) -> Result<Answer, Problem> {
    change_one(call, ListChange::Disallow).await
}

/// `POST /users/{id}/allowlist/batch`.
pub(super) async fn allow_many(call: &Call<'_>) -> Result<Answer, Problem> {
    change_many(call, ListChange::Allow, ListChange::Disallow).await
}

async fn page(call: &Call<'_>, targets: &[SubjectRef], links: PageLinks) -> Result<Answer, Problem> {
    let ids = user_directory::user_ids(call.engine.read(), &call.app.id, targets).await?;
    let users = call.engine.disclose(&call.caller, targets, |opener| {
        let mut users = Vec::with_capacity(targets.len());
        for (target, id) in targets.iter().zip(&ids) {
            // Who was forgotten is on no list any more.
            users.extend(opened(opener, *target, "user_id", id.as_deref())?.map(|user_id| Listed { user_id }));
        }
        Ok::<_, Problem>(users)
    });
    Answer::query(&ListPage { users: users.await?, links })
}

/// `GET /users/{id}/blocklist`: whom the user blocks.
pub(super) async fn blocklist(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, owner) = (PageQuery::<u64>::read(call.query)?, owner(call).await?);
    let mut rows = blocklists::page(call.engine.read(), owner, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |entry| Some(entry.sequence));
    let targets: Vec<_> = rows.iter().map(|entry| entry.target).collect();
    page(call, &targets, links).await
}

/// `GET /users/{id}/allowlist`: whom the user allows.
pub(super) async fn allowlist(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, owner) = (PageQuery::<u64>::read(call.query)?, owner(call).await?);
    let mut rows = allowlists::page(call.engine.read(), owner, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |entry| Some(entry.sequence));
    let targets: Vec<_> = rows.iter().map(|entry| entry.target).collect();
    page(call, &targets, links).await
}

/// `GET /users/{id}/blocked-by`: who blocks the user.
pub(super) async fn blocked_by(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, target) = (PageQuery::<Followed>::read(call.query)?, owner(call).await?);
    let rows = blocklists::owners(call.engine.read(), target, asked.seek.map(|place| place.0), asked.limit + 1).await?;
    told_owners(call, &asked, rows).await
}

/// `GET /users/{id}/allowed-by`: who allows the user.
pub(super) async fn allowed_by(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, target) = (PageQuery::<Followed>::read(call.query)?, owner(call).await?);
    let rows = allowlists::owners(call.engine.read(), target, asked.seek.map(|place| place.0), asked.limit + 1).await?;
    told_owners(call, &asked, rows).await
}

async fn told_owners(
    call: &Call<'_>,
    asked: &PageQuery<Followed>,
    mut owners: Vec<SubjectRef>,
) -> Result<Answer, Problem> {
    let links = asked.cut(&mut owners, |owner| Some(Followed(*owner)));
    page(call, &owners, links).await
}

/// `GET /users/{id}/blocklist/{target}`: whether the user blocks that one.
pub(super) async fn is_blocked(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, target) = (owner(call).await?, target(call)?);
    let listed = match call.engine.find(&call.app.id, &target).await? {
        Some(subject) => blocklists::entries(call.engine.read(), &[(owner, subject)]).await? != [None],
        None => false,
    };
    Answer::query(&Entry { user_id: target.as_str().to_owned(), listed })
}

/// `GET /users/{id}/allowlist/{target}`: whether the user allows that one.
pub(super) async fn is_allowed(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, target) = (owner(call).await?, target(call)?);
    let listed = match call.engine.find(&call.app.id, &target).await? {
        Some(subject) => allowlists::entries(call.engine.read(), &[(owner, subject)]).await? != [None],
        None => false,
    };
    Answer::query(&Entry { user_id: target.as_str().to_owned(), listed })
}

/// `GET /users/{id}/allowlist-setting`: whether the allowlist is in force.
pub(super) async fn setting(call: &Call<'_>) -> Result<Answer, Problem> {
    let owner = owner(call).await?;
    let enabled = allowlists::in_force_since(call.engine.read(), &[owner]).await? != [None];
    Answer::query(&AllowlistSetting { enabled })
}

/// `PUT /users/{id}/allowlist-setting`: put the allowlist in force, or out of it.
pub(super) async fn set(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let AllowlistSetting { enabled } = call.json()?;
    let done = call.engine.execute(&call.caller, allowlist::SetAllowlist { who, enabled }).await?;
    Ok(Answer::done(done.position))
}

/// Pairs of users.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListPairs {
    pairs: Vec<(String, String)>,
}

/// Whether one of a pair blocks the other.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedBlock {
    from: String,
    to: String,
    /// Whether `from` blocks `to`.
    blocked: bool,
    /// Whether `to` blocks `from`.
    reverse: bool,
}

/// What is so of each pair, in the order asked.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedBlocks {
    results: Vec<CheckedBlock>,
}

/// Whether one of a pair allows the other.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedAllow {
    from: String,
    to: String,
    /// Whether `to` is on the allowlist of `from`, be that in force or not.
    allowed: bool,
    /// Whether `from` is on the allowlist of `to`.
    reverse: bool,
}

/// What is so of each pair, in the order asked.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedAllows {
    results: Vec<CheckedAllow>,
}

/// The pairs of a call, as they were given and as userIds.
type Pairs = (Vec<(String, String)>, Vec<(UserId, UserId)>);

fn pairs(call: &Call<'_>) -> Result<Pairs, Problem> {
    let ListPairs { pairs } = call.json()?;
    let invalid = |invalid| Problem::Invalid("#/pairs", invalid);
    if pairs.len() > ENTRIES_MAX {
        return Err(invalid(Invalid::new("pairs", values::Problem::TooMany { max: ENTRIES_MAX })));
    }
    let parse = |id: &String| UserId::parse("pairs", id);
    let asked =
        pairs.iter().map(|(from, to)| Ok((parse(from)?, parse(to)?))).collect::<Result<_, _>>().map_err(invalid)?;
    Ok((pairs, asked))
}

/// `POST /blocks/check`: who of these pairs blocks whom. A userId that was never used blocks nobody.
pub(super) async fn check_blocks(call: &Call<'_>) -> Result<Answer, Problem> {
    let (pairs, asked) = pairs(call)?;
    let found = call.engine.blocks_between(&call.app.id, asked).await?;
    let told = pairs.into_iter().zip(found);
    let results =
        told.map(|((from, to), found)| CheckedBlock { from, to, blocked: found.there, reverse: found.back }).collect();
    Answer::query(&CheckedBlocks { results })
}

/// `POST /allows/check`: who of these pairs has whom on its allowlist. A userId that was never used allows nobody.
pub(super) async fn check_allows(call: &Call<'_>) -> Result<Answer, Problem> {
    let (pairs, asked) = pairs(call)?;
    let found = call.engine.allows_between(&call.app.id, asked).await?;
    let told = pairs.into_iter().zip(found);
    let results =
        told.map(|((from, to), found)| CheckedAllow { from, to, allowed: found.there, reverse: found.back }).collect();
    Answer::query(&CheckedAllows { results })
}
