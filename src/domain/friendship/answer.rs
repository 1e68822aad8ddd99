//! The end of a request: whoever was asked accepts or refuses it, who asked takes it back, or its time is over.

use rollcall_schemas::friendship::{Cancelled, Event, Refused};
use rollcall_schemas::ids::{AppId, FriendRequestId, Pair, SubjectRef};
use rollcall_schemas::plain::RequestState;
use rollcall_schemas::stream::Stream;

use super::befriend::{may_have_more_friends, may_meet};
use super::{Standing, State, accept, expire, standing};
use crate::domain::command::{Command, Decide, Found, FriendRequest, Lookup, Person};
use crate::domain::values::UserId;
use crate::domain::{Error, Reads, Refusal, UnitOfWork, user};

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Who was asked becomes a friend.
    Accept,
    /// Who was asked does not.
    Refuse,
    /// Who asked takes it back.
    Cancel,
}

impl Answer {
    /// What the request is afterwards.
    fn end(self) -> RequestState {
        match self {
            Self::Accept => RequestState::Accepted,
            Self::Refuse => RequestState::Refused,
            Self::Cancel => RequestState::Cancelled,
        }
    }
}

/// Accept, refuse or cancel a friend request. Repeating it changes nothing.
#[derive(Debug, Clone)]
pub struct AnswerRequest {
    /// Who answers.
    pub who: UserId,
    /// Which request.
    pub request: FriendRequestId,
    /// How.
    pub answer: Answer,
}

impl Command for AnswerRequest {
    type Resolved = AnswerRequestOf;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn lookup(&self) -> Lookup {
        Lookup::FriendRequest(self.request)
    }

    fn resolve(&self, found: &Found) -> Result<AnswerRequestOf, Error> {
        let request = found.friend_request.ok_or(Refusal::NoSuchFriendRequest)?;
        Ok(AnswerRequestOf { who: found.person(&self.who)?, request, answer: self.answer })
    }
}

/// [`AnswerRequest`], with between whom the request is.
#[derive(Debug)]
pub struct AnswerRequestOf {
    who: Person,
    request: FriendRequest,
    answer: Answer,
}

impl Decide for AnswerRequestOf {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        let FriendRequest { from, to, .. } = self.request;
        for subject in [from, to] {
            for kind in [Stream::User, Stream::Blocklist, Stream::Allowlist] {
                reads.stream(kind(subject));
            }
            reads.tally(subject);
        }
        super::read_pairs(reads, from, [to]);
        reads.person(&self.who, &[Stream::User]);
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let FriendRequest { from, to, .. } = self.request;
        let who = self.who.subject.filter(|who| [from, to].contains(who)).ok_or(Refusal::NoSuchFriendRequest)?;
        let decides = if self.answer == Answer::Cancel { from } else { to };
        work.state::<user::State>(who)?.unfenced()?;
        let other = if who == from { to } else { from };
        // The request of somebody who is deactivated is about to end.
        work.state::<user::State>(other)?.unfenced().map_err(|_| Refusal::FriendRequestEnded)?;
        if who != decides {
            return Err(Refusal::OtherSideOfRequest.into());
        }
        let pair = Pair::of(from, to).ok_or(Refusal::OwnTarget)?;
        if !self.is_pending(work.state(pair)?, work)? {
            return Ok(());
        }
        let decided: Vec<Event> = match self.answer {
            Answer::Accept => {
                may_meet(work, to, from)?;
                may_have_more_friends(work, to, from)?;
                accept(from, to)
            }
            Answer::Refuse => vec![Refused { by: to, other: from }.into()],
            Answer::Cancel => vec![Cancelled { by: from, other: to }.into()],
        };
        Ok(work.record::<State>(pair, decided)?)
    }
}

impl AnswerRequestOf {
    /// Whether the request waits for its answer; `false`: it had this one before.
    ///
    /// # Errors
    /// It ended otherwise.
    fn is_pending(&self, state: &State, work: &UnitOfWork<'_>) -> Result<bool, Refusal> {
        let FriendRequest { from, expires_at, state: seen, .. } = self.request;
        match (state, standing(state, work.now())) {
            (State::Requested { expires_at: of, .. }, Standing::Asked(asking))
                if (asking, *of) == (from, expires_at) =>
            {
                return Ok(true);
            }
            // It was repeated before the read models had the first answer.
            (State::Declined { from: asking, expires_at: of, end }, _)
                if (*asking, *of, *end) == (from, expires_at, self.answer.end()) =>
            {
                return Ok(false);
            }
            (State::Friends, _) if self.answer == Answer::Accept && seen == RequestState::Pending => return Ok(false),
            (State::Strangers | State::Requested { .. } | State::Declined { .. } | State::Friends, _) => {}
        }
        if seen == self.answer.end() { Ok(false) } else { Err(Refusal::FriendRequestEnded) }
    }
}

/// Record that a request lapsed, where it did.
#[derive(Debug, Clone)]
pub struct ExpireRequest {
    /// Who asked.
    pub from: SubjectRef,
    /// Who was asked.
    pub to: SubjectRef,
}

impl Decide for ExpireRequest {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        super::read_pairs(reads, self.from, [self.to]);
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let Some(pair) = Pair::of(self.from, self.to) else { return Ok(()) };
        let expired = expire(work.state(pair)?, pair, work.now());
        Ok(work.record::<State>(pair, expired)?)
    }
}
