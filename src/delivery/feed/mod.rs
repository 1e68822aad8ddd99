//! The feed of an app: its events in the order of the log, all of them, from the first on.
//!
//! A reader holds a cursor and nothing is held for a reader. The cursor is the position up to which the log was looked at:
//! what a filter leaves out, and what belongs to other apps, moves it on too.

use std::sync::Arc;

use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::AppId;
use serde_json::value::{RawValue, to_raw_value};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::cloud_event::CloudEvent;
use crate::engine::turns::{TurnLimits, Turns};
use crate::engine::{self, Caller, Engine};
use crate::eventlog;
use crate::tasks;

mod arrivals;
mod filter;
mod personal;
mod scan;

use arrivals::Arrivals;
pub use arrivals::Waiter;
pub use filter::Filter;

/// How many pages are read at the same time.
const TURNS: TurnLimits = TurnLimits { at_once_max: 4, of_app_max: 2, waiting_of_app_max: 64 };

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cursor is beyond the last event: it is of another log, or the log was put back to an earlier state.
    #[error("the cursor is beyond the last event of the log")]
    Beyond,
    /// The engine, or a part behind it.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl From<eventlog::Error> for Error {
    fn from(error: eventlog::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl From<engine::journal::ReadError> for Error {
    fn from(error: engine::journal::ReadError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<rollcall_projections::store::Error> for Error {
    fn from(error: rollcall_projections::store::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// What a page is asked for.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Which events.
    pub filter: Filter,
    /// How many at most; from 1.
    pub limit: usize,
    /// Who is told the personal values; `None`: nobody, the events are thin.
    pub discloses_to: Option<Caller>,
}

/// An event of a page.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its place in the log: the cursor behind it.
    pub position: u64,
    /// The event as CloudEvents 1.0 in JSON, without a line break.
    pub json: Box<RawValue>,
}

/// A part of a feed.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events in order.
    pub events: Vec<Told>,
    /// The cursor of the next page.
    pub next: u64,
    /// Whether the log had no further event when it was read.
    pub is_end: bool,
}

/// Reads the feeds of all apps.
pub struct Feed {
    engine: Arc<Engine>,
    /// Where pages are read, on threads that may block.
    runtime: Handle,
    turns: Turns,
    arrivals: Arc<Arrivals>,
}

impl Feed {
    /// The feeds of a service. `runtime` has threads of its own: a page may wait for a disk.
    #[must_use]
    pub fn new(engine: Arc<Engine>, runtime: Handle) -> Self {
        Self { engine, runtime, turns: Turns::new(TURNS), arrivals: Arc::default() }
    }

    /// Follows the log and wakes whoever waits for an event, until it is told to stop.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let (log, arrivals) = (self.engine.log().clone(), self.arrivals.clone());
        drop(self);
        stop.run_until_cancelled(arrivals.follow(log)).await;
    }

    /// Waits for events of an app that are appended from now on. Ask for it before the page that finds nothing.
    ///
    /// # Errors
    /// [`engine::Error::Busy`] where too many wait.
    pub fn waiter(&self, app: &AppId) -> Result<Waiter, engine::Error> {
        Arrivals::waiter(&self.arrivals, app).ok_or(engine::Error::Busy)
    }

    /// The events after a cursor. One page looks at a bounded part of the log, so that it may have fewer events than were
    /// asked for, or none, and still not be the end.
    ///
    /// # Errors
    /// The cursor is beyond the log, too many pages of the app are being read, or a part is unavailable.
    pub async fn page(&self, app: &AppId, after: u64, selection: &Selection) -> Result<Page, Error> {
        if let Some(broken) = self.engine.broken_log() {
            return Err(engine::Error::from(broken).into());
        }
        let turn = self.turns.take(app).await.ok_or(engine::Error::Busy)?;
        let (engine, app, selection, runtime) =
            (self.engine.clone(), app.clone(), selection.clone(), self.runtime.clone());
        let read = tasks::spawn_blocking_on(&self.runtime, move || {
            let _turn = turn;
            tasks::block_on(&runtime, read(&engine, &app, after, &selection))
        });
        read.await.map_err(|_| engine::Error::Unavailable("a page of the feed could not be read".into()))?
    }
}

async fn read(engine: &Engine, app: &AppId, after: u64, selection: &Selection) -> Result<Page, Error> {
    let found = scan::after(engine, app, after, selection).await?;
    let events = match &selection.discloses_to {
        Some(caller) => personal::disclose(engine, caller, found.events).await?,
        None => thin(found.events)?,
    };
    let told = |event: CloudEvent| {
        let json = to_raw_value(&event).map_err(unwritable)?;
        Ok::<_, engine::Error>(Told { position: event.position, json })
    };
    let events = events.into_iter().map(told).collect::<Result<_, _>>()?;
    Ok(Page { events, next: found.next, is_end: found.is_end })
}

fn thin(recorded: Vec<Recorded<Event>>) -> Result<Vec<CloudEvent>, engine::Error> {
    recorded.into_iter().map(|recorded| CloudEvent::thin(recorded).map_err(unwritable)).collect()
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
fn unwritable(error: serde_json::Error) -> engine::Error {
    engine::Error::Unavailable(format!("an event has no JSON form: {error}"))
}
