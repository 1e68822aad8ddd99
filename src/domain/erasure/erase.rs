//! The request of erasures: people are deactivated, or forgotten.

use std::collections::HashSet;

use chrono::Duration;
use rollcall_schemas::erasure::Linked;
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::plain::{LinkedSubject, Scope};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user::HoldPlaced;

use super::{Request, State, begin, operation, request};
use crate::domain::command::{Command, Decide, Found, Person};
use crate::domain::user::Status;
use crate::domain::values::UserId;
use crate::domain::{Error, Reads, UnitOfWork, allowlist, blocklist, friend_groups, remarks, roster, token, user};

/// The streams of a subject that a fence changes.
pub(super) const FENCED: [fn(SubjectRef) -> Stream; 6] =
    [Stream::User, Stream::Blocklist, Stream::Allowlist, Stream::Remarks, Stream::FriendGroups, Stream::Token];

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

    fn covers_every_subject(&self) -> bool {
        true
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
        1 + self.who.iter().flat_map(Person::subjects).count()
    }

    fn forgets(&self) -> Vec<SubjectRef> {
        match self.scope {
            Scope::Forget => self.who.iter().flat_map(Person::subjects).collect(),
            Scope::Deactivate => vec![],
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<OperationId, Error> {
        let operation = operation(work.fresh()?);
        let mut named = HashSet::new();
        for person in &self.who {
            let first = person.known()?;
            let to_erase = self.to_erase(work, person)?;
            if named.insert(first) && !to_erase.is_empty() {
                self.erase_all(work, person, &to_erase, &operation)?;
            }
        }
        Ok(operation)
    }
}

impl Erase<Person> {
    /// The subjects of a person of which there is something to erase.
    ///
    /// # Errors
    /// There is nobody to erase.
    fn to_erase(&self, work: &UnitOfWork<'_>, person: &Person) -> Result<Vec<SubjectRef>, Error> {
        let (mut to_erase, mut only_named, mut is_erased, mut refused) = (vec![], vec![], false, None);
        for subject in person.subjects() {
            let state = work.state::<user::State>(subject)?;
            match user::may_erase(state, self.scope) {
                Ok(true) => to_erase.push(subject),
                Ok(false) => is_erased = true,
                Err(refusal) => {
                    refused = refused.or(Some(refusal));
                    only_named.extend((state.status == Status::Named).then_some(subject));
                }
            }
        }
        if let Some(refusal) = refused.filter(|_| to_erase.is_empty() && !is_erased) {
            return Err(refusal.into());
        }
        // Whoever is somebody by one subject is erased with what the others were only named for.
        to_erase.extend(only_named);
        Ok(to_erase)
    }

    /// Erases subjects of one person, each by an erasure of its own; together they begin or wait.
    fn erase_all(
        &self,
        work: &mut UnitOfWork<'_>,
        person: &Person,
        subjects: &[SubjectRef],
        operation: &OperationId,
    ) -> Result<(), Error> {
        let (mut held, mut erasures) = (false, Vec::with_capacity(subjects.len()));
        for subject in person.subjects() {
            held |= work.state::<user::State>(subject)?.held;
        }
        for subject in subjects {
            erasures.push((*subject, ErasureId(work.fresh()?)));
        }
        for (subject, erasure) in &erasures {
            let linked = |further: SubjectRef| LinkedSubject {
                subject: further,
                erasure: erasures.iter().find(|(of, _)| *of == further).map(|(_, erasure)| *erasure),
            };
            let linked = person.subjects().filter(|further| further != subject).map(linked).collect();
            self.erase(work, (*subject, *erasure, held), linked, operation)?;
        }
        Ok(())
    }

    fn erase(
        &self,
        work: &mut UnitOfWork<'_>,
        (subject, erasure, held): (SubjectRef, ErasureId, bool),
        linked: Vec<LinkedSubject>,
        operation: &OperationId,
    ) -> Result<(), Error> {
        let grace = work.application()?.settings.erasure_grace_seconds;
        let not_before = (grace > 0).then(|| work.now() + Duration::seconds(i64::from(grace)));
        let state = work.state::<user::State>(subject)?;
        let waits = (not_before, held);
        let requested = request(erasure, subject, (self.scope, operation.clone()), &self.request, waits, work.now());
        work.record::<State>(erasure, [requested])?;
        if !linked.is_empty() {
            work.record::<State>(erasure, [Linked { erasure, subject, further: linked }.into()])?;
        }
        if held && !state.held {
            // A hold from before every subject was covered by it keeps the others too, and is released with it.
            work.record::<user::State>(subject, [HoldPlaced { subject, reason: None }.into()])?;
        }
        if not_before.is_some() || held {
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
    let ungrouped = friend_groups::empty(work.state(subject)?, subject);
    work.record::<friend_groups::State>(subject, ungrouped)?;
    if scope == Scope::Forget {
        let vacated = roster::vacate(work.state(work.app().clone())?, work.app(), subject);
        work.record::<roster::State>(work.app().clone(), vacated)?;
    }
    Ok(())
}
