//! The way of a command: at most once under its idempotency key, decided until it is durable or refused.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollcall_schemas::envelope::Metadata;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::decider::{Answer, RetryGuard, Submitted};
use super::{Caller, Done, Engine, Error, IdempotencyKey, load, metered};
use crate::domain::friendship::Tally;
use crate::domain::{Command, Context, Defect, DynCommand, Expected, Reply, ReplyOf, TypedReply as _};
use crate::telemetry::traces;

/// How often a command is decided again because the world changed under it, a state that had to be loaded included.
const ATTEMPTS_MAX: usize = 64;
/// How much longer it waits after each conflict: a node that appends to a stream has its newest state, and another one that
/// must load it first would never be in time.
const CONFLICT_PAUSE: Duration = Duration::from_millis(1);

/// Marks an idempotency key as running until dropped.
struct Running(Arc<Mutex<HashSet<[u8; 32]>>>, [u8; 32]);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Engine {
    /// Does what a command asks. When it returns, the events are durable.
    ///
    /// # Errors
    /// The command was refused, or could not be taken: then nothing was recorded.
    pub async fn execute<C: Command>(&self, caller: &Caller, command: C) -> Result<Done<ReplyOf<C>>, Error> {
        let done = self.execute_metered(caller, &command, None).await?;
        typed(&command, done)
    }

    /// Does what a command asks if a stream has the revision that the caller expects; see [`Engine::execute`].
    ///
    /// # Errors
    /// [`Refusal::Changed`](crate::domain::Refusal::Changed) where it has another one; else as for [`Engine::execute`].
    pub async fn execute_expecting<C: Command>(
        &self,
        caller: &Caller,
        command: C,
        expected: Option<Expected>,
    ) -> Result<Done<ReplyOf<C>>, Error> {
        let done = self.execute_metered(caller, &command, expected).await?;
        typed(&command, done)
    }

    /// Does what any command asks; see [`Engine::execute`].
    ///
    /// # Errors
    /// As for [`Engine::execute`].
    pub async fn execute_any(&self, caller: &Caller, command: &dyn DynCommand) -> Result<Done<Reply>, Error> {
        self.execute_metered(caller, command, None).await
    }

    async fn execute_metered(
        &self,
        caller: &Caller,
        command: &dyn DynCommand,
        expected: Option<Expected>,
    ) -> Result<Done<Reply>, Error> {
        self.check_log()?;
        let since = Instant::now();
        let name = metered::name(command);
        let executed = traces::command(name, self.execute_once(caller, command, expected)).await;
        let done = executed.map_err(|error| self.or_broken(error));
        let outcome = done.as_ref().map_or_else(Error::outcome, |_| "done");
        self.metrics.command(name, outcome, since.elapsed());
        done
    }

    async fn execute_once(
        &self,
        caller: &Caller,
        command: &dyn DynCommand,
        expected: Option<Expected>,
    ) -> Result<Done<Reply>, Error> {
        self.vault.ready(&caller.app).await?;
        let guard = self.guard(caller)?;
        let running = match guard {
            Some(guard) => Some(self.run_once(guard)?),
            None => None,
        };
        if let Some(guard) = guard
            && let Some((fingerprint, outcome)) = self.log.stored_outcome(guard.key).await?
        {
            return replay(guard, fingerprint, &outcome);
        }
        self.apply_back_pressure(caller).await?;
        self.brake(caller, command.erasures()).await?;
        let done = self.decide_durably(caller, command, expected.as_ref(), guard).await;
        drop(running);
        done
    }

