//! Registration: a user and its access token.

use chrono::Duration;
use rollcall_schemas::ids::{AppId, SubjectRef, TokenId};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::token::Issued;
use rollcall_schemas::user::{Event, Registered, Reregistered};

use super::{State, Status, personal_name, personal_portrait};
use crate::domain::command::{Command, Decide, Found, Person};
use crate::domain::values::{Name, Portrait, UserId};
use crate::domain::{Error, IssuedToken, Reads, Refusal, Registration, UnitOfWork, roster, token};

/// Register a user, or register it again; answers a token.
#[derive(Debug, Clone)]
pub struct Register<P = UserId> {
    /// Whom.
    pub who: P,
    /// What it is called.
    pub name: Name,
    /// Address of its portrait.
    pub portrait: Option<Portrait>,
}

impl Command for Register {
    type Resolved = Register<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn introduces(&self) -> bool {
        true
    }

    fn resolve(&self, found: &Found) -> Result<Register<Person>, Error> {
        let (name, portrait) = (self.name.clone(), self.portrait.clone());
        Ok(Register { who: found.person(&self.who)?, name, portrait })
    }
}

impl Decide for Register<Person> {
    type Reply = Registration;

    /// A token is issued whatever was issued before, but to append at the end of its stream that has to be known.
    fn reads(&self, app: &AppId, reads: &mut Reads) {
        reads.person(&self.who, &[Stream::User, Stream::Token]);
        reads.stream(Stream::Roster(app.clone()));
    }

    fn fresh_ids(&self) -> usize {
        1
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<Registration, Error> {
        let subject = self.who.known()?;
        let state = work.state::<State>(subject)?;
        let is_new = state.status != Status::Registered;
        work.record::<State>(subject, [self.registered(state, subject)?])?;
        if is_new && work.application()?.is_development() {
            let seated = roster::seat(work.state(work.app().clone())?, work.app(), subject)?;
            work.record::<roster::State>(work.app().clone(), seated)?;
        }
        Ok(Registration { token: issue(work, subject, state.epoch)?, is_new })
    }
}

impl Register<Person> {
    fn registered(&self, state: &State, subject: SubjectRef) -> Result<Event, Refusal> {
        let (name, portrait) = (personal_name(&self.name), self.portrait.as_ref().map(personal_portrait));
        match state.status {
            Status::Unknown | Status::Named => {
                let user_id = self.who.user_id.as_str();
                let user_id = (state.status == Status::Unknown).then(|| Personal::Present(user_id.to_owned()));
                Ok(Registered { subject, user_id, name, portrait }.into())
            }
            Status::Registered => Ok(Reregistered { subject, name, portrait }.into()),
            Status::Restricted | Status::Deactivated { .. } => Err(Refusal::Deactivated),
            Status::Forgotten => Err(Refusal::NotRegistered),
        }
    }
}

/// Issues an access token that depends on the app's current secret and the user's epoch.
fn issue(work: &mut UnitOfWork<'_>, subject: SubjectRef, epoch: u32) -> Result<IssuedToken, Error> {
    let (application, issued_at) = (work.application()?, work.now());
    let lifetime = application.settings.token_lifetime_seconds;
    let lifetime = lifetime.and_then(|seconds| Duration::try_seconds(i64::try_from(seconds).ok()?));
    let token = TokenId(work.fresh()?);
    let secret = application.current_secret().ok_or(Refusal::NoSuchApp)?;
    let expires_at = lifetime.and_then(|lifetime| issued_at.checked_add_signed(lifetime));
    work.record::<token::State>(subject, [Issued { subject, token, secret, epoch, issued_at, expires_at }.into()])?;
    Ok(IssuedToken { subject, token, secret, epoch, issued_at, expires_at })
}
