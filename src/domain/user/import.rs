//! Import: a user that was registered elsewhere, without an access token.

use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user::Registered;
use serde::{Deserialize, Serialize};

use super::register::take_seat;
use super::{State, Status, check_declared, modify, personal_name, personal_portrait, set_profile};
use crate::domain::command::{Command, Decide, Found, Person};
use crate::domain::values::{Name, Portrait, ProfileChanges, UserId};
use crate::domain::{Error, Reads, Refusal, UnitOfWork};

/// Register a user that is not registered yet, and issue no token.
#[derive(Debug, Clone)]
pub struct Import<P = UserId> {
    /// Whom.
    pub who: P,
    /// What it is called.
    pub name: Name,
    /// Address of its portrait.
    pub portrait: Option<Portrait>,
    /// Fields of the hosted profile.
    pub profile: ProfileChanges,
    /// Whether a user that is registered already is changed to what is given.
    pub updates: bool,
}

/// What an import of a user came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imported {
    /// It was not registered, and is now.
    New,
    /// It was registered, and was changed.
    Updated,
    /// It was registered, and was left as it is.
    Known,
}

impl Command for Import {
    type Resolved = Import<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn introduces(&self) -> bool {
        true
    }

    fn resolve(&self, found: &Found) -> Result<Import<Person>, Error> {
        let Self { name, portrait, profile, updates, .. } = self.clone();
        Ok(Import { who: found.person(&self.who)?, name, portrait, profile, updates })
    }
}

impl Decide for Import<Person> {
    type Reply = Imported;

    fn reads(&self, app: &AppId, reads: &mut Reads) {
        reads.person(&self.who, &[Stream::User]);
        reads.stream(Stream::Roster(app.clone()));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<Imported, Error> {
        check_declared(work, &self.profile)?;
        let subject = self.who.known()?;
        let status = work.state::<State>(subject)?.status;
        let (imported, mut events) = match status {
            Status::Unknown | Status::Named => (Imported::New, vec![self.registered(status, subject).into()]),
            Status::Registered if self.updates => {
                (Imported::Updated, modify(subject, Some(self.name.clone()), self.portrait.clone()))
            }
            Status::Registered => return Ok(Imported::Known),
            Status::Restricted | Status::Deactivated { .. } => return Err(Refusal::Deactivated.into()),
            Status::Forgotten => return Err(Refusal::NotRegistered.into()),
        };
        events.extend(set_profile(subject, self.profile.clone()));
        work.record::<State>(subject, events)?;
        if imported == Imported::New {
            take_seat(work, subject)?;
        }
        Ok(imported)
    }
}

impl Import<Person> {
    fn registered(&self, status: Status, subject: SubjectRef) -> Registered {
        let user_id = self.who.user_id.as_str();
        Registered {
            subject,
            user_id: (status == Status::Unknown).then(|| Personal::Present(user_id.to_owned())),
            name: personal_name(&self.name),
            portrait: self.portrait.as_ref().map(personal_portrait),
        }
    }
}
