//! Calling an erasure off.

use rollcall_schemas::ids::{AppId, ErasureId};
use rollcall_schemas::stream::Stream;

use super::{State, cancel};
use crate::domain::command::{Command, Decide, ErasureOwner, Found, Lookup};
use crate::domain::values::UserId;
use crate::domain::{Error, Reads, Refusal, UnitOfWork, user};

/// Call an erasure off that has not begun.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// Which.
    pub erasure: ErasureId,
}

impl Command for Cancel {
    type Resolved = CancelOf;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![]
    }

    fn lookup(&self) -> Lookup {
        Lookup::Erasure(self.erasure)
    }

    fn resolve(&self, found: &Found) -> Result<CancelOf, Error> {
        Ok(CancelOf { erasure: self.erasure, owner: found.erasure.ok_or(Refusal::NoSuchErasure)? })
    }
}

/// [`Cancel`], with whose erasure it is.
#[derive(Debug)]
pub struct CancelOf {
    erasure: ErasureId,
    owner: ErasureOwner,
}

impl Decide for CancelOf {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Erasure(self.erasure));
        reads.stream(Stream::User(self.owner.subject));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let (erasure, ErasureOwner { subject, others_wait }) = (self.erasure, self.owner);
        let cancelled = cancel(*work.state::<State>(erasure)?, erasure, subject)?;
        if !cancelled.is_empty() && !others_wait {
            let restored = user::restore(work.state(subject)?, subject, erasure);
            work.record::<user::State>(subject, restored)?;
        }
        Ok(work.record::<State>(erasure, cancelled)?)
    }
}
