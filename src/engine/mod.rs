//! The application layer: commands in, durable events out, questions answered from read models.
//!
//! A command is resolved (userId to subject), submitted to the decider loop through a bounded queue, decided against
//! states in memory, sealed, appended with its batch, and only then acknowledged. The faces know this module; this
//! module knows the ports.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rollcall_projections::store::ReadStore;
use rollcall_schemas::envelope::{Actor, Metadata};
use rollcall_schemas::ids::{AppId, OperationId, SubjectRef};
use rollcall_schemas::plain::Scope;
use rollcall_schemas::stream::Stream;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::domain::command::ErasureStep;
use crate::domain::values::UserId;
use crate::domain::{Command, Context, Refusal, Reply, State, erasure, user};
use crate::eventlog::EventLog;
use crate::privacy::{Tag, Vault};

pub mod api_keys;
pub mod apps;
pub mod beside;
mod brake;
pub mod clock;
mod committer;
mod decider;
mod directory;
mod error;
pub mod expiry;
pub mod journal;
mod load;
mod memory;
mod nodes;
mod opening;
pub mod projector;
pub mod reads;
pub mod rebuild;
mod restricted;
pub mod rotation;
pub mod start;
pub mod tokens;
mod turn;

pub use apps::App;
pub use decider::Limits;
pub use error::Error;

use clock::Clock;
use decider::{Answer, RetryGuard, Submitted};
use directory::{Directory, Hold};
use projector::Hurry;

/// Most commands waiting for the decider loop; more are answered busy.
pub const QUEUE_MAX: usize = 8_192;
/// How often a command is decided again because the world changed under it, a state that had to be loaded included.
const ATTEMPTS_MAX: usize = 64;
/// How much longer it waits after each conflict: a node that appends to a stream has its newest state, and another one that
/// must load it first would never be in time.
const CONFLICT_PAUSE: Duration = Duration::from_millis(1);
/// How long a query waits for the read models to hold what was acknowledged.
const BEHIND_AFTER: Duration = Duration::from_secs(3);
/// How far the read models may be behind before commands are slowed down.
const LAG_MAX: u64 = 20_000;
/// Most relations looked at to clear a list: more than a user can have friends, requests that wait included.
const FRIENDS_MAX: u32 = 20_000;
/// Most erasures of one subject looked at.
const ERASURES_MAX: u32 = 100;

/// What makes a retry harmless.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The key, as the caller chose it.
    pub key: String,
    /// Operation and content of the call: another content under the same key is refused.
    pub content: Vec<u8>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant.
    pub app: AppId,
    /// Who acts.
    pub actor: Actor,
    /// The request.
    pub correlation: Uuid,
    /// What makes a retry harmless, where the caller gave it.
    pub idempotency: Option<IdempotencyKey>,
    /// Whether the bulk brake of erasures does not hold for this call.
    pub overrides_brake: bool,
}

impl Caller {
    /// The service itself or its operator, for an app.
    #[must_use]
    pub fn internal(app: AppId, actor: Actor) -> Self {
        Self { app, actor, correlation: Uuid::new_v4(), idempotency: None, overrides_brake: false }
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    /// What it is answered.
    pub reply: Reply,
    /// The access token, when one was issued.
    pub token: Option<String>,
    /// The log holds it at this position; 0 when the answer was kept from an earlier call.
    pub position: u64,
}

/// The service without its faces.
pub struct Engine {
    log: Arc<dyn EventLog>,
    vault: Arc<dyn Vault>,
    read: Arc<ReadStore>,
    directory: Arc<Directory>,
    apps: Arc<Apps>,
    clock: Arc<Clock>,
    commands: mpsc::Sender<Option<Submitted>>,
    epoch: Arc<AtomicU64>,
    applied: watch::Receiver<u64>,
    hurry: Arc<Hurry>,
    running: Arc<Mutex<HashSet<[u8; 32]>>>,
    erasures: Arc<Notify>,
    ready: Arc<AtomicBool>,
    brake: Brake,
    restricted: Arc<Restricted>,
    nodes: Nodes,
}

use apps::Apps;
use brake::Brake;
use nodes::Nodes;
use restricted::Restricted;

/// Marks an idempotency key as running until dropped.
struct Running(Arc<Mutex<HashSet<[u8; 32]>>>, [u8; 32]);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// A command whose persons are known.
struct Resolved {
    command: Command,
    holds: Arc<Vec<Hold>>,
    fresh: Vec<SubjectRef>,
    forgets: Vec<(SubjectRef, Tag)>,
}

impl Engine {
    /// The application with that key.
    #[must_use]
    pub fn app(&self, key: &str) -> Option<Arc<App>> {
        self.apps.get(key)
    }

