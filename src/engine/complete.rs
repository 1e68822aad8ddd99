//! Looks up what a command must know from the read models and the vault before it is decided.

use rollcall_projections::{data_requests, erasure_ledger, friend_graph, user_directory};
use rollcall_schemas::ids::{AppId, ErasureId, SubjectRef};

use super::{Engine, Error};
use crate::domain::{ErasureOwner, Found, FriendRequest, Lookup};
use crate::tasks;

/// Most relations looked at to clear a list: more than a user can have friends, requests that wait included.
const FRIENDS_MAX: u32 = 20_000;
/// Most erasures of one subject looked at.
const ERASURES_MAX: u32 = 100;

impl Engine {
    /// Looks up what a command must know; the subjects in it were found before.
    pub(super) async fn look_up(&self, app: &AppId, lookup: Lookup, found: &mut Found) -> Result<(), Error> {
        if lookup == Lookup::Nothing {
            return Ok(());
        }
        self.caught_up(app).await?;
        let subjects: Vec<_> = found.subjects().map(|(_, subject)| subject).collect();
        match lookup {
            Lookup::Nothing => {}
            Lookup::Relations => {
                for subject in subjects {
                    found.relations.extend(friend_graph::all_of(&self.read, subject, FRIENDS_MAX).await?);
                }
            }
            Lookup::NextKeys => {
                for subject in subjects {
                    self.renew_keys(app, subject).await?;
                }
            }
            Lookup::Erasure(erasure) => found.erasures = self.owners_of(app, erasure).await?,
            Lookup::DataRequest(request) => {
                let row = data_requests::by_id(&self.read, app, request).await?;
                found.data_request = row.map(|row| row.subject);
            }
            Lookup::Token(token) => {
                if let Some(subject) = subjects.first() {
                    found.token = self.times_of_token(*subject, token).await?;
                }
            }
            Lookup::FriendRequest(request) => {
                let row = friend_graph::request(&self.read, app, request).await?;
                found.friend_request = row.map(|row| FriendRequest {
                    from: row.from,
                    to: row.to,
                    expires_at: row.expires_at,
                    state: row.state,
                });
            }
        }
        Ok(())
    }

    /// Whose an erasure is, and those of further subjects of the same userId that were requested with it; none where there is
    /// no such erasure.
    async fn owners_of(&self, app: &AppId, erasure: ErasureId) -> Result<Vec<ErasureOwner>, Error> {
        let Some(row) = erasure_ledger::by_id(&self.read, app, erasure).await? else { return Ok(vec![]) };
        let mut subjects = vec![row.subject];
        // Once it has begun the userId may be erased; then it is not called off anyway.
        if let Some(tag) = self.tag_of(app, row.subject).await? {
            let all = user_directory::all_subjects_of(&self.read, app, &[tag]).await?;
            subjects.extend(all.into_iter().flatten().filter(|subject| *subject != row.subject));
        }
        let mut owners = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let all = erasure_ledger::of(&self.read, subject, ERASURES_MAX).await?;
            let requested_together = |other: &&erasure_ledger::Erasure| {
                other.erasure == erasure || subject != row.subject && other.operation == row.operation
            };
            let Some(this) = all.iter().find(requested_together).map(|this| this.erasure) else { continue };
            let others_wait = all.iter().any(|other| other.erasure != this && !other.is_ended());
            owners.push(ErasureOwner { erasure: this, subject, others_wait });
        }
        Ok(owners)
    }

    /// Makes fresh keys for a deactivated subject whose waiting time is over, once its erasure is through: an erasure
    /// destroys the keys of every epoch.
    async fn renew_keys(&self, app: &AppId, subject: SubjectRef) -> Result<(), Error> {
        let Some(row) = user_directory::by_subject(&self.read, app, subject).await? else {
            return Ok(());
        };
        let Some(deactivated) = rollcall_projections::deactivated_users::of(&self.read, subject).await? else {
            return Ok(());
        };
        let wait = self.apps.get(app.as_str()).map_or(0, |app| app.settings.reactivation_wait_seconds);
        if self.clock.now() < deactivated.deactivated_at + chrono::Duration::seconds(i64::from(wait)) {
            // The decision will refuse it.
            return Ok(());
        }
        let erasures = erasure_ledger::of(&self.read, subject, ERASURES_MAX).await?;
        if erasures.iter().any(|erasure| erasure.begun_at.is_some() && !erasure.is_ended()) {
            return Err(Error::Busy);
        }
        // It writes, and waits for its turn: not on this thread.
        let vault = self.vault.clone();
        let renewed = tasks::spawn_blocking(move || vault.renew(subject, row.epoch + 1)).await;
        Ok(renewed.map_err(|error| Error::Unavailable(format!("the keys are not renewed: {error}")))??)
    }
}
