//! Fills in what a command needs from the read models and the vault before it is decided.

use rollcall_schemas::ids::{AppId, SubjectRef};

use super::{Engine, Error};
use crate::domain::{Command, Context, Refusal, user};

/// Most relations looked at to clear a list: more than a user can have friends, requests that wait included.
const FRIENDS_MAX: u32 = 20_000;
/// Most erasures of one subject looked at.
const ERASURES_MAX: u32 = 100;

impl Engine {
    /// Fills in what a command needs from the read models and the vault.
    pub(super) async fn complete(&self, app: &AppId, command: Command, context: &Context) -> Result<Command, Error> {
        match command {
            Command::ClearFriends(who, _) => {
                self.caught_up(app).await?;
                let friends = match who.subject {
                    Some(subject) => {
                        let all = rollcall_projections::friend_graph::all_of(&self.read, subject, FRIENDS_MAX).await?;
                        all.into_iter().collect()
                    }
                    None => vec![],
                };
                Ok(Command::ClearFriends(who, friends))
            }
            Command::User(who, user::Command::Reactivate(_)) => {
                self.caught_up(app).await?;
                for subject in who.iter().filter_map(|who| who.subject) {
                    self.renew_keys(app, subject).await?;
                }
                Ok(Command::User(who, user::Command::Reactivate(context.operation.clone())))
            }
            Command::CancelErasure { erasure, .. } => {
                self.caught_up(app).await?;
                let of = rollcall_projections::erasure_ledger::by_id(&self.read, app, erasure).await?;
                let subject = of.ok_or(Refusal::NoSuchErasure)?.subject;
                let all = rollcall_projections::erasure_ledger::of(&self.read, subject, ERASURES_MAX).await?;
                let others_wait = all.iter().any(|other| other.erasure != erasure && !other.is_ended());
                Ok(Command::CancelErasure { erasure, subject, others_wait })
            }
            Command::ChangeDataRequest { request, change, .. } => {
                self.caught_up(app).await?;
                let of = rollcall_projections::data_requests::by_id(&self.read, app, request).await?;
                let subject = of.ok_or(Refusal::NoSuchDataRequest)?.subject;
                Ok(Command::ChangeDataRequest { request, subject, change })
            }
            other => Ok(other),
        }
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
        let erasures = rollcall_projections::erasure_ledger::of(&self.read, subject, ERASURES_MAX).await?;
        if erasures.iter().any(|erasure| erasure.begun_at.is_some() && !erasure.is_ended()) {
            return Err(Error::Busy);
        }
        // It writes, and waits for its turn: not on this thread.
        let vault = self.vault.clone();
        let renewed = tokio::task::spawn_blocking(move || vault.renew(subject, row.epoch + 1)).await;
        Ok(renewed.map_err(|error| Error::Unavailable(format!("the keys are not renewed: {error}")))??)
    }
}
