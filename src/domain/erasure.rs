//! One erasure: its steps in order, each recorded once.

use chrono::{DateTime, Duration, Utc};
use rollcall_schemas::erasure::{Begun, Cancelled, Event, Requested};
use rollcall_schemas::ids::{ErasureId, OperationId, SubjectRef};
use rollcall_schemas::personal::{Class, DestroyedKey};
use rollcall_schemas::plain::{Finality, LegalBasis, OwnText, ReportStatus, Requester, Scope, StoreCount};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Refusal;
use super::state::Recorded;

mod advance;
mod cancel;
mod erase;

pub use advance::Advance;
pub use cancel::{Cancel, CancelOf};
pub use erase::Erase;

/// Within what time an erasure has to be done unless the request says otherwise (GDPR, Article 12(3): a month).
const DUE_WITHIN: Duration = Duration::days(30);

/// Why and how an erasure is requested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// On what ground.
    pub basis: LegalBasis,
    /// In whose name.
    pub requester: Requester,
    /// SHA-256 of a salt that only the requester is given, and the userId.
    pub commitment: Option<String>,
    /// By when it has to be done; a month from now where it is not said.
    pub due_at: Option<DateTime<Utc>>,
}

/// How far an erasure has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progress {
    /// There is none.
    #[default]
    Unknown,
    /// The subject is fenced; it can be called off.
    Requested,
    /// It was called off.
    Cancelled,
    /// It cannot be called off any more.
    Begun,
    /// Friendships and requests have ended.
    RelationsEnded,
    /// The keys are destroyed.
    Scrubbed,
    /// No read model holds anything of it.
    ReadModelsScrubbed,
    /// It was tried to read what is erased.
    Verified,
    /// The report is issued.
    Reported,
    /// Done.
    Finalised,
}

/// What is known of an erasure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far it has come.
    pub progress: Progress,
    /// How many reports were issued.
    pub reports: u32,
    /// Whether the app was told.
    pub notified: bool,
}

/// A step of an erasure.
#[derive(Debug, Clone)]
pub enum Step {
    /// Begin, unless a legal hold forbids it.
    Begin(Scope, OperationId),
    /// Some friendships and requests end; there are more.
    EndSomeRelations,
    /// The last friendships and requests end; so many did in all.
    EndRelations(u32),
    /// The keys are destroyed.
    Scrub {
        /// Classes whose keys are destroyed.
        classes: Vec<Class>,
        /// The keys.
        keys: Vec<DestroyedKey>,
        /// What the root key lives in.
        root_cell: String,
        /// Generations of the root before and after.
        generations: (u64, u64),
        /// How many events had ciphertexts detached.
        events_detached: u32,
        /// How many ciphertexts.
        values_detached: u32,
    },
    /// What each read model still holds.
    ScrubReadModels(Vec<StoreCount>),
    /// It was tried to read what is erased.
    Verify {
        /// How many values were tried.
        tried: u32,
        /// Whether a value that is not erased opened.
        control_opened: bool,
    },
    /// Issue a report.
    Report {
        /// What it says.
        status: ReportStatus,
        /// SHA-256 of the envelope.
        sha256: String,
        /// The envelope.
        envelope: String,
    },
    /// All is done.
    Finalise(Finality),
    /// A recipient was told and acknowledged it; a report that says so takes the place of the one before.
    Notify {
        /// Who was told.
        recipient: String,
        /// Number of the report: where another one was issued meanwhile, nothing is recorded.
        number: u32,
        /// What the report says.
        status: ReportStatus,
        /// SHA-256 of the envelope.
        sha256: String,
        /// The envelope.
        envelope: String,
    },
}

/// Begins an erasure. `waits` is why it does not begin at once: the end of its grace period, and a legal hold.
#[must_use]
pub fn request(
    erasure: ErasureId,
    subject: SubjectRef,
    (scope, operation): (Scope, OperationId),
    request: &Request,
    waits: (Option<DateTime<Utc>>, bool),
    now: DateTime<Utc>,
) -> Event {
    let Request { basis, requester, commitment, due_at } = request.clone();
    let due_at = due_at.unwrap_or(now + DUE_WITHIN);
    let (not_before, held) = waits;
    let commitment = commitment.map(OwnText);
    Requested { erasure, subject, scope, operation, basis, requester, commitment, not_before, due_at, held }.into()
}

/// Records that the erasure cannot be called off any more.
#[must_use]
pub fn begin(erasure: ErasureId, subject: SubjectRef) -> Event {
    Begun { erasure, subject }.into()
}

/// Calls an erasure off.
///
/// # Errors
/// There is none, or it has begun.
pub fn cancel(state: State, erasure: ErasureId, subject: SubjectRef) -> Result<Vec<Event>, Refusal> {
    match state.progress {
        Progress::Unknown => Err(Refusal::NoSuchErasure),
        Progress::Requested => Ok(vec![Cancelled { erasure, subject }.into()]),
        Progress::Cancelled => Ok(vec![]),
        Progress::Begun
        | Progress::RelationsEnded
        | Progress::Scrubbed
        | Progress::ReadModelsScrubbed
        | Progress::Verified
        | Progress::Reported
        | Progress::Finalised => Err(Refusal::ErasureBegun),
    }
}

/// A name for an operation, as the platform writes it: `C70B-B1D6-82E8-5A10`.
#[must_use]
pub fn operation(fresh: Uuid) -> OperationId {
    let digits = format!("{:016X}", fresh.as_u128() >> 64);
    let (a, b, c, d) = (&digits[0..4], &digits[4..8], &digits[8..12], &digits[12..16]);
    OperationId(format!("{a}-{b}-{c}-{d}"))
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    let progress = match event {
        Event::Requested(_) => Progress::Requested,
        Event::Cancelled(_) => Progress::Cancelled,
        Event::Begun(_) => Progress::Begun,
        Event::RelationsEnded(_) => Progress::RelationsEnded,
        Event::Scrubbed(_) => Progress::Scrubbed,
        Event::ReadModelsScrubbed(_) => Progress::ReadModelsScrubbed,
        Event::Verified(_) => Progress::Verified,
        Event::ReportIssued(e) => {
            state.reports = e.number;
            Progress::Reported
        }
        Event::Finalised(_) => Progress::Finalised,
        Event::Notified(_) => {
            state.notified = true;
            state.progress
        }
        Event::Linked(_) => state.progress,
    };
    // A later report of a finished erasure does not take it back.
    if state.progress != Progress::Finalised {
        state.progress = progress;
    }
}
