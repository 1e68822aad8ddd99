//! Other users, as far as they show themselves.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::people::{self, Person, Target};
use super::problem::{Answer, Problem};
use crate::domain::values::Invalid;
use crate::engine::opening::Opener;

/// Users one call may ask about.
const USERS_MAX: usize = 100;

/// `users.get`.
pub(super) async fn show(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let id = asked.user_id()?;
    call.engine.caught_up(&call.app.id).await?;
    let subject = call.engine.find(&call.app.id, &id).await?.ok_or(Problem::NoSuchUser)?;
    let found = people::portrayed(call, vec![(id.as_str().to_owned(), subject)]).await?.pop().flatten();
    let found = found.ok_or(Problem::NoSuchUser)?;
    let answer = |opener: &mut Opener<'_>| found.open(opener);
    Answer::query(&call.engine.disclose(&call.caller, &[subject], answer).await?)
}

/// The field of the hosted profile that the app sets for its users to be found by.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UniqueId {
    /// From 1 to 32 characters. A socket may call it `uniqueId` as well.
    #[serde(alias = "uniqueId")]
    unique_id: String,
}

/// `users.find`.
pub(super) async fn find(call: &Call<'_>, asked: UniqueId) -> Result<Answer, Problem> {
    if asked.unique_id.is_empty() {
        return Err(Problem::Invalid(Invalid::missing("unique_id"), Some(34_236)));
    }
    call.engine.caught_up(&call.app.id).await?;
    let found = call.engine.find_by_unique_id(&call.app.id, &asked.unique_id).await?.ok_or(Problem::NoSuchUser)?;
    // Its userId is opened only once it is clear that it may be told.
    let found = people::portrayed(call, vec![(String::new(), found.subject)]).await?.pop().flatten();
    let found = found.filter(|found| !found.is_hidden()).ok_or(Problem::NoSuchUser)?;
    let id = people::ids_of(call, &[found.subject()]).await?.pop().flatten().ok_or(Problem::NoSuchUser)?;
    let found = found.named(id);
    let answer = |opener: &mut Opener<'_>| found.open(opener);
    Answer::query(&call.engine.disclose(&call.caller, &[found.subject()], answer).await?)
}

/// Some users.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Users {
    /// From 1 to 100.
    user_ids: Vec<String>,
}

/// Those who are there.
#[derive(Serialize, ToSchema)]
pub(super) struct Found {
    users: Vec<Person>,
    /// The userIds of those who are not.
    missing: Vec<String>,
}

/// `users.query`.
pub(super) async fn query(call: &Call<'_>, asked: Users) -> Result<Answer, Problem> {
    let ids = people::user_ids(&asked.user_ids, USERS_MAX)?;
    call.engine.caught_up(&call.app.id).await?;
    let subjects = call.engine.find_all(&call.app.id, &ids).await?;
    let named = ids.iter().zip(subjects).filter_map(|(id, subject)| Some((id.as_str().to_owned(), subject?)));
    let found: Vec<_> = people::portrayed(call, named.collect()).await?.into_iter().flatten().collect();
    let known: Vec<_> = found.iter().map(people::Portrayed::subject).collect();
    let answer = |opener: &mut Opener<'_>| found.iter().map(|one| one.open(opener)).collect::<Result<Vec<_>, _>>();
    let users = call.engine.disclose(&call.caller, &known, answer).await?;
    let is_missing = |id: &&String| !users.iter().any(|user| user.user_id == **id);
    let missing = asked.user_ids.iter().filter(is_missing).cloned().collect();
    Answer::query(&Found { users, missing })
}
