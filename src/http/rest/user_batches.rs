//! Many users in one call.

use actix_web::http::StatusCode;
use futures_util::{StreamExt as _, stream};
use rollcall_projections::user_directory;
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::problem::{Answer, Described, Problem};
use super::users::{Registration, User, opened, shown};
use crate::domain::user::Register;
use crate::domain::values::{self, Invalid, UserId};
use crate::engine::{Caller, IdempotencyKey};

/// Users of one call.
const USERS_MAX: usize = 1_000;
/// Registrations of one call that are under way at the same time.
const AT_ONCE_MAX: usize = 100;

/// Who is registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registrations {
    users: Vec<Registrant>,
}

/// One user that is registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registrant {
    user_id: String,
    name: String,
    #[serde(default)]
    portrait_uri: Option<String>,
}

/// What became of each, in the order asked.
#[derive(Serialize, ToSchema)]
pub(super) struct RegistrationsDone {
    results: Vec<RegistrationResult>,
}

/// What became of one registration.
#[derive(Serialize, ToSchema)]
pub(super) struct RegistrationResult {
    user_id: String,
    /// What a call of its own would be answered: 201 for a new user, 200 for a known one.
    status: u16,
    /// The access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Why it was not registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Described>,
}

fn too_many(pointer: &'static str, field: &'static str) -> Problem {
    Problem::Invalid(pointer, Invalid::new(field, values::Problem::TooMany { max: USERS_MAX }))
}

/// The caller of one part of a call: a retry of the whole call repeats no part that was done.
fn caller_of_part(caller: &Caller, number: usize) -> Caller {
    let idempotency = caller.idempotency.as_ref().map(|given| IdempotencyKey {
        // No caller's own key has a line break.
        key: format!("{}\n{number}", given.key),
        content: given.content.clone(),
    });
    Caller { idempotency, ..caller.clone() }
}

/// `POST /users/batch`: register users. Each is registered or refused by itself.
pub(super) async fn register(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: Registrations = call.json()?;
    if asked.users.len() > USERS_MAX {
        return Err(too_many("#/users", "users"));
    }
    let one = async |(number, user): (usize, Registrant)| {
        let done = register_one(call, &caller_of_part(&call.caller, number), &user).await;
        match done {
            Ok((status, token, position)) => {
                let (status, token) = (status.as_u16(), Some(token));
                (RegistrationResult { user_id: user.user_id, status, token, problem: None }, position)
            }
            Err(problem) => {
                let problem = Described::of(&problem);
                let (status, problem) = (problem.status(), Some(problem));
                (RegistrationResult { user_id: user.user_id, status, token: None, problem }, 0)
            }
        }
    };
    let registering = stream::iter(asked.users.into_iter().enumerate()).map(one).buffered(AT_ONCE_MAX);
    let (results, positions): (Vec<_>, Vec<_>) = registering.unzip().await;
    let position = positions.into_iter().max().unwrap_or(0);
    Answer::command(StatusCode::OK, &RegistrationsDone { results }, position)
}

async fn register_one(
    call: &Call<'_>,
    caller: &Caller,
    user: &Registrant,
) -> Result<(StatusCode, String, u64), Problem> {
    let who = UserId::parse("user_id", &user.user_id).map_err(|invalid| Problem::Invalid("#/user_id", invalid))?;
    let registration = Registration { name: user.name.clone(), portrait_uri: user.portrait_uri.clone() };
    let (name, portrait) = registration.parse()?;
    let done = call.engine.execute(caller, Register { who, name, portrait }).await?;
    let token = call.engine.token_text(&call.app.id, &done.reply.token)?;
    let status = if done.reply.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, token, done.position))
}

/// Who is asked about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserQuery {
    #[serde(default)]
    user_ids: Vec<String>,
    /// References of the log, such as the feed tells them.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    subjects: Vec<SubjectRef>,
}

/// Those who are registered.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundUsers {
    users: Vec<User>,
    /// What was asked about and is not a registered user, or deactivated.
    missing: Vec<String>,
}

/// `POST /users/query`: users by their userIds or their references.
pub(super) async fn query(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: UserQuery = call.json()?;
    if asked.user_ids.len() + asked.subjects.len() > USERS_MAX {
        return Err(too_many("#/user_ids", "user_ids"));
    }
    let parsed = asked.user_ids.iter().map(|id| UserId::parse("user_ids", id)).collect::<Result<Vec<_>, _>>();
    let ids = parsed.map_err(|invalid| Problem::Invalid("#/user_ids", invalid))?;
    call.engine.caught_up(&call.app.id).await?;
    let mut subjects = call.engine.find_all(&call.app.id, &ids).await?;
    subjects.extend(asked.subjects.iter().copied().map(Some));
    let names = asked.user_ids.iter().cloned().chain(asked.subjects.iter().map(ToString::to_string));
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let mut rows = user_directory::by_subjects(call.engine.read(), &call.app.id, &known).await?.into_iter();
    let (mut found, mut missing) = (vec![], vec![]);
    for (name, subject) in names.zip(subjects) {
        match subject.and_then(|_| rows.next().flatten()).filter(user_directory::User::is_active) {
            Some(row) => found.push(row),
            None => missing.push(name),
        }
    }
    let told: Vec<_> = found.iter().map(|user| user.subject).collect();
    let users = call.engine.disclose(&call.caller, &told, |opener| {
        let mut users = Vec::with_capacity(found.len());
        for user in &found {
            if let Some(id) = opened(opener, user.subject, "user_id", user.user_id.as_deref())? {
                users.push(shown(opener, id, user)?);
            }
        }
        Ok::<_, Problem>(users)
    });
    Answer::query(&FoundUsers { users: users.await?, missing })
}
