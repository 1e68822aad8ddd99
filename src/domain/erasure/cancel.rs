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
        if found.erasures.is_empty() {
            return Err(Refusal::NoSuchErasure.into());
        }
        Ok(CancelOf(found.erasures.clone()))
    }
}

/// [`Cancel`], with whose erasure it is; with those of further subjects of the same userId it is all or nothing.
#[derive(Debug)]
pub struct CancelOf(Vec<ErasureOwner>);

impl Decide for CancelOf {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        for ErasureOwner { erasure, subject, .. } in &self.0 {
            reads.stream(Stream::Erasure(*erasure));
            reads.stream(Stream::User(*subject));
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        for ErasureOwner { erasure, subject, others_wait } in self.0.iter().copied() {
            let cancelled = cancel(*work.state::<State>(erasure)?, erasure, subject)?;
            if !cancelled.is_empty() && !others_wait {
                let restored = user::restore(work.state(subject)?, subject, erasure);
                work.record::<user::State>(subject, restored)?;
            }
            work.record::<State>(erasure, cancelled)?;
        }
        Ok(())
    }
}
