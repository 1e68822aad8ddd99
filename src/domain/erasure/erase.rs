//! The request of erasures: people are deactivated, or forgotten.

use std::collections::HashSet;

use chrono::Duration;
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::plain::Scope;
use rollcall_schemas::stream::Stream;

use super::{Request, State, begin, operation, request};
use crate::domain::command::{Command, Decide, Found, Person};
use crate::domain::values::UserId;
use crate::domain::{Error, Reads, UnitOfWork, allowlist, blocklist, remarks, roster, targets, token, user};

/// The streams of a subject that a fence changes.
pub(super) const FENCED: [fn(SubjectRef) -> Stream; 5] =
    [Stream::User, Stream::Blocklist, Stream::Allowlist, Stream::Remarks, Stream::Token];

/// Deactivate users: fence them and erase their data; or forget them: their userIds are unlinked too. It begins at once
/// unless a grace period or a legal hold keeps it waiting.
#[derive(Debug, Clone)]
pub struct Erase<P = UserId> {
    /// Whom.
    pub who: Vec<P>,
    /// Whether the userIds are kept or forgotten.
    pub scope: Scope,
    /// Why and how it is requested.
    pub request: Request,
}

impl Command for Erase {
    type Resolved = Erase<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn erasures(&self) -> usize {
        self.who.len()
    }

    fn resolve(&self, found: &Found) -> Result<Erase<Person>, Error> {
        Ok(Erase { who: found.people(&self.who)?, scope: self.scope, request: self.request.clone() })
    }
}

impl Decide for Erase<Person> {
    type Reply = OperationId;

    fn reads(&self, app: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &FENCED));
        reads.stream(Stream::Roster(app.clone()));
    }

    /// One names the operation, the others the erasures.
    fn fresh_ids(&self) -> usize {
        1 + self.who.len()
    }

    fn forgets(&self) -> Vec<SubjectRef> {
        match self.scope {
            Scope::Forget => targets::known(&self.who),
            Scope::Deactivate => vec![],
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<OperationId, Error> {
        let operation = operation(work.fresh()?);
        let mut named = HashSet::new();
        for person in &self.who {
            let subject = person.known()?;
            if user::may_erase(work.state(subject)?, self.scope)? && named.insert(subject) {
                self.erase(work, subject, &operation)?;
            }
        }
        Ok(operation)
    }
}

impl Erase<Person> {
    fn erase(&self, work: &mut UnitOfWork<'_>, subject: SubjectRef, operation: &OperationId) -> Result<(), Error> {
        let grace = work.application()?.settings.erasure_grace_seconds;
        let not_before = (grace > 0).then(|| work.now() + Duration::seconds(i64::from(grace)));
        let state = work.state::<user::State>(subject)?;
        let erasure = ErasureId(work.fresh()?);
        let waits = (not_before, state.held);
        let requested = request(erasure, subject, (self.scope, operation.clone()), &self.request, waits, work.now());
        work.record::<State>(erasure, [requested])?;
        if not_before.is_some() || state.held {
            work.record::<user::State>(subject, user::restrict(state, subject, erasure, operation))?;
            end_tokens(work, subject)
        } else {
            work.record::<user::State>(subject, user::fence(state, subject, self.scope, erasure, operation))?;
            work.record::<State>(erasure, [begin(erasure, subject)])?;
            empty_own_streams(work, subject, self.scope)
        }
    }
}

fn end_tokens(work: &mut UnitOfWork<'_>, subject: SubjectRef) -> Result<(), Error> {
    let invalidated = token::invalidate(work.state(subject)?, subject, work.now());
    Ok(work.record::<token::State>(subject, invalidated)?)
}

/// Ends the tokens of a subject and what it keeps about others.
pub(super) fn empty_own_streams(work: &mut UnitOfWork<'_>, subject: SubjectRef, scope: Scope) -> Result<(), Error> {
    end_tokens(work, subject)?;
    let unblocked = blocklist::empty(work.state(subject)?, subject);
    work.record::<blocklist::State>(subject, unblocked)?;
    let disallowed = allowlist::empty(work.state(subject)?, subject);
    work.record::<allowlist::State>(subject, disallowed)?;
    let unremarked = remarks::empty(work.state(subject)?, subject);
    work.record::<remarks::State>(subject, unremarked)?;
    if scope == Scope::Forget {
        let vacated = roster::vacate(work.state(work.app().clone())?, work.app(), subject);
        work.record::<roster::State>(work.app().clone(), vacated)?;
    }
    Ok(())
}
