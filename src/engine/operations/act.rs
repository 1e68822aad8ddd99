//! What a bulk operation does to one user, and how that is taken back.

use rollcall_projections::banned_users::{self, Ban, Ending};
use rollcall_projections::deactivated_users;
use rollcall_projections::operations::{Item, Operation};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::operation::Act;
use rollcall_schemas::plain::Scope;

use super::would::{Known, Would};
use crate::crash_point;
use crate::domain::ban::{self, Length, Lift, Over, Span, Term};
use crate::domain::erasure::{Erase, Request};
use crate::domain::values::{Note, Reason, UserId};
use crate::domain::{Command, Refusal};
use crate::engine::{Caller, Engine, Error, IdempotencyKey, journal};

/// It was taken back.
const UNDONE: &str = "undone";
/// Somebody has changed it since.
const CHANGED: &str = "refused:changed-since";

/// Deals with one user; answers what became of it.
///
/// # Errors
/// It could not be dealt with now; to repeat it is harmless.
pub(super) async fn deal(engine: &Engine, operation: &Operation, item: Item) -> Result<String, Error> {
    let (app, subject) = (&operation.app, item.subject);
    let known = Known::read(engine, app, subject).await?;
    let id = engine.user_ids(app, &[subject]).await?.pop().flatten();
    let user_id = id.and_then(|id| UserId::parse("user_id", &id).ok());
    let would = known.would(operation.act, operation.ends_at, engine.now());
    let Some(user_id) = user_id else {
        let refused = if would == Would::Deactivated { would } else { Would::NotRegistered };
        return Ok(refused.as_str().into());
    };
    let user = One { engine, operation, item: &item, user_id };
    if operation.undone.is_some() {
        return user.undo(&known).await;
    }
    match operation.act {
        Act::Ban => user.ban(would, known.ban.as_ref()).await,
        Act::Unban => user.unban(would).await,
        Act::Deactivate => user.deactivate(would).await,
    }
}

/// One user of an operation.
struct One<'o> {
    engine: &'o Engine,
    operation: &'o Operation,
    item: &'o Item,
    user_id: UserId,
}