    /// Every application, by key.
    #[must_use]
    pub fn apps(&self) -> Vec<Arc<App>> {
        self.apps.all()
    }

    /// Reads the applications again, after one was changed.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub async fn reload_apps(&self) -> Result<(), Error> {
        self.apps.reload(&self.read, self.vault.as_ref()).await
    }

    /// The read models, for their query functions.
    #[must_use]
    pub fn read(&self) -> &ReadStore {
        &self.read
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Arc<dyn Vault> {
        &self.vault
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Whether the log can be followed and the read models had caught up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.log.broken().is_none()
    }

    /// Whether this node does what one node does for all: whoever applies events also ends bans, erases and rotates keys.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.nodes.turn.is_ours()
    }

    /// Waits until the read models hold everything that was recorded before this call, by whichever node.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long, or the log is unavailable.
    pub async fn all_applied(&self) -> Result<(), Error> {
        self.applied_up_to(self.nodes.latest(&self.log).await?).await
    }

    /// Told whenever an erasure may have something to do.
    #[must_use]
    pub fn erasures(&self) -> Arc<Notify> {
        self.erasures.clone()
    }

    /// Waits until the read models hold the last acknowledged command of the app: a caller reads what it wrote, through
    /// whichever node.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long.
    pub async fn caught_up(&self, app: &AppId) -> Result<(), Error> {
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
        let _waits = self.hurry.wait();
        match tokio::time::timeout(BEHIND_AFTER, applied.wait_for(|applied| *applied >= position)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Behind),
        }
    }

    /// The subject of a userId that was used and not forgotten.
    ///
    /// # Errors
    /// The vault or the read models are unavailable.
    pub async fn find(&self, app: &AppId, user_id: &UserId) -> Result<Option<SubjectRef>, Error> {
        Ok(self.directory.find(&self.read, app, user_id, false).await?.map(|found| found.subject))
    }

    /// Whether a legal hold keeps a subject's data.
    ///
    /// # Errors
    /// The log is unavailable.
    pub async fn is_held(&self, subject: SubjectRef) -> Result<bool, Error> {
        let loaded = load::streams(self.log.as_ref(), &[Stream::User(subject)]).await?;
        Ok(loaded.iter().any(|loaded| matches!(&loaded.state, State::User(user) if user.held)))
    }

    /// The directory tag of a userId.
    ///
    /// # Errors
    /// The vault is unavailable.
    pub fn tag(&self, app: &AppId, user_id: &UserId) -> Result<Tag, Error> {
        Ok(self.vault.tag(app, user_id.as_str())?)
    }

    /// Does what a command asks. When it returns, the events are durable.
    ///
    /// # Errors
    /// The command was refused, or could not be taken: then nothing was recorded.
    pub async fn execute(&self, caller: &Caller, command: Command) -> Result<Done, Error> {
        let guard = self.guard(caller)?;
        let running = match guard {
            Some(guard) => Some(self.run_once(guard)?),
            None => None,
        };
        if let Some(guard) = guard
            && let Some((fingerprint, outcome)) = self.log.stored_outcome(guard.key).await?
        {
            return self.replay(caller, guard, fingerprint, &outcome);
        }
        self.brake(caller, &command).await?;
        let done = self.decide_durably(caller, command, guard).await;
        drop(running);
        done
    }

    async fn brake(&self, caller: &Caller, command: &Command) -> Result<(), Error> {
        let (Command::Deactivate(who, _) | Command::Forget(who, _)) = command else { return Ok(()) };
        let max = self.apps.get(caller.app.as_str()).map_or(0, |app| app.settings.erasures_per_minute_max);
        if caller.overrides_brake {
            return Ok(());
        }
        let erasures = u32::try_from(who.len()).unwrap_or(u32::MAX);
        let (now, braked) = (self.clock.now(), |seconds| Error::Braked { seconds });
        if self.nodes.are_there && max > 0 {
            // What other nodes were asked; this one's memory knows what is on its way here.
            self.all_applied().await?;
            let newest = rollcall_projections::erasure_ledger::page(&self.read, &caller.app, None, max).await?;
            let requested: Vec<_> = newest.iter().rev().map(|erasure| (erasure.requested_at, 1)).collect();
            brake::check(&requested, erasures, max, now).map_err(braked)?;
        }
        self.brake.take(&caller.app, erasures, max, now).map_err(braked)
    }

    async fn decide_durably(
        &self,
        caller: &Caller,
        command: Command,
        guard: Option<RetryGuard>,
    ) -> Result<Done, Error> {
        let metadata = Metadata {
            app: caller.app.clone(),
            actor: caller.actor.clone(),
            correlation: caller.correlation,
            causation: None,
        };
        let context = Context {
            now: self.clock.now(),
            operation: if command.is_operation() { operation_id() } else { OperationId(String::new()) },
            fresh: (0..command.fresh_ids()).map(|_| Uuid::new_v4()).collect(),
        };
        let (mut loaded, mut counted) = (vec![], vec![]);
        let mut epoch = self.epoch.load(Ordering::Acquire);
        // What one attempt reserved and had loaded is of use to the next only if the reservation lasts until then.
        let mut reserved = vec![];
        let mut confirms = false;
        let mut pause = Duration::ZERO;
        for _ in 0..ATTEMPTS_MAX {
            let resolved = self.resolve(&caller.app, command.clone()).await?;
            let command = self.complete(&caller.app, resolved.command, &context).await?;
            if confirms {
                loaded = load::streams(self.log.as_ref(), &command.streams(&caller.app)).await?;
            }
            if !resolved.fresh.is_empty() {
                loaded.extend(load::new_streams(command.streams(&caller.app), &resolved.fresh));
                counted.extend(resolved.fresh.iter().map(|subject| (*subject, 0)));
                reserved.push(resolved.holds.clone());
            }
            let (answer, answered) = oneshot::channel();
            let submitted = Submitted {
                metadata: metadata.clone(),
                command,
                context: context.clone(),
                epoch,
                loaded: std::mem::take(&mut loaded),
                confirms,
                counted: std::mem::take(&mut counted),
                holds: resolved.holds,
                forgets: resolved.forgets,
                guard,
                answer,
            };
            self.commands.try_send(Some(submitted)).map_err(|_| Error::Busy)?;
            let answer = answered.await;
            epoch = self.epoch.load(Ordering::Acquire);
            match answer {
                Ok(Answer::Done(reply, position)) => {
                    let token = self.token_of(&caller.app, &reply)?;
                    return Ok(Done { reply, token, position });
                }
                // Another node may have recorded a moment ago what makes it otherwise.
                Ok(Answer::Refused(_)) if self.nodes.are_there && !confirms => {
                    self.all_applied().await?;
                    confirms = true;
                }
                Ok(Answer::Refused(refusal)) => return Err(refusal.into()),
                Ok(Answer::Missing(streams, uncounted)) => {
                    loaded = load::streams(self.log.as_ref(), &streams).await?;
                    counted = self.count_friends(&uncounted).await?;
                }
                Ok(Answer::Conflict) => {
                    tokio::time::sleep(pause).await;
                    pause += CONFLICT_PAUSE;
                }
                Ok(Answer::Replayed(fingerprint, outcome)) => {
                    let Some(guard) = guard else { return Err(Error::Busy) };
                    return self.replay(caller, guard, fingerprint, &outcome);
                }
                Ok(Answer::Unknown(reason)) => return Err(Error::Ambiguous(reason)),
                Ok(Answer::Failed(reason)) => return Err(Error::Unavailable(reason)),
                Err(_) => return Err(Error::Unavailable("the service is stopping".into())),
            }
        }
        Err(Error::Busy)
    }

    /// Finds the subject of every person a command names.
    async fn resolve(&self, app: &AppId, mut command: Command) -> Result<Resolved, Error> {
        let introduce = command.introduces();
        let forgets = matches!(command, Command::Forget(..));
        let (mut holds, mut fresh, mut tags) = (vec![], vec![], vec![]);
        for person in command.persons_mut() {
            let found = self.directory.find(&self.read, app, &person.user_id, introduce).await?;
            let Some(found) = found else { continue };
            person.subject = Some(found.subject);
            if forgets {
                tags.push((found.subject, self.vault.tag(app, person.user_id.as_str())?));
            }
            holds.extend(found.hold);
            if found.fresh {
                fresh.push(found.subject);
            }
        }
        if let Command::Erasure(ErasureStep { subject, step: erasure::Step::Begin(Scope::Forget, _), .. }) = &command {
            tags.extend(self.tag_of(app, *subject).await?.map(|tag| (*subject, tag)));
        }
        Ok(Resolved { command, holds: Arc::new(holds), fresh, forgets: tags })
    }

    /// The directory tag of a subject whose userId is still known.
    async fn tag_of(&self, app: &AppId, subject: SubjectRef) -> Result<Option<Tag>, Error> {
        let sealed = rollcall_projections::user_directory::user_ids(&self.read, app, &[subject]).await?;
        let Some(sealed) = sealed.into_iter().next().flatten() else { return Ok(None) };
        let user_id = self.open_text(app, subject, &sealed)?;
        Ok(user_id.map(|user_id| self.vault.tag(app, &user_id)).transpose()?)
    }

    /// Fills in what a command needs from the read models and the vault.
    async fn complete(&self, app: &AppId, command: Command, context: &Context) -> Result<Command, Error> {
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
        Ok(self.vault.renew(subject, row.epoch + 1)?)
    }

    async fn count_friends(&self, subjects: &[SubjectRef]) -> Result<Vec<(SubjectRef, usize)>, Error> {
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

    fn guard(&self, caller: &Caller) -> Result<Option<RetryGuard>, Error> {
        let Some(IdempotencyKey { key, content }) = &caller.idempotency else { return Ok(None) };
        Ok(Some(RetryGuard {
            key: self.vault.fingerprint(&caller.app, &[b"key", key.as_bytes()])?,
            fingerprint: self.vault.fingerprint(&caller.app, &[b"content", content])?,
        }))
    }

    fn run_once(&self, guard: RetryGuard) -> Result<Running, Error> {
        if self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(guard.key) {
            Ok(Running(self.running.clone(), guard.key))
        } else {
            Err(Error::KeyInUse)
        }
    }

    fn replay(&self, caller: &Caller, guard: RetryGuard, fingerprint: [u8; 32], outcome: &[u8]) -> Result<Done, Error> {
        if fingerprint != guard.fingerprint {
            return Err(Error::KeyMismatch);
        }
        let reply: Reply = serde_json::from_slice(outcome)
            .map_err(|error| Error::Unavailable(format!("a kept answer is not readable: {error}")))?;
        let token = self.token_of(&caller.app, &reply)?;
        Ok(Done { reply, token, position: 0 })
    }

    fn token_of(&self, app: &AppId, reply: &Reply) -> Result<Option<String>, Error> {
        match reply {
            Reply::Token(issued) => Ok(Some(tokens::write(self.vault.as_ref(), app, issued)?)),
            Reply::Done | Reply::Operation(_) | Reply::Friends | Reply::Waiting | Reply::DataRequest(_) => Ok(None),
        }
    }
}

/// A new name for an operation, as the platform writes it: `C70B-B1D6-82E8-5A10`.
fn operation_id() -> OperationId {
    let digits = format!("{:X}", Uuid::new_v4().as_u128() >> 64);
    let digits = format!("{digits:0>16}");
    OperationId([&digits[0..4], &digits[4..8], &digits[8..12], &digits[12..16]].join("-"))
}
