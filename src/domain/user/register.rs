//! Registration: a user and its access token.

use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user::{Event, Registered, Reregistered};

use super::{State, Status, personal_name, personal_portrait};
use crate::domain::command::{Command, Decide, Found, Person};
use crate::domain::values::{Name, Portrait, UserId};
use crate::domain::{Error, Reads, Refusal, Registration, UnitOfWork, roster, token};

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
        if is_new {
            take_seat(work, subject)?;
        }
        Ok(Registration { token: token::issue(work, subject, state.epoch, None, None)?, is_new })
    }
}

/// A new user of a development app takes one of its seats.
pub(super) fn take_seat(work: &mut UnitOfWork<'_>, subject: SubjectRef) -> Result<(), Error> {
    if work.application()?.is_development() {
        let seated = roster::seat(work.state(work.app().clone())?, work.app(), subject)?;
        work.record::<roster::State>(work.app().clone(), seated)?;
    }
    Ok(())
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
