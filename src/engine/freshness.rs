//! Waiting until the read models hold what was recorded, so that a caller reads what it wrote.

use rollcall_schemas::ids::{AppId, SubjectRef};

use super::{BEHIND_AFTER, Engine, Error};

impl Engine {
    /// Waits until the read models hold everything that was recorded before this call, by whichever node.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long, or the log is unavailable.
    pub async fn all_applied(&self) -> Result<(), Error> {
        self.applied_up_to(self.nodes.latest(&self.log).await?).await
    }

    /// Waits until the read models hold the last acknowledged command of the app: a caller reads what it wrote, through
    /// whichever node; and until the app's keys may be used.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long, or the vault is unavailable.
    pub async fn caught_up(&self, app: &AppId) -> Result<(), Error> {
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
        match tokio::time::timeout(BEHIND_AFTER, applied.wait_for(|applied| *applied >= position)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Behind),
        }
    }

    pub(super) async fn count_friends(&self, subjects: &[SubjectRef]) -> Result<Vec<(SubjectRef, usize)>, Error> {
        if subjects.is_empty() {
            return Ok(vec![]);
        }
        // Whatever was decided before must be counted: it is in the log once the commands in flight are answered,
        // and the count is only taken over what is applied. A command decided meanwhile keeps its own count.
        self.all_applied().await?;
        let mut counted = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let count = rollcall_projections::friend_graph::count(&self.read, *subject).await?;
            counted.push((*subject, usize::try_from(count).unwrap_or(usize::MAX)));
        }
        Ok(counted)
    }
}
