//! Waiting until the read models hold what was recorded, so that a caller reads what it wrote.

use std::time::Duration;

use rollcall_projections::friend_graph;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;

use super::in_flight::Belief;
use super::{BEHIND_AFTER, Caller, Engine, Error};
use crate::domain::friendship::Tally;

/// How long a command waits for read models that are too far behind.
const LAGGING_FOR: Duration = Duration::from_millis(500);

impl Engine {
    /// Waits until the read models hold everything that was recorded before this call, by whichever node.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long, or the log is unavailable.
    pub async fn all_applied(&self) -> Result<(), Error> {
        self.check_log()?;
        self.applied_up_to(self.nodes.latest(&self.log).await?).await
    }

    /// Waits until the read models hold the last acknowledged command of the app: a caller reads what it wrote, through
    /// whichever node; and until the app's keys may be used.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long, the log is broken, or the vault is unavailable.
    pub async fn caught_up(&self, app: &AppId) -> Result<(), Error> {
        self.check_log()?;
        self.vault.ready(app).await?;
        if self.nodes.are_there {
            return self.all_applied().await;
        }
        match self.apps.get(app.as_str()) {
            Some(app) => self.applied_up_to(app.acknowledged()).await,
            None => Ok(()),
        }
    }

    /// Waits until the read models hold everything up to a position.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long.
    pub async fn applied_up_to(&self, position: u64) -> Result<(), Error> {
        if *self.applied.borrow() >= position {
            return Ok(());
        }
        let mut applied = self.applied.clone();
        let _waits = self.flush_hint.wait();
        self.metrics.waits_for_read_models();
        match tokio::time::timeout(BEHIND_AFTER, applied.wait_for(|applied| *applied >= position)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.or_broken(Error::Behind)),
        }
    }

    /// The revision of a stream; 0: it does not exist. The read models hold what gave it that revision, or something later, so
    /// that what is read of them now is at least as new.
    ///
    /// # Errors
    /// The log is unavailable, or [`Error::Behind`].
    pub async fn applied_revision(&self, stream: &Stream) -> Result<u64, Error> {
        let last = self.log.read_stream_back(&stream.to_string(), u64::MAX, 1).await?;
        let Some(last) = last.last() else { return Ok(0) };
        self.applied_up_to(last.position).await?;
        Ok(last.revision)
    }

    /// Waits until no command in flight changes a stream: what is read of the log then lacks nothing that was decided before.
    ///
    /// # Errors
    /// [`Error::Busy`] when that takes too long.
    pub async fn settled(&self, stream: &Stream) -> Result<(), Error> {
        self.not_in_flight(&[Belief::Stream(stream.clone())]).await.map(drop)
    }

    /// Counts the friends and requests of subjects; answers with the last decision before that.
    pub(super) async fn count(&self, subjects: &[SubjectRef]) -> Result<(Vec<(SubjectRef, Tally)>, u64), Error> {
        if subjects.is_empty() {
            return Ok((vec![], u64::MAX));
        }
        // Whatever was decided before must be counted: it is in the log once no command in flight changes the number,
        // and the count is only taken over what is applied. A command decided meanwhile keeps its own count.
        let tallies: Vec<_> = subjects.iter().copied().map(Belief::Tally).collect();
        let counted_at = self.not_in_flight(&tallies).await?;
        self.all_applied().await?;
        let found = friend_graph::counts(&self.read, subjects).await?;
        let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let tally = |counts: &friend_graph::Counts| Tally {
            friends: number(counts.friends),
            sent: number(counts.sent),
            received: number(counts.received),
        };
        Ok((subjects.iter().copied().zip(found.iter().map(tally)).collect(), counted_at))
    }

    /// Waits a moment where the read models are too far behind, and refuses further commands if they stay so: what is
    /// recorded must not outrun them for good. What the service itself has begun goes on.
    ///
    /// # Errors
    /// [`Error::Busy`] when they are still too far behind.
    pub(super) async fn apply_back_pressure(&self, caller: &Caller) -> Result<(), Error> {
        let is_behind = |applied: u64| self.log.head().saturating_sub(applied) > self.lag_max;
        if caller.actor == Actor::System || !is_behind(*self.applied.borrow()) {
            return Ok(());
        }
        let mut applied = self.applied.clone();
        match tokio::time::timeout(LAGGING_FOR, applied.wait_for(|applied| !is_behind(*applied))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}
