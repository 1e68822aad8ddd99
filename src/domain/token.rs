//! The access tokens of one user.

use chrono::{DateTime, Duration, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef, TokenId};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::token::{Event, InvalidatedBefore, Issued};
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::reply::{IssuedToken, Registration};
use super::state::Recorded;
use super::user::{self, Status};
use super::values::UserId;
use super::{Error, Reads, Refusal, UnitOfWork};

/// What is known of a user's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Tokens issued before this are invalid.
    pub invalid_before: Option<DateTime<Utc>>,
}

/// Invalidates the tokens issued before a time; an earlier time than was given before changes nothing.
#[must_use]
pub fn invalidate(state: &State, subject: SubjectRef, before: DateTime<Utc>) -> Vec<Event> {
    if state.invalid_before.is_some_and(|already| already >= before) {
        vec![]
    } else {
        vec![InvalidatedBefore { subject, before }.into()]
    }
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Issued(_) => {}
        Event::InvalidatedBefore(e) => state.invalid_before = Some(e.before),
    }
}

/// Invalidate the tokens that were issued to users before a time.
#[derive(Debug, Clone)]
pub struct Invalidate<P = UserId> {
    /// Whose.
    pub who: Vec<P>,
    /// Before when.
    pub before: DateTime<Utc>,
}

impl Command for Invalidate {
    type Resolved = Invalidate<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn resolve(&self, found: &Found) -> Result<Invalidate<Person>, Error> {
        Ok(Invalidate { who: found.people(&self.who)?, before: self.before })
    }
}

impl Decide for Invalidate<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User, Stream::Token]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        for person in &self.who {
            let subject = person.known()?;
            match work.state::<user::State>(subject)?.status {
                Status::Registered | Status::Restricted | Status::Deactivated { .. } => {}
                Status::Unknown | Status::Named | Status::Forgotten => return Err(Refusal::NotRegistered.into()),
            }
            let invalidated = invalidate(work.state(subject)?, subject, self.before);
            work.record::<State>(subject, invalidated)?;
        }
        Ok(())
    }
}

/// Issues an access token that depends on the app's current secret and the user's epoch. It ends after the app's lifetime of
/// tokens, or after `seconds` where these are fewer.
///
/// # Errors
/// There is no such application.
pub fn issue(
    work: &mut UnitOfWork<'_>,
    subject: SubjectRef,
    epoch: u32,
    seconds: Option<u32>,
) -> Result<IssuedToken, Error> {
    let (application, issued_at) = (work.application()?, work.now());
    let of_app = application.settings.token_lifetime_seconds;
    let lifetime = of_app.into_iter().chain(seconds.map(u64::from)).min();
    let lifetime = lifetime.and_then(|seconds| Duration::try_seconds(i64::try_from(seconds).ok()?));
    let secret = application.current_secret().ok_or(Refusal::NoSuchApp)?;
    let token = TokenId(work.fresh()?);
    let expires_at = lifetime.and_then(|lifetime| issued_at.checked_add_signed(lifetime));
    work.record::<State>(subject, [Issued { subject, token, secret, epoch, issued_at, expires_at }.into()])?;
    Ok(IssuedToken { subject, token, secret, epoch, issued_at, expires_at })
}

/// Issue another access token to a registered user.
#[derive(Debug, Clone)]
pub struct Issue<P = UserId> {
    /// To whom.
    pub who: P,
    /// When it ends by itself, if that is earlier than the app says.
    pub expires_in_seconds: Option<u32>,
}

impl Command for Issue {
    type Resolved = Issue<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn resolve(&self, found: &Found) -> Result<Issue<Person>, Error> {
        Ok(Issue { who: found.person(&self.who)?, expires_in_seconds: self.expires_in_seconds })
    }
}

impl Decide for Issue<Person> {
    type Reply = Registration;

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.who, &[Stream::User, Stream::Token]);
    }

    fn fresh_ids(&self) -> usize {
        1
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<Registration, Error> {
        let subject = self.who.known()?;
        let user = work.state::<user::State>(subject)?;
        match user.status {
            Status::Registered => {}
            Status::Restricted | Status::Deactivated { .. } => return Err(Refusal::Deactivated.into()),
            Status::Unknown | Status::Named | Status::Forgotten => return Err(Refusal::NotRegistered.into()),
        }
        let epoch = user.epoch;
        Ok(Registration { token: issue(work, subject, epoch, self.expires_in_seconds)?, is_new: false })
    }
}
