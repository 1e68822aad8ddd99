//! One request of a person about their data: received, perhaps extended once, answered or refused.

use chrono::{DateTime, Months, Utc};
use rollcall_schemas::data_request::{Answered, Event, Extended, Received, Refused};
use rollcall_schemas::ids::{AppId, DataRequestId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::DataRequestKind;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Lookup, Person};
use super::state::Recorded;
use super::user::{self, Status};
use super::values::{Reason, UserId};
use super::{Error, Reads, Refusal, UnitOfWork};

/// Within how many months it has to be answered, and by how many that may be extended (GDPR, Article 12(3)).
const DUE_WITHIN: Months = Months::new(1);
const EXTENDED_BY: Months = Months::new(2);

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// There is none.
    #[default]
    Unknown,
    /// It waits for its answer.
    Open {
        /// By when it has to be answered.
        due_at: DateTime<Utc>,
        /// Whether there was more time already.
        extended: bool,
    },
    /// It was answered or refused.
    Closed,
}

/// What may be done with it.
#[derive(Debug, Clone)]
pub enum Change {
    /// Take two more months, once.
    Extend,
    /// It was done.
    Answer,
    /// It was not done, and why.
    Refuse(Option<Reason>),
}

/// Records a request that was received now, and is due in a month unless the caller says otherwise.
#[must_use]
pub fn receive(
    request: DataRequestId,
    subject: SubjectRef,
    kind: DataRequestKind,
    due_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Event {
    let in_a_month = || now.checked_add_months(DUE_WITHIN).unwrap_or(now);
    Received { request, subject, kind, due_at: due_at.unwrap_or_else(in_a_month) }.into()
}

/// Decides a change.
///
/// # Errors
/// There is no such request, or it is closed or was extended already.
pub fn decide(
    state: State,
    request: DataRequestId,
    subject: SubjectRef,
    change: Change,
) -> Result<Vec<Event>, Refusal> {
    let State::Open { due_at, extended } = state else {
        return Err(if state == State::Closed { Refusal::DataRequestClosed } else { Refusal::NoSuchDataRequest });
    };
    Ok(vec![match change {
        Change::Extend if extended => return Err(Refusal::DataRequestExtended),
        Change::Extend => {
            let due_at = due_at.checked_add_months(EXTENDED_BY).unwrap_or(due_at);
            Extended { request, subject, due_at }.into()
        }
        Change::Answer => Answered { request, subject }.into(),
        Change::Refuse(reason) => {
            let reason = reason.map(|reason| Personal::Present(reason.as_str().to_owned()));
            Refused { request, subject, reason }.into()
        }
    }])
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    *state = match event {
        Event::Received(e) => State::Open { due_at: e.due_at, extended: false },
        Event::Extended(e) => State::Open { due_at: e.due_at, extended: true },
        Event::Answered(_) | Event::Refused(_) => State::Closed,
    };
}

/// Record that a person asked something about their data.
#[derive(Debug, Clone)]
pub struct Receive<P = UserId> {
    /// Who asks.
    pub who: P,
    /// What.
    pub kind: DataRequestKind,
    /// By when it has to be answered; `None`: in a month.
    pub due_at: Option<DateTime<Utc>>,
}

impl Command for Receive {
    type Resolved = Receive<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn resolve(&self, found: &Found) -> Result<Receive<Person>, Error> {
        Ok(Receive { who: found.person(&self.who)?, kind: self.kind, due_at: self.due_at })
    }
}

impl Decide for Receive<Person> {
    type Reply = DataRequestId;

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.who, &[Stream::User]);
    }

    fn fresh_ids(&self) -> usize {
        1
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<DataRequestId, Error> {
        let subject = self.who.known()?;
        if matches!(work.state::<user::State>(subject)?.status, Status::Unknown | Status::Forgotten) {
            return Err(Refusal::NotRegistered.into());
        }
        let request = DataRequestId(work.fresh()?);
        let received = receive(request, subject, self.kind, self.due_at, work.now());
        work.record::<State>(request, [received])?;
        Ok(request)
    }
}

/// Extend, answer or refuse a request.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// Which.
    pub request: DataRequestId,
    /// What to do.
    pub change: Change,
}

impl Command for ChangeRequest {
    type Resolved = ChangeRequestOf;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![]
    }

    fn lookup(&self) -> Lookup {
        Lookup::DataRequest(self.request)
    }

    fn resolve(&self, found: &Found) -> Result<ChangeRequestOf, Error> {
        let subject = found.data_request.ok_or(Refusal::NoSuchDataRequest)?;
        Ok(ChangeRequestOf { request: self.request, subject, change: self.change.clone() })
    }
}

/// [`ChangeRequest`], with whose request it is.
#[derive(Debug)]
pub struct ChangeRequestOf {
    request: DataRequestId,
    subject: SubjectRef,
    change: Change,
}

impl Decide for ChangeRequestOf {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::DataRequest(self.request));
        reads.stream(Stream::User(self.subject));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        // The keys of somebody who was erased are destroyed: no reason can be sealed any more.
        let status = work.state::<user::State>(self.subject)?.status;
        let erased = matches!(status, Status::Deactivated { .. } | Status::Forgotten);
        let change = match &self.change {
            Change::Refuse(_) if erased => Change::Refuse(None),
            Change::Extend | Change::Answer | Change::Refuse(_) => self.change.clone(),
        };
        let decided = decide(*work.state(self.request)?, self.request, self.subject, change)?;
        Ok(work.record::<State>(self.request, decided)?)
    }
}