impl One<'_> {
    /// Whoever asked for the operation acts; the operation is the request.
    fn caller(&self) -> Caller {
        let Operation { batch, app, actor, undo_actor, undone, .. } = self.operation;
        let actor = undo_actor.as_ref().unwrap_or(actor).clone();
        let what = if undone.is_some() { "undo" } else { "do" };
        // No caller's own key has a line break.
        let key = format!("operation\n{batch}\n{what}\n{}", self.item.number);
        let idempotency = Some(IdempotencyKey { key, content: vec![] });
        Caller { app: app.clone(), actor, correlation: batch.0, idempotency, overrides_brake: false }
    }

    /// Executes a command; answers `done`, or why it is refused.
    async fn execute<C: Command>(&self, command: C, done: &str) -> Result<String, Error> {
        match self.engine.execute(&self.caller(), command).await {
            Ok(_) => {
                crash_point::reach("operation.acted");
                Ok(done.into())
            }
            Err(Error::Refused(refusal)) => Ok(refused(&refusal).into()),
            // It does not pass by itself, was reported where it arose, and must not keep the others waiting.
            Err(Error::Defect(_)) => Ok("refused:internal".into()),
            Err(error) => Err(error),
        }
    }

    fn who(&self) -> Vec<UserId> {
        vec![self.user_id.clone()]
    }

    fn subject(&self) -> SubjectRef {
        self.item.subject
    }

    /// Opens a text about the user.
    async fn open(&self, sealed: Option<&[u8]>) -> Result<Option<String>, Error> {
        let Some(sealed) = sealed else { return Ok(None) };
        self.engine.vault().load(&[self.subject()]).await?;
        self.engine.open_text(&self.operation.app, self.subject(), sealed)
    }

    /// The last ban of the user that does not last.
    async fn former(&self) -> Result<Option<Ban>, Error> {
        Ok(banned_users::history(self.engine.read(), self.subject(), None, 1).await?.pop())
    }

    /// Whether a ban is of this operation.
    fn is_own(&self, ban: &Ban) -> bool {
        ban.correlation == self.operation.batch.0
    }

    async fn ban(&self, would: Would, there: Option<&Ban>) -> Result<String, Error> {
        if there.is_some_and(|ban| self.is_own(ban)) {
            // An attempt that was cut short had banned it.
            let former = self.former().await?;
            let is_extended = former.is_some_and(|former| is_replaced_by(&former, there));
            return Ok(if is_extended { Would::Extend } else { Would::Ban }.as_str().into());
        }
        let reason = self.open(self.item.reason.as_deref()).await?.and_then(|text| Reason::parse(&text).ok());
        let length = self.operation.ends_at.map_or(Length::Permanent, Length::Until);
        let term = Term { starts_at: None, length };
        let command = ban::Ban { who: self.who(), term, reason, note: None, over: Over::Shorter };
        self.execute(command, would.as_str()).await
    }

    async fn unban(&self, would: Would) -> Result<String, Error> {
        if would == Would::Unchanged {
            // An attempt that was cut short may have lifted it.
            let by = self.operation.actor.to_string();
            let is_own = |end: &banned_users::End| {
                matches!(end.ending, Ending::Lifted | Ending::Cancelled)
                    && end.by == by
                    && end.position > self.operation.requested_position
            };
            let is_done = self.former().await?.and_then(|former| former.end).is_some_and(|end| is_own(&end));
            return Ok(if is_done { Would::Unban } else { would }.as_str().into());
        }
        let lift = Lift { who: self.who(), scheduled: true, only: None };
        self.execute(lift, would.as_str()).await
    }

    async fn deactivate(&self, would: Would) -> Result<String, Error> {
        if would == Would::Unchanged {
            let is_own = self.is_deactivated_by_it().await?;
            return Ok(if is_own { Would::Deactivate } else { would }.as_str().into());
        }
        let erase = Erase { who: self.who(), scope: Scope::Deactivate, request: Request::default() };
        self.execute(erase, would.as_str()).await
    }

    /// Whether an attempt that was cut short deactivated the user.
    async fn is_deactivated_by_it(&self) -> Result<bool, Error> {
        let Some(found) = deactivated_users::of(self.engine.read(), self.subject()).await? else { return Ok(false) };
        let events = self.engine.log().read_at(&[found.deactivated_position]).await?;
        let Some(event) = events.first() else { return Ok(false) };
        Ok(journal::decode(event)?.metadata.correlation == self.operation.batch.0)
    }

    /// Lifts a ban that the operation imposed, or gives the one that it extended its former end, unless somebody has
    /// changed it since.
    async fn undo(&self, known: &Known) -> Result<String, Error> {
        let banned = [Would::Ban.as_str(), Would::Extend.as_str()];
        if self.item.result.as_deref().is_none_or(|result| !banned.contains(&result)) {
            return Ok(Would::Unchanged.as_str().into());
        }
        let (former, now) = (self.former().await?, self.engine.now());
        let Some(ban) = known.ban.as_ref().filter(|ban| self.is_own(ban) && ban.runs_at(now)) else {
            return Ok(self.undone_or_changed(former.as_ref()).into());
        };
        let span = Span { starts_at: None, ends_at: ban.ends_at };
        let before = former.filter(|former| is_replaced_by(former, Some(ban)));
        match before.filter(|before| before.ends_at.is_none_or(|at| at > now)) {
            None => self.execute(Lift { who: self.who(), scheduled: false, only: Some(span) }, UNDONE).await,
            Some(before) => {
                let reason = self.open(before.reason.as_deref()).await?.and_then(|text| Reason::parse(&text).ok());
                let note = self.open(before.note.as_deref()).await?.and_then(|text| Note::parse(&text).ok());
                let length = before.ends_at.map_or(Length::Permanent, Length::Until);
                let (who, term) = (self.who(), Term { starts_at: None, length });
                self.execute(ban::Ban { who, term, reason, note, over: Over::This(span) }, UNDONE).await
            }
        }
    }

    /// What became of a ban that is not there as the operation imposed it.
    fn undone_or_changed(&self, former: Option<&Ban>) -> &'static str {
        let Some(former) = former.filter(|former| self.is_own(former)) else { return CHANGED };
        let by = self.operation.undo_actor.as_ref().map(ToString::to_string);
        match &former.end {
            Some(end) if end.ending == Ending::Expired => Would::Unchanged.as_str(),
            // An attempt that was cut short took it back.
            Some(end) if Some(&end.by) == by.as_ref() && end.at >= self.operation.begun_at => UNDONE,
            Some(_) => CHANGED,
            None => Would::Unchanged.as_str(),
        }
    }
}

/// Whether a ban ended because that other one took its place.
fn is_replaced_by(former: &Ban, by: Option<&Ban>) -> bool {
    let replaced = former.end.as_ref().filter(|end| end.ending == Ending::Replaced);
    replaced.is_some_and(|end| by.is_some_and(|by| by.imposed_position == end.position))
}

/// How a result tells a refusal.
fn refused(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Deactivated => Would::Deactivated.as_str(),
        Refusal::NotRegistered => Would::NotRegistered.as_str(),
        Refusal::BanChanged => CHANGED,
        Refusal::BanEndsTooEarly => "refused:ban-ends-too-early",
        Refusal::ErasureWaits => "refused:erasure-waits",
        _ => "refused",
    }
}
