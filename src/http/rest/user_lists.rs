//! The users of an app, all of them or those that fit.

use rollcall_projections::{Order, Seek, deactivated_users, user_directory};
use serde::Serialize;
use utoipa::ToSchema;

use super::Call;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::tokens::instant;
use super::users::{User, opened, shown};
use crate::audit::as_of::{When, resolve};
use crate::domain::values::{self, Invalid};
use crate::engine::search::Wanted;

/// Longest text that is looked for in a name, in characters: as long as a name may be.
const NAME_MAX: usize = 64;

/// One page of users.
#[derive(Serialize, ToSchema)]
#[schema(as = UserPage)]
pub(super) struct Page {
    users: Vec<User>,
    #[serde(flatten)]
    links: PageLinks,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    Deactivated,
}

/// What of a user is asked for.
struct Filters {
    wanted: Wanted,
    state: State,
}

impl Filters {
    fn read(call: &Call<'_>) -> Result<Self, Problem> {
        let state = match call.value("state").as_deref() {
            None | Some("active") => State::Active,
            Some("deactivated") => State::Deactivated,
            Some(_) => {
                let words = Invalid::malformed("state", "active or deactivated");
                return Err(Problem::Invalid("?state", words));
            }
        };
        let wanted = Wanted { prefix: call.value("prefix"), name: call.value("name") };
        if let Some(prefix) = &wanted.prefix {
            // What no userId begins with is a mistake of the caller.
            values::UserId::parse("prefix", prefix).map_err(|invalid| Problem::Invalid("?prefix", invalid))?;
        }
        match wanted.name.as_ref().map(|name| name.chars().count()) {
            Some(0) => return Err(Problem::Invalid("?name", Invalid::missing("name"))),
            Some(length) if length > NAME_MAX => {
                let long = values::Problem::TooLong { max: NAME_MAX, unit: "characters" };
                return Err(Problem::Invalid("?name", Invalid::new("name", long)));
            }
            _ => {}
        }
        let filters = Self { wanted, state };
        if state == State::Deactivated && filters.searches() {
            let nameless = Invalid::malformed("state", "active where a prefix or a name is given");
            return Err(Problem::Invalid("?state", nameless));
        }
        Ok(filters)
    }

    fn searches(&self) -> bool {
        self.wanted.prefix.is_some() || self.wanted.name.is_some()
    }
}

/// Users that were read for a page.
struct Found {
    rows: Vec<user_directory::User>,
    links: PageLinks,
}

/// `GET /users?prefix=&name=&state=&registered_after=&cursor=&limit=`: the users that fit, the earliest registration first; the
/// deactivated ones, the latest deactivation first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    let filters = Filters::read(call)?;
    call.engine.caught_up(&call.app.id).await?;
    let found = match filters.state {
        State::Deactivated => deactivated(call, &asked).await?,
        State::Active => {
            let since = since(call, &asked).await?;
            if filters.searches() {
                searched(call, filters, since, &asked).await?
            } else {
                all(call, since, &asked).await?
            }
        }
    };
    let subjects: Vec<_> = found.rows.iter().map(|user| user.subject).collect();
    let users = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut users = Vec::with_capacity(found.rows.len());
        for user in &found.rows {
            // Who was forgotten meanwhile has no userId any more.
            if let Some(id) = opened(opener, user.subject, "user_id", user.user_id.as_deref())? {
                users.push(shown(opener, id, user)?);
            }
        }
        Ok::<_, Problem>(users)
    });
    Answer::query(&Page { users: users.await?, links: found.links })
}

/// Behind which position users were registered that are asked for. The cursor of a next page is behind the time already that was
/// given with it.
async fn since(call: &Call<'_>, asked: &PageQuery) -> Result<Option<u64>, Problem> {
    let Some(given) = call.value("registered_after") else { return Ok(None) };
    let at = instant("?registered_after", "registered_after", &given)?;
    if matches!(asked.seek, Seek::After(Some(_))) {
        return Ok(None);
    }
    let moment = resolve(call.engine.log().as_ref(), When::Time(at)).await;
    Ok(Some(moment.map_err(|error| Problem::unavailable(&error))?.position))
}

/// Where a page begins that has only users behind a position.
fn begin(asked: &PageQuery, since: Option<u64>) -> Seek<u64> {
    match asked.seek {
        Seek::After(None) => Seek::After(since),
        seek => seek,
    }
}

async fn all(call: &Call<'_>, since: Option<u64>, asked: &PageQuery) -> Result<Found, Problem> {
    let (read, app) = (call.engine.read(), &call.app.id);
    // One more than asked for tells whether there is another page.
    let seek = begin(asked, since);
    let mut rows = user_directory::listed(read, app, seek, asked.limit + 1, Order::OldestFirst).await?;
    rows.retain(|user| user.registered_position > since);
    let links = asked.cut(&mut rows, |user| user.registered_position);
    Ok(Found { rows, links })
}

async fn searched(call: &Call<'_>, filters: Filters, since: Option<u64>, asked: &PageQuery) -> Result<Found, Problem> {
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut found = call.engine.search(&call.app.id, filters.wanted, begin(asked, since), limit).await?;
    found.retain(|(position, _)| Some(*position) > since);
    let links = asked.cut(&mut found, |(position, _)| Some(*position));
    let subjects: Vec<_> = found.into_iter().map(|(_, subject)| subject).collect();
    let rows = user_directory::by_subjects(call.engine.read(), &call.app.id, &subjects).await?;
    Ok(Found { rows: rows.into_iter().flatten().filter(user_directory::User::is_active).collect(), links })
}

async fn deactivated(call: &Call<'_>, asked: &PageQuery) -> Result<Found, Problem> {
    let (read, app) = (call.engine.read(), &call.app.id);
    let mut deactivated = deactivated_users::listed(read, app, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut deactivated, |(_, position)| Some(*position));
    let subjects: Vec<_> = deactivated.iter().map(|(user, _)| user.subject).collect();
    let rows = user_directory::by_subjects(read, app, &subjects).await?;
    Ok(Found { rows: rows.into_iter().flatten().collect(), links })
}
