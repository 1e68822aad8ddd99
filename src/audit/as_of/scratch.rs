//! Read models of the past, in a temporary file.

use rollcall_projections::store::ReadStore;
use rollcall_projections::{PAGE_MAX, Projection, audit_trail};
use rollcall_schemas::ids::SubjectRef;
use serde::Serialize;
use tempfile::TempDir;

use super::error::Error;
use super::past::Past;
use super::when::Moment;
use crate::engine::journal;
use crate::engine::projector::Prepared;
use crate::engine::rebuild;
use crate::eventlog::RawEvent;

/// Most streams named that an answer had to leave out.
const PARKED_MAX: u32 = 100;

/// An answer about a moment of the past.
#[derive(Debug, Clone, Serialize)]
pub struct AsOf<T> {
    /// The moment.
    #[serde(flatten)]
    pub moment: Moment,
    /// The answer.
    #[serde(flatten)]
    pub view: T,
    /// Streams with an event no read model can take, live or here; the answer leaves out what follows in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<Parked>,
}

/// A stream that is left out of an answer from a position on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// Which read model left it out.
    pub model: String,
    /// Which stream.
    pub stream: String,
    /// Position of the first event that is left out.
    pub position: u64,
}

/// Read models as they were at a moment; the directory they stand in is removed when this is dropped.
pub(super) struct Scratch {
    pub(super) store: ReadStore,
    /// The moment that they show once they are filled.
    pub(super) moment: Moment,
    models: &'static [&'static dyn Projection],
    /// The last event about a subject that was applied.
    applied: u64,
    // Dropped last, because it removes the files of the store.
    _dir: TempDir,
}

impl Scratch {
    /// Empty read models, to be filled up to a moment.
    pub(super) fn empty(models: &'static [&'static dyn Projection], moment: Moment) -> Result<Self, Error> {
        let dir = tempfile::Builder::new().prefix("rollcall-as-of-").tempdir()?;
        let store = ReadStore::scratch(&dir.path().join("read.db"), models)?;
        Ok(Self { store, moment, models, applied: 0, _dir: dir })
    }

    /// Whole read models: reads the log up to the moment.
    pub(super) async fn whole(
        past: Past<'_>,
        models: &'static [&'static dyn Projection],
        moment: Moment,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Self, Error> {
        let scratch = Self::empty(models, moment)?;
        rebuild::replay(past.log, &scratch.store, models, moment.position, prepare, progress).await?;
        Ok(scratch)
    }

    /// Applies the next page of the events about a subject; returns them. None: the read models are as they were at the
    /// moment, as far as they concern the subject.
    pub(super) async fn apply_about(&mut self, past: Past<'_>, subject: SubjectRef) -> Result<Vec<RawEvent>, Error> {
        // A replay whose caller has gone is cancelled here.
        tokio::task::yield_now().await;
        let raw = events_about(past, subject, self.applied, self.moment.position, PAGE_MAX).await?;
        let prepared: Vec<_> = raw.iter().map(prepare).collect();
        let arrivals: Vec<_> = prepared.iter().map(Prepared::arrival).collect();
        self.store.apply_chosen(&arrivals, self.models).await?;
        self.applied = raw.last().map_or(self.applied, |last| last.position);
        Ok(raw)
    }

    /// An answer about a moment, with what it had to leave out.
    pub(super) async fn answer<T>(&self, moment: Moment, view: T) -> Result<AsOf<T>, Error> {
        let parked = self.store.parked(PARKED_MAX).await?;
        let named = |key: rollcall_projections::store::ParkedKey| Parked {
            model: key.model,
            stream: key.stream,
            position: key.position,
        };
        Ok(AsOf { moment, view, parked: parked.into_iter().map(named).collect() })
    }
}

/// The events that concern a subject, above a position and up to another, in order.
pub(super) async fn events_about(
    past: Past<'_>,
    subject: SubjectRef,
    after: u64,
    until: u64,
    limit: u32,
) -> Result<Vec<RawEvent>, Error> {
    let mut positions = audit_trail::positions_about(past.live, subject, after, limit).await?;
    positions.retain(|position| *position <= until);
    Ok(past.log.read_at(&positions).await?)
}

/// Decodes an event so that its erased values can be told from those that never were: a detached ciphertext becomes
/// an empty one, which the projections carry to where the value would stand. No key is asked for, so there is no
/// tag either: nobody is looked up by userId in the past.
fn prepare(raw: &RawEvent) -> Prepared {
    match journal::decode(raw) {
        Ok(mut recorded) => {
            let visited = recorded.event.each_personal::<std::convert::Infallible>(&mut |_, _, _, slot| {
                if let Some(sealed) = slot.sealed() {
                    sealed.ciphertext.get_or_insert_default();
                }
                Ok(())
            });
            let Ok(()) = visited;
            Prepared::Event { recorded: Box::new(recorded), tag: None }
        }
        Err(error) => Prepared::poison(raw, &error),
    }
}
