//! Loads the states the decider loop does not have.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;

use super::in_flight::Belief;
use super::snapshots::{self, Loaded};
use super::{Engine, Error};
use crate::eventlog::EventLog;

/// Most streams of one command that are read at once.
const AT_ONCE_MAX: usize = 8;
/// How long it is waited for the commands in flight that change what is to be loaded.
const IN_FLIGHT_FOR: Duration = Duration::from_secs(5);

impl Engine {
    /// Loads the states of streams once no command in flight changes them; answers with the last decision before.
    pub(super) async fn load(&self, streams: &[Stream]) -> Result<(Vec<Loaded>, u64), Error> {
        let beliefs: Vec<_> = streams.iter().cloned().map(Belief::Stream).collect();
        let loaded_at = self.not_in_flight(&beliefs).await?;
        Ok((self::streams(self.log.as_ref(), streams).await?, loaded_at))
    }

    /// Waits until no command in flight changes any of these; answers with the last decision by then.
    pub(super) async fn not_in_flight(&self, beliefs: &[Belief]) -> Result<u64, Error> {
        let settled = tokio::time::timeout(IN_FLIGHT_FOR, self.in_flight.settled(beliefs)).await;
        settled.map_err(|_| Error::Busy)?;
        Ok(self.in_flight.last())
    }
}

/// Those of a command's streams that cannot exist yet, because they are of a subject that was allocated a moment ago.
pub(super) fn new_streams(streams: &[Stream], fresh: &[SubjectRef]) -> impl Iterator<Item = Loaded> {
    let is_new = |stream: &&Stream| fresh.iter().any(|subject| stream.names(*subject));
    streams.iter().filter(is_new).map(|stream| Loaded::empty(stream.clone()))
}

/// Reads the states of streams from the log, several at once.
pub(super) async fn streams(log: &dyn EventLog, streams: &[Stream]) -> Result<Vec<Loaded>, Error> {
    let folds: Vec<_> = streams.iter().map(|stream| snapshots::read(log, stream)).collect();
    stream::iter(folds).buffer_unordered(AT_ONCE_MAX).try_collect().await
}
