//! The way of a command: at most once under its idempotency key, decided until it is durable or refused.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rollcall_schemas::envelope::Metadata;
use rollcall_schemas::ids::{AppId, OperationId};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::decider::{Answer, RetryGuard, Submitted};
use super::{Caller, Done, Engine, Error, IdempotencyKey, load, tokens};
use crate::domain::{Command, Context, Reply};

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
    pub async fn execute(&self, caller: &Caller, command: Command) -> Result<Done, Error> {
        self.vault.ready(&caller.app).await?;
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
