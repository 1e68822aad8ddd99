//! The friendship of two users.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use rollcall_schemas::friendship::{
    Accepted, Befriended, Cancelled, Described, Ended, Event, Expired, Refused, Requested,
};
use rollcall_schemas::ids::{AppId, Pair, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::{EndCause, FriendPermission, RequestState};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::command::{Command, Decide, Found, Lookup, Person};
use super::state::Recorded;
use super::user;
use super::values::{ProfileChanges, Remark, RequestText, UserId};
use super::{Error, Reads, Refusal, UnitOfWork, targets};

mod answer;
mod befriend;
mod tally;

pub use answer::{Answer, AnswerRequest, ExpireRequest};
pub use befriend::Befriend;
pub use tally::Tally;

/// How long a request waits for its answer.
pub const REQUEST_DAYS: i64 = 7;

/// What two users are to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing.
    #[default]
    Strangers,
    /// One asked.
    Requested {
        /// Who asked.
        from: SubjectRef,
        /// When the request lapses.
        expires_at: DateTime<Utc>,
    },
    /// Nothing, after a request that came to nothing: who repeats its end is answered as the first time.
    Declined {
        /// Who had asked.
        from: SubjectRef,
        /// When the request would have lapsed.
        expires_at: DateTime<Utc>,
        /// How it ended.
        end: RequestState,
    },
    /// Friends.
    Friends,
}

/// What two users are to each other at a moment: a request is none any more once its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Strangers,
    /// This one asked.
    Asked(SubjectRef),
    Friends,
}

/// What the two are to each other now.
fn standing(state: &State, now: DateTime<Utc>) -> Standing {
    match state {
        State::Requested { from, expires_at } if *expires_at > now => Standing::Asked(*from),
        State::Strangers | State::Requested { .. } | State::Declined { .. } => Standing::Strangers,
        State::Friends => Standing::Friends,
    }
}

/// Records that the request lapsed, where it did.
#[must_use]
pub fn expire(state: &State, pair: Pair, now: DateTime<Utc>) -> Vec<Event> {
    match *state {
        State::Requested { from, expires_at } if expires_at <= now => {
            vec![Expired { from, to: pair.other(from), expires_at }.into()]
        }
        State::Strangers | State::Requested { .. } | State::Declined { .. } | State::Friends => vec![],
    }
}

/// The request of `from` is accepted: the two are friends.
fn accept(from: SubjectRef, to: SubjectRef) -> Vec<Event> {
    vec![Accepted { by: to, other: from }.into(), Befriended { from, to }.into()]
}

