//! The access tokens of one user.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef, TokenId};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::token::{Event, InvalidatedBefore, Labelled, Revoked};
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Lookup, Person, TokenTimes};
use super::reply::{IssuedToken, Registration};
use super::state::Recorded;
use super::user::{self, Status};
use super::values::{Label, UserId};
use super::{Error, Reads, Refusal, UnitOfWork};

mod scopes;

pub use scopes::TokenScopes;

/// Most tokens of a user that are revoked one by one at a time. One that has expired by itself, or was issued before a time
/// before which all are invalid, does not count.
pub const REVOKED_MAX: usize = 256;

/// What is known of a user's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Tokens issued before this are invalid.
    pub invalid_before: Option<DateTime<Utc>>,
    /// Tokens that are revoked one by one and would be good otherwise.
    revoked: BTreeMap<TokenId, TokenTimes>,
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
    const VERSION: u32 = 2;

    fn entries(&self) -> usize {
        self.revoked.len()
    }
}

/// What an event, recorded at `at`, makes of the state.
pub fn evolve(state: &mut State, event: &Event, at: DateTime<Utc>) {
    match event {
        Event::Issued(_) | Event::IssuedV2(_) | Event::Labelled(_) => {}
        Event::InvalidatedBefore(e) => {
            state.invalid_before = Some(e.before);
            state.revoked.retain(|_, times| times.issued_at >= e.before);
        }
        Event::Revoked(e) => {
            state.revoked.retain(|_, times| times.last_at(at));
            state.revoked.insert(e.token, TokenTimes { issued_at: e.issued_at, expires_at: e.expires_at });
        }
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

/// Revoke one access token of a user, given when it was issued and ends once that was looked up.
#[derive(Debug, Clone)]
pub struct RevokeOf<P, T> {
    /// Whose.
    pub who: P,
    /// Which.
    pub token: TokenId,
    /// When it was issued and ends.
    pub times: T,
}

/// Revoke one access token of a user.
pub type Revoke = RevokeOf<UserId, ()>;

impl Command for Revoke {
    type Resolved = RevokeOf<Person, TokenTimes>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn lookup(&self) -> Lookup {
        Lookup::Token(self.token)
    }

    fn resolve(&self, found: &Found) -> Result<RevokeOf<Person, TokenTimes>, Error> {
        let who = found.person(&self.who)?;
        who.known()?;
        let times = found.token.ok_or(Refusal::NoSuchToken)?;
        Ok(RevokeOf { who, token: self.token, times })
    }
}

impl Decide for RevokeOf<Person, TokenTimes> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.who, &[Stream::User, Stream::Token]);
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let subject = self.who.known()?;
        registered(work, subject)?;
        let (state, now) = (work.state::<State>(subject)?, work.now());
        let is_invalid = state.invalid_before.is_some_and(|before| self.times.issued_at < before);
        if is_invalid || !self.times.last_at(now) || state.revoked.contains_key(&self.token) {
            return Ok(());
        }
        if state.revoked.values().filter(|times| times.last_at(now)).count() >= REVOKED_MAX {
            return Err(Refusal::RevocationsFull.into());
        }
        let TokenTimes { issued_at, expires_at } = self.times;
        Ok(work.record::<State>(subject, [Revoked { subject, token: self.token, issued_at, expires_at }.into()])?)
    }
}

/// The epoch of a registered user.
fn registered(work: &UnitOfWork<'_>, subject: SubjectRef) -> Result<u32, Error> {
    let user = work.state::<user::State>(subject)?;
    match user.status {
        Status::Registered => Ok(user.epoch),
        Status::Restricted | Status::Deactivated { .. } => Err(Refusal::Deactivated.into()),
        Status::Unknown | Status::Named | Status::Forgotten => Err(Refusal::NotRegistered.into()),
    }
}

/// Issues an access token that depends on the app's current secret and the user's epoch. It ends after the app's lifetime of
/// tokens, or after `seconds` where these are fewer; it may do everything where no scopes are given.
///
/// # Errors
/// There is no such application.
pub fn issue(
    work: &mut UnitOfWork<'_>,
    subject: SubjectRef,
    epoch: u32,
    seconds: Option<u32>,
    scopes: Option<TokenScopes>,
) -> Result<IssuedToken, Error> {
    let (application, issued_at) = (work.application()?, work.now());
    let of_app = application.settings.token_lifetime_seconds;
    let lifetime = of_app.into_iter().chain(seconds.map(u64::from)).min();
    let lifetime = lifetime.and_then(|seconds| Duration::try_seconds(i64::try_from(seconds).ok()?));
    let secret = application.current_secret().ok_or(Refusal::NoSuchApp)?;
    let token = TokenId(work.fresh()?);
    let expires_at = lifetime.and_then(|lifetime| issued_at.checked_add_signed(lifetime));
    let issued = IssuedToken { subject, token, secret, epoch, issued_at, expires_at, scopes };
    work.record::<State>(subject, [issued.event()])?;
    Ok(issued)
}

/// Issue another access token to a registered user.
#[derive(Debug, Clone)]
pub struct Issue<P = UserId> {
    /// To whom.
    pub who: P,
    /// When it ends by itself, if that is earlier than the app says.
    pub expires_in_seconds: Option<u32>,
    /// What it is called, such as the device it is for.
    pub label: Option<Label>,
    /// What it may do; `None`: everything that its user may.
    pub scopes: Option<TokenScopes>,
}

impl Command for Issue {
    type Resolved = Issue<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn resolve(&self, found: &Found) -> Result<Issue<Person>, Error> {
        let Self { expires_in_seconds, label, scopes, .. } = self.clone();
        Ok(Issue { who: found.person(&self.who)?, expires_in_seconds, label, scopes })
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
        let epoch = registered(work, subject)?;
        let issued = issue(work, subject, epoch, self.expires_in_seconds, self.scopes.clone())?;
        let label = self.label.as_ref().map(|label| Personal::Present(label.as_str().to_owned()));
        let labelled = label.map(|label| Labelled { subject, token: issued.token, label }.into());
        work.record::<State>(subject, labelled)?;
        Ok(Registration { token: issued, is_new: false })
    }
}

#[cfg(test)]
mod tests {
    use rollcall_schemas::ids::SubjectRef;
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::seconds(seconds)
    }

    #[test]
    fn a_revoked_token_is_remembered_only_while_it_would_be_good_otherwise() {
        let (subject, mut state) = (SubjectRef(Uuid::from_u128(1)), State::default());
        let revoked = |number, issued_at, expires_at: Option<i64>| {
            let (token, expires_at) = (TokenId(Uuid::from_u128(number)), expires_at.map(at));
            Event::from(Revoked { subject, token, issued_at: at(issued_at), expires_at })
        };
        evolve(&mut state, &revoked(1, 10, Some(100)), at(20));
        evolve(&mut state, &revoked(2, 30, None), at(40));
        assert_eq!(state.revoked.len(), 2);
        evolve(&mut state, &revoked(3, 30, Some(200)), at(100));
        let numbers = |state: &State| state.revoked.keys().map(|token| token.0.as_u128()).collect::<Vec<_>>();
        assert_eq!(numbers(&state), [2, 3], "the first has expired");
        evolve(&mut state, &InvalidatedBefore { subject, before: at(30) }.into(), at(110));
        assert_eq!(numbers(&state), [2, 3], "issued at that moment, not before");
        evolve(&mut state, &InvalidatedBefore { subject, before: at(31) }.into(), at(110));
        assert_eq!(state.entries(), 0);
    }
}
