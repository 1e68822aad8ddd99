//! What becomes of one record, whether a file or a caller brings it.

use rollcall_projections::user_directory;
use rollcall_schemas::ids::AppId;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::apply::{Applying, Outcome, Why};
use super::foreign::Converted;
use super::order::Order;
use super::record::{NUMBER, PROBLEM, Record};
use super::source::{Found, NoRecord};
use super::{Error, Foreign, Kind, OnConflict};
use crate::domain::Refusal;
use crate::domain::values::UserId;
use crate::engine::{Caller, Engine};

/// A record by its number, from 1, or what is there instead.
pub(super) type Numbered = (u64, Found);

/// What became of a record; the record itself where it was refused.
pub(super) struct Handled {
    pub(super) number: u64,
    pub(super) outcome: Outcome,
    pub(super) refused: Option<Found>,
}

/// What is done with each record of an import.
pub(super) struct Handler<'h> {
    pub(super) engine: &'h Engine,
    pub(super) caller: &'h Caller,
    pub(super) kind: Kind,
    /// Whose export it comes from; `None`: records of ours.
    pub(super) from: Option<Foreign>,
    pub(super) on_conflict: OnConflict,
    /// Whether every record is only checked.
    pub(super) dry_run: bool,
    /// Which import: part of every command's idempotency key.
    pub(super) import: Uuid,
    pub(super) order: Order,
}

/// A record that is what it should be, and what it said.
struct Checked {
    number: u64,
    fields: Map<String, Value>,
    record: Record,
}

impl Handler<'_> {
    /// Checks a record and does what it asks for, after those about the same that were handed over before. When that is done, it
    /// is durable.
    ///
    /// # Errors
    /// The service cannot take it, again and again.
    pub(super) fn handle(&self, numbered: Numbered) -> impl Future<Output = Result<Handled, Error>> {
        let checked = self.check(numbered).map(|checked| (self.order.take(checked.record.about()), checked));
        async move {
            match checked {
                Ok((mut turn, checked)) => {
                    turn.begin().await;
                    self.apply(checked).await
                }
                Err(handled) => Ok(handled),
            }
        }
    }

    fn check(&self, (number, found): Numbered) -> Result<Checked, Handled> {
        let refused = |why, problem: String, found| Handled {
            number,
            outcome: Outcome::Refused(why, problem),
            refused: Some(found),
        };
        let fields = match found {
            Ok(fields) => fields,
            Err(unread) => return Err(refused(Why::NoRecord, unread.problem.clone(), Err(unread))),
        };
        let fields = match self.from.map(|from| from.convert(&fields)) {
            None => fields,
            Some(Converted::User(fields)) => fields,
            Some(Converted::Other) => return Err(Handled { number, outcome: Outcome::Skipped, refused: None }),
            Some(Converted::Refused(problem)) => return Err(refused(Why::Elsewhere, problem.into(), Ok(fields))),
        };
        match Record::parse(self.kind, fields.clone()) {
            Ok(record) => Ok(Checked { number, fields, record }),
            Err(problem) => Err(refused(Why::Invalid, problem, Ok(fields))),
        }
    }

    async fn apply(&self, Checked { number, fields, record }: Checked) -> Result<Handled, Error> {
        let outcome = if self.dry_run {
            self.would(&record).await?
        } else {
            let content = Value::Object(fields.clone()).to_string().into_bytes();
            let (engine, caller, on_conflict) = (self.engine, self.caller, self.on_conflict);
            Applying { engine, caller, on_conflict, key: (self.import, number), content }.apply(record).await?
        };
        let repeated: Option<Map<String, Value>> = matches!(outcome, Outcome::Refused(..)).then_some(fields);
        Ok(Handled { number, outcome, refused: repeated.map(Ok) })
    }

    /// What a record would come to, as far as its form and the directory of users tell.
    async fn would(&self, record: &Record) -> Result<Outcome, Error> {
        let Record::User { who, .. } = record else { return Ok(Outcome::Done) };
        let known = directory_entry(self.engine, &self.caller.app, who).await?;
        Ok(match (known, self.on_conflict) {
            (Some(user), _) if user.deactivated => {
                Outcome::Refused(Why::Rule(Refusal::Deactivated), "the user is deactivated".into())
            }
            (Some(user), OnConflict::Skip) if user.is_active() => Outcome::Skipped,
            (Some(user), OnConflict::Fail) if user.is_active() => {
                Outcome::Refused(Why::Exists, "the user is registered already".into())
            }
            (Some(_) | None, _) => Outcome::Done,
        })
    }
}

async fn directory_entry(engine: &Engine, app: &AppId, who: &UserId) -> Result<Option<user_directory::User>, Error> {
    Ok(user_directory::by_tag(engine.read(), app, engine.tag(app, who)?).await?)
}

/// A refused record as it is reported: what it said, its number, and the problem. Corrected, it can be imported.
pub(super) fn reported(number: u64, record: Found, problem: &str) -> Map<String, Value> {
    let mut line = match record {
        Ok(fields) => fields,
        Err(NoRecord { text, .. }) => Map::from_iter([("_text".to_owned(), text.into())]),
    };
    line.insert(NUMBER.into(), number.into());
    line.insert(PROBLEM.into(), problem.into());
    line
}

/// The records that a reader sends.
pub(super) fn received(records: mpsc::Receiver<Numbered>) -> impl futures_util::Stream<Item = Numbered> {
    futures_util::stream::unfold(records, async |mut records| records.recv().await.map(|record| (record, records)))
}