    async fn decide_durably(
        &self,
        caller: &Caller,
        command: &dyn DynCommand,
        expected: Option<&Expected>,
        guard: Option<RetryGuard>,
    ) -> Result<Done<Reply>, Error> {
        let metadata = Metadata {
            app: caller.app.clone(),
            actor: caller.actor.clone(),
            correlation: caller.correlation,
            causation: None,
        };
        let mut context = Context { now: self.clock.now(), fresh: vec![] };
        let (mut loaded, mut counted) = (vec![], vec![]);
        let mut loaded_at = self.in_flight.last();
        // What one attempt reserved and had loaded is of use to the next only if the reservation lasts until then.
        let mut reserved = vec![];
        let mut confirms = false;
        let mut pause = Duration::ZERO;
        for _ in 0..ATTEMPTS_MAX {
            let mut resolved = self.resolve(&caller.app, command).await.map_err(|error| reported(command, error))?;
            if let Some(expected) = expected {
                resolved.reads.expect(expected.clone());
            }
            context.fresh.resize_with(resolved.command.fresh_ids(), Uuid::new_v4);
            if confirms {
                (loaded, loaded_at) = self.load(resolved.reads.streams()).await?;
            } else if loaded.is_empty() && counted.is_empty() {
                loaded_at = self.in_flight.last();
            }
            if !resolved.fresh.is_empty() {
                loaded.extend(load::new_streams(resolved.reads.streams(), &resolved.fresh));
                counted.extend(resolved.fresh.iter().map(|subject| (*subject, Tally::default())));
                reserved.push(resolved.holds.clone());
            }
            let (answer, answered) = oneshot::channel();
            let submitted = Submitted {
                metadata: metadata.clone(),
                command: resolved.command,
                reads: resolved.reads,
                context: context.clone(),
                loaded_at,
                loaded: std::mem::take(&mut loaded),
                counted: std::mem::take(&mut counted),
                holds: resolved.holds,
                forgets: resolved.forgets,
                guard,
                answer,
            };
            self.commands.try_send(Some(submitted)).map_err(|_| Error::Busy)?;
            match answered.await {
                Ok(Answer::Done(reply, position)) => return Ok(Done { reply, position }),
                // Another node may have recorded a moment ago what makes it otherwise.
                Ok(Answer::Refused(_)) if self.nodes.are_there && !confirms => {
                    self.all_applied().await?;
                    confirms = true;
                }
                Ok(Answer::Refused(refusal)) => return Err(refusal.into()),
                Ok(Answer::Missing(streams, uncounted)) => {
                    (loaded, loaded_at) = self.load(&streams).await?;
                    let (count, counted_at) = self.count(&uncounted).await?;
                    (counted, loaded_at) = (count, loaded_at.min(counted_at));
                }
                Ok(Answer::Conflict) => {
                    self.metrics.conflict();
                    tokio::time::sleep(pause).await;
                    pause += CONFLICT_PAUSE;
                }
                Ok(Answer::Replayed(fingerprint, outcome)) => {
                    let Some(guard) = guard else { return Err(Error::Busy) };
                    return replay(guard, fingerprint, &outcome);
                }
                Ok(Answer::Defect(defect)) => return Err(report(command, defect)),
                Ok(Answer::Unknown(reason)) => return Err(Error::Ambiguous(reason)),
                Ok(Answer::Failed(reason)) => return Err(Error::Unavailable(reason)),
                Err(_) => return Err(Error::Unavailable("the service is stopping".into())),
            }
        }
        Err(Error::Busy)
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
}

/// What a command answers, as the type that it declares.
///
/// # Errors
/// It is the answer of another command.
pub(crate) fn typed<C: Command>(command: &C, Done { reply, position }: Done<Reply>) -> Result<Done<ReplyOf<C>>, Error> {
    let reply = ReplyOf::<C>::from_reply(reply).ok_or_else(|| report(command, Defect::OtherReply))?;
    Ok(Done { reply, position })
}

/// What was answered to the first call under an idempotency key.
fn replay(guard: RetryGuard, fingerprint: [u8; 32], outcome: &[u8]) -> Result<Done<Reply>, Error> {
    if fingerprint != guard.fingerprint {
        return Err(Error::KeyMismatch);
    }
    let reply = serde_json::from_slice(outcome)
        .map_err(|error| Error::Unavailable(format!("a kept answer is not readable: {error}")))?;
    Ok(Done { reply, position: 0 })
}

/// A defect is not the caller's fault and does not pass by itself: whoever runs the service must hear of it.
fn report(command: &dyn DynCommand, defect: Defect) -> Error {
    tracing::error!(command = command.name(), %defect, "a command has a defect; nothing was recorded, report it");
    Error::Defect(defect)
}

fn reported(command: &dyn DynCommand, error: Error) -> Error {
    if let Error::Defect(defect) = error { report(command, defect) } else { error }
}