/// `from` wants `to` as a friend; `permission` is what `to` allows, `None` to add directly.
///
/// # Errors
/// They are friends already, or `to` allows nobody.
pub fn befriend(
    state: &State,
    (from, to): (SubjectRef, SubjectRef),
    permission: Option<FriendPermission>,
    text: Option<&RequestText>,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Refusal> {
    let decided = match (standing(state, now), permission) {
        (Standing::Friends, _) => return Err(Refusal::AlreadyFriends),
        // Whoever could become a friend without a request has no use for one.
        (Standing::Asked(asking), None | Some(FriendPermission::Anyone)) => {
            if asking == from {
                accept(from, to)
            } else {
                accept(to, from)
            }
        }
        // Both asked: nobody is left to approve.
        (Standing::Asked(asking), Some(_)) if asking == to => accept(to, from),
        (Standing::Asked(_), Some(FriendPermission::Approval)) => vec![],
        (Standing::Strangers, None | Some(FriendPermission::Anyone)) => vec![Befriended { from, to }.into()],
        (Standing::Strangers, Some(FriendPermission::Approval)) => vec![
            Requested {
                from,
                to,
                text: text.map(|text| Personal::Present(text.as_str().to_owned())),
                expires_at: now + Duration::days(REQUEST_DAYS),
            }
            .into(),
        ],
        (Standing::Strangers | Standing::Asked(_), Some(FriendPermission::Nobody)) => {
            return Err(Refusal::TargetRefusesAll);
        }
    };
    let expired = Pair::of(from, to).map(|pair| expire(state, pair, now)).unwrap_or_default();
    Ok(expired.into_iter().chain(decided).collect())
}

/// Ends the request between a user and one whom it blocks: it refuses the other's request and takes back its own.
#[must_use]
pub fn turn_away(state: &State, by: SubjectRef, other: SubjectRef, now: DateTime<Utc>) -> Vec<Event> {
    match standing(state, now) {
        Standing::Asked(asking) if asking == by => vec![Cancelled { by, other }.into()],
        Standing::Asked(_) => vec![Refused { by, other }.into()],
        Standing::Strangers | Standing::Friends => vec![],
    }
}

/// Ends the friendship, and for a cause other than a plain removal the request too.
#[must_use]
pub fn end(state: &State, by: SubjectRef, other: SubjectRef, cause: EndCause) -> Vec<Event> {
    match (state, cause) {
        (State::Strangers | State::Declined { .. }, _)
        | (State::Requested { .. }, EndCause::Removed | EndCause::Cleared) => vec![],
        (State::Friends, _) | (State::Requested { .. }, EndCause::Deactivated) => {
            vec![Ended { by, other, cause }.into()]
        }
    }
}

/// `owner` describes `about` for itself; an empty remark is taken away.
///
/// # Errors
/// They are not friends.
pub fn describe(
    state: &State,
    (owner, about): (SubjectRef, SubjectRef),
    remark: Option<Option<&Remark>>,
    changes: &ProfileChanges,
) -> Result<Vec<Event>, Refusal> {
    if *state != State::Friends {
        return Err(Refusal::NotFriends);
    }
    if remark.is_none() && changes.is_empty() {
        return Ok(vec![]);
    }
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
    Ok(vec![
        Described {
            owner,
            about,
            remark: remark.flatten().map(|remark| Personal::Present(remark.as_str().to_owned())),
            remark_cleared: remark.is_some_and(|remark| remark.is_none()),
            fields: changes.iter().filter_map(|(k, v)| Some((k.clone(), Personal::Present(text(v)?)))).collect(),
            cleared: changes.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect(),
        }
        .into(),
    ])
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Requested(e) => *state = State::Requested { from: e.from, expires_at: e.expires_at },
        // That they are friends is the next event.
        Event::Accepted(_) => {}
        Event::Refused(_) => decline(state, RequestState::Refused),
        Event::Cancelled(_) => decline(state, RequestState::Cancelled),
        Event::Expired(_) => decline(state, RequestState::Expired),
        Event::Befriended(_) => *state = State::Friends,
        Event::Ended(_) => *state = State::Strangers,
        Event::Described(_) => {}
    }
}

fn decline(state: &mut State, end: RequestState) {
    if let State::Requested { from, expires_at } = *state {
        *state = State::Declined { from, expires_at, end };
    }
}

/// Declares the friendships of one with others.
pub(super) fn read_pairs(reads: &mut Reads, one: SubjectRef, others: impl IntoIterator<Item = SubjectRef>) {
    let pairs = others.into_iter().filter_map(|other| Pair::of(one, other));
    pairs.for_each(|pair| reads.stream(Stream::Friendship(pair)));
}

/// Ends friendships, and for a cause other than a plain removal requests too.
pub(super) fn end_all(
    work: &mut UnitOfWork<'_>,
    by: SubjectRef,
    others: &[SubjectRef],
    cause: EndCause,
) -> Result<(), Error> {
    for (other, pair) in others.iter().filter_map(|other| Some((*other, Pair::of(by, *other)?))) {
        let ended = end(work.state(pair)?, by, other, cause);
        work.record::<State>(pair, ended)?;
    }
    Ok(())
}

