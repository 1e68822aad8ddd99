//! Looks up what a command must know from the read models and the vault before it is decided.

use rollcall_projections::{data_requests, erasure_ledger, friend_graph};
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::{Engine, Error};
use crate::domain::{ErasureOwner, Found, Lookup};

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
            Lookup::Erasure(erasure) => {
                let Some(row) = erasure_ledger::by_id(&self.read, app, erasure).await? else { return Ok(()) };
                let all = erasure_ledger::of(&self.read, row.subject, ERASURES_MAX).await?;
                let others_wait = all.iter().any(|other| other.erasure != erasure && !other.is_ended());
                found.erasure = Some(ErasureOwner { subject: row.subject, others_wait });
            }
            Lookup::DataRequest(request) => {
                let row = data_requests::by_id(&self.read, app, request).await?;
                found.data_request = row.map(|row| row.subject);
            }
        }
        Ok(())
    }

    /// Makes fresh keys for a deactivated subject whose waiting time is over, once its erasure is through: an erasure
    /// destroys the keys of every epoch.
    async fn renew_keys(&self, app: &AppId, subject: SubjectRef) -> Result<(), Error> {
        let Some(row) = rollcall_projections::user_directory::by_subject(&self.read, app, subject).await? else {
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
        let renewed = tokio::task::spawn_blocking(move || vault.renew(subject, row.epoch + 1)).await;
        Ok(renewed.map_err(|error| Error::Unavailable(format!("the keys are not renewed: {error}")))??)
    }
}
