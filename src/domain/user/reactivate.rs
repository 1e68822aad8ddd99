//! Reactivation: a deactivated user may register again.

use chrono::Duration;
use rollcall_schemas::ids::{AppId, OperationId};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user::Reactivated;

use super::{State, Status};
use crate::domain::command::{Command, Decide, Found, Lookup, Person};
use crate::domain::erasure::operation;
use crate::domain::values::UserId;
use crate::domain::{Error, Reads, Refusal, UnitOfWork};

/// Lift the fence of users whose waiting time is over; nothing that was erased comes back.
#[derive(Debug, Clone)]
pub struct Reactivate<P = UserId> {
    /// Whom.
    pub who: Vec<P>,
}

impl Command for Reactivate {
    type Resolved = Reactivate<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn covers_every_subject(&self) -> bool {
        true
    }

    /// An erasure destroys the keys of every epoch.
    fn lookup(&self) -> Lookup {
        Lookup::NextKeys
    }

    fn resolve(&self, found: &Found) -> Result<Reactivate<Person>, Error> {
        Ok(Reactivate { who: found.people(&self.who)? })
    }
}

impl Decide for Reactivate<Person> {
    type Reply = OperationId;

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User]));
    }

    fn fresh_ids(&self) -> usize {
        1
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<OperationId, Error> {
        let operation = operation(work.fresh()?);
        let wait = Duration::seconds(i64::from(work.application()?.settings.reactivation_wait_seconds));
        for person in &self.who {
            person.known()?;
            let (mut is_registered, mut deactivated) = (false, vec![]);
            for subject in person.subjects() {
                let state = work.state::<State>(subject)?;
                match state.status {
                    Status::Unknown | Status::Named | Status::Forgotten => {}
                    Status::Registered => is_registered = true,
                    Status::Restricted => return Err(Refusal::ErasureWaits.into()),
                    Status::Deactivated { at } if work.now() < at + wait => {
                        return Err(Refusal::ReactivationTooEarly { not_before: at + wait }.into());
                    }
                    Status::Deactivated { .. } => deactivated.push((subject, state.epoch + 1)),
                }
            }
            if deactivated.is_empty() && !is_registered {
                return Err(Refusal::NotRegistered.into());
            }
            for (subject, epoch) in deactivated {
                let operation = operation.clone();
                work.record::<State>(subject, [Reactivated { subject, epoch, operation }.into()])?;
            }
        }
        Ok(operation)
    }
}
