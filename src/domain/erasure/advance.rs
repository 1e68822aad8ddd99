//! The steps of an erasure, taken by the service itself.

use rollcall_schemas::erasure::{
    Event, Finalised, Notified, ReadModelsScrubbed, RelationsEnded, ReportIssued, Scrubbed, Verified,
};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::plain::{EndCause, OwnText, Scope};
use rollcall_schemas::stream::Stream;

use super::erase::{FENCED, empty_own_streams};
use super::{Progress, Request, State, Step, begin, request};
use crate::domain::user::{self, Status};
use crate::domain::{Decide, Error, Reads, UnitOfWork, friendship};

/// Take a step of an erasure. A step that was taken, or for which it is too early, changes nothing.
#[derive(Debug, Clone)]
pub struct Advance {
    /// Which erasure.
    pub erasure: ErasureId,
    /// Whose data.
    pub subject: SubjectRef,
    /// The step.
    pub step: Step,
    /// Whose friendships and requests with the subject end with it.
    pub friends: Vec<SubjectRef>,
}

impl Decide for Advance {
    type Reply = ();

    fn reads(&self, app: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Erasure(self.erasure));
        friendship::read_pairs(reads, self.subject, self.friends.iter().copied());
        if matches!(self.step, Step::Begin(..)) {
            FENCED.iter().for_each(|kind| reads.stream(kind(self.subject)));
            reads.stream(Stream::Roster(app.clone()));
        }
    }

    fn forgets(&self) -> Vec<SubjectRef> {
        if matches!(self.step, Step::Begin(Scope::Forget, _)) { vec![self.subject] } else { vec![] }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        if let Step::Begin(scope, operation) = &self.step {
            return self.begin(work, *scope, operation);
        }
        let state = *work.state::<State>(self.erasure)?;
        if state.progress == Progress::Begun {
            friendship::end_all(work, self.subject, &self.friends, EndCause::Deactivated)?;
        }
        let taken = advance(state, self.erasure, self.subject, self.step.clone());
        Ok(work.record::<State>(self.erasure, taken)?)
    }
}

impl Advance {
    fn begin(&self, work: &mut UnitOfWork<'_>, scope: Scope, operation: &OperationId) -> Result<(), Error> {
        let state = *work.state::<State>(self.erasure)?;
        let person = work.state::<user::State>(self.subject)?;
        // A log that was put back to an earlier state does not know of a request whose keys are destroyed.
        let is_lost = state.progress == Progress::Unknown && person.status != Status::Unknown;
        if is_lost {
            let of_request = (scope, operation.clone());
            let asked = Request::default();
            let requested = request(self.erasure, self.subject, of_request, &asked, (None, false), work.now());
            work.record::<State>(self.erasure, [requested])?;
        }
        // A hold that was placed a moment ago wins.
        if is_lost || state.progress == Progress::Requested && !person.held {
            let fenced = user::fence(person, self.subject, scope, self.erasure, operation);
            work.record::<user::State>(self.subject, fenced)?;
            work.record::<State>(self.erasure, [begin(self.erasure, self.subject)])?;
            empty_own_streams(work, self.subject, scope)?;
        }
        Ok(())
    }
}

/// After which progress a step is taken.
fn is_next(state: State, step: &Step) -> bool {
    match step {
        Step::Begin(..) | Step::EndSomeRelations => false,
        Step::EndRelations(_) => state.progress == Progress::Begun,
        Step::Scrub { .. } => state.progress == Progress::RelationsEnded,
        Step::ScrubReadModels(_) => state.progress == Progress::Scrubbed,
        Step::Verify { .. } => state.progress == Progress::ReadModelsScrubbed,
        Step::Report { .. } => matches!(state.progress, Progress::Verified | Progress::Finalised),
        Step::Finalise(_) => state.progress == Progress::Reported,
        Step::Notify { number, .. } => state.progress == Progress::Finalised && *number == state.reports + 1,
    }
}

/// Records a step where it is the next one.
fn advance(state: State, erasure: ErasureId, subject: SubjectRef, step: Step) -> Vec<Event> {
    if !is_next(state, &step) {
        return vec![];
    }
    let report = |status, sha256, envelope| {
        let (number, sha256, envelope) = (state.reports + 1, OwnText(sha256), OwnText(envelope));
        ReportIssued { erasure, subject, number, status, sha256, envelope }.into()
    };
    match step {
        // These change other streams only.
        Step::Begin(..) | Step::EndSomeRelations => vec![],
        Step::EndRelations(friendships) => vec![RelationsEnded { erasure, subject, friendships }.into()],
        Step::Scrub { classes, keys, root_cell, generations, events_detached, values_detached } => {
            let (generation_before, generation_after) = generations;
            let root_cell = OwnText(root_cell);
            vec![
                Scrubbed {
                    erasure,
                    subject,
                    classes,
                    keys,
                    root_cell,
                    generation_before,
                    generation_after,
                    events_detached,
                    values_detached,
                }
                .into(),
            ]
        }
        Step::ScrubReadModels(stores) => vec![ReadModelsScrubbed { erasure, subject, stores }.into()],
        Step::Verify { tried, control_opened } => {
            vec![Verified { erasure, subject, tried, opened: 0, control_opened }.into()]
        }
        Step::Report { status, sha256, envelope } => vec![report(status, sha256, envelope)],
        Step::Finalise(finality) => vec![Finalised { erasure, subject, finality }.into()],
        // A report that says so takes the place of the one before.
        Step::Notify { recipient, number: _, status, sha256, envelope } => {
            let recipient = OwnText(recipient);
            vec![Notified { erasure, subject, recipient }.into(), report(status, sha256, envelope)]
        }
    }
}
