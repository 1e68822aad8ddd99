//! Befriending: what lists, permission and the number of friends allow.

use rollcall_schemas::friendship::Event;
use rollcall_schemas::ids::{AppId, Pair, SubjectRef};
use rollcall_schemas::stream::Stream;

use super::{State, befriend, read_pairs};
use crate::domain::command::{Command, Decide, Found, Person};
use crate::domain::values::{RequestText, UserId};
use crate::domain::{
    Befriended, Error, LIST_MAX, RECEIVED_REQUESTS_MAX, Reads, Refusal, SENT_REQUESTS_MAX, UnitOfWork, allowlist,
    blocklist, user,
};

/// Make a user the friend of another: directly, or as the other permits.
#[derive(Debug, Clone)]
pub struct Befriend<P = UserId> {
    /// Who wants a friend.
    pub who: P,
    /// Whom.
    pub target: P,
    /// Without asking.
    pub direct: bool,
    /// The text of the request.
    pub text: Option<RequestText>,
}

impl Command for Befriend {
    type Resolved = Befriend<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who, &self.target]
    }

    fn introduces(&self) -> bool {
        true
    }

    fn resolve(&self, found: &Found) -> Result<Befriend<Person>, Error> {
        let (who, target) = (found.person(&self.who)?, found.person(&self.target)?);
        Ok(Befriend { who, target, direct: self.direct, text: self.text.clone() })
    }
}

impl Decide for Befriend<Person> {
    type Reply = Befriended;

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        for person in [&self.who, &self.target] {
            reads.person(person, &[Stream::User, Stream::Blocklist, Stream::Allowlist]);
            person.subject.into_iter().for_each(|subject| reads.tally(subject));
        }
        if let Some(who) = self.who.subject {
            read_pairs(reads, who, self.target.subject);
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<Befriended, Error> {
        if self.who.user_id == self.target.user_id {
            return Err(Refusal::OwnTarget.into());
        }
        let (from, to) = (work.unfenced(&self.who)?, work.unfenced(&self.target)?);
        let pair = Pair::of(from, to).ok_or(Refusal::OwnTarget)?;
        let permission = if self.direct {
            None
        } else {
            may_meet(work, from, to)?;
            let own = work.state::<user::State>(to)?.permission;
            Some(own.unwrap_or(work.application()?.settings.friend_permission))
        };
        let decided = befriend(work.state(pair)?, (from, to), permission, self.text.as_ref(), work.now())?;
        let are_friends = decided.iter().any(|event| matches!(event, Event::Befriended(_)));
        if are_friends {
            may_have_more_friends(work, from, to)?;
        }
        if decided.iter().any(|event| matches!(event, Event::Requested(_))) {
            may_have_more_requests(work, from, to)?;
        }
        work.record::<State>(pair, decided)?;
        Ok(if are_friends { Befriended::Friends } else { Befriended::Waiting })
    }
}

/// Whether both have less friends than a user can have; `from` is who acts.
pub(super) fn may_have_more_friends(work: &UnitOfWork<'_>, from: SubjectRef, to: SubjectRef) -> Result<(), Error> {
    if work.tally(from)?.friends >= LIST_MAX {
        return Err(Refusal::FriendsFull.into());
    }
    if work.tally(to)?.friends >= LIST_MAX {
        return Err(Refusal::TargetFriendsFull.into());
    }
    Ok(())
}

/// Whether another request of `from` and to `to` may wait for its answer.
fn may_have_more_requests(work: &UnitOfWork<'_>, from: SubjectRef, to: SubjectRef) -> Result<(), Error> {
    if work.tally(from)?.sent >= SENT_REQUESTS_MAX {
        return Err(Refusal::SentRequestsFull.into());
    }
    if work.tally(to)?.received >= RECEIVED_REQUESTS_MAX {
        return Err(Refusal::ReceivedRequestsFull.into());
    }
    Ok(())
}

/// Whether the block and allow lists let `from` approach `to`. An allowlist in force takes the place of its owner's
/// blocklist.
pub(super) fn may_meet(work: &UnitOfWork<'_>, from: SubjectRef, to: SubjectRef) -> Result<(), Error> {
    let allows = |owner, other| {
        let list = work.state::<allowlist::State>(owner)?;
        Ok::<_, Error>((!list.enabled || list.allowed.contains(&other), list.enabled))
    };
    let blocks = |owner, other| Ok::<_, Error>(work.state::<blocklist::State>(owner)?.blocked.contains(&other));
    match allows(to, from)? {
        (false, _) => return Err(Refusal::TargetDoesNotAllow.into()),
        (true, false) if blocks(to, from)? => return Err(Refusal::TargetBlocks.into()),
        (true, _) => {}
    }
    match allows(from, to)? {
        (false, _) => Err(Refusal::DoesNotAllowTarget.into()),
        (true, false) if blocks(from, to)? => Err(Refusal::BlocksTarget.into()),
        (true, _) => Ok(()),
    }
}