/// Ends the requests between a user and those whom it blocks.
pub(super) fn turn_all_away(work: &mut UnitOfWork<'_>, by: SubjectRef, others: &[SubjectRef]) -> Result<(), Error> {
    let others: BTreeSet<_> = others.iter().copied().collect();
    for (other, pair) in others.into_iter().filter_map(|other| Some((other, Pair::of(by, other)?))) {
        let ended = turn_away(work.state(pair)?, by, other, work.now());
        work.record::<State>(pair, ended)?;
    }
    Ok(())
}

/// End friendships of a user; who is no friend stays so.
#[derive(Debug, Clone)]
pub struct Unfriend {
    /// Whose.
    pub who: UserId,
    /// With whom.
    pub targets: Vec<UserId>,
}

impl Command for Unfriend {
    type Resolved = EndFriendships;

    fn user_ids(&self) -> Vec<&UserId> {
        std::iter::once(&self.who).chain(&self.targets).collect()
    }

    fn resolve(&self, found: &Found) -> Result<EndFriendships, Error> {
        let others = targets::known(&found.people(&self.targets)?);
        Ok(EndFriendships { who: found.person(&self.who)?, others, cause: EndCause::Removed })
    }
}

/// End all friendships of a user.
#[derive(Debug, Clone)]
pub struct ClearFriends {
    /// Whose.
    pub who: UserId,
}

impl Command for ClearFriends {
    type Resolved = EndFriendships;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn lookup(&self) -> Lookup {
        Lookup::Relations
    }

    fn resolve(&self, found: &Found) -> Result<EndFriendships, Error> {
        let others = found.relations.clone();
        Ok(EndFriendships { who: found.person(&self.who)?, others, cause: EndCause::Cleared })
    }
}

/// [`Unfriend`] or [`ClearFriends`], with whom is known.
#[derive(Debug)]
pub struct EndFriendships {
    who: Person,
    others: Vec<SubjectRef>,
    cause: EndCause,
}

impl Decide for EndFriendships {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.who, &[Stream::User]);
        if let Some(who) = self.who.subject {
            read_pairs(reads, who, self.others.iter().copied());
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        match self.who.subject {
            Some(who) => end_all(work, who, &self.others, self.cause),
            None => Ok(()),
        }
    }
}

/// Describe a friend for oneself.
#[derive(Debug, Clone)]
pub struct Describe<P = UserId> {
    /// Who describes.
    pub owner: P,
    /// Whom.
    pub about: P,
    /// `Some(None)` takes the remark away.
    #[allow(clippy::option_option)] // Unchanged, taken away, or set.
    pub remark: Option<Option<Remark>>,
    /// Extension fields.
    pub changes: ProfileChanges,
}

impl Command for Describe {
    type Resolved = Describe<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.owner, &self.about]
    }

    fn resolve(&self, found: &Found) -> Result<Describe<Person>, Error> {
        let (owner, about) = (found.person(&self.owner)?, found.person(&self.about)?);
        Ok(Describe { owner, about, remark: self.remark.clone(), changes: self.changes.clone() })
    }
}

impl Decide for Describe<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User]);
        reads.person(&self.about, &[Stream::User]);
        if let Some(owner) = self.owner.subject {
            read_pairs(reads, owner, self.about.subject);
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let declared = &work.application()?.friend_fields;
        if let Some(key) = self.changes.keys().find(|key| !declared.contains(*key)) {
            return Err(Refusal::UndeclaredField(key.0.clone()).into());
        }
        let (Some(owner), Some(about)) = (self.owner.subject, self.about.subject) else {
            return Err(Refusal::NotFriends.into());
        };
        work.state::<user::State>(owner)?.unfenced()?;
        work.state::<user::State>(about)?.unfenced()?;
        let pair = Pair::of(owner, about).ok_or(Refusal::OwnTarget)?;
        let remark = self.remark.as_ref().map(Option::as_ref);
        let described = describe(work.state(pair)?, (owner, about), remark, &self.changes)?;
        Ok(work.record::<State>(pair, described)?)
    }
}
