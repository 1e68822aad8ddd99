//! Who was told that an erasure is done (GDPR, Article 19): each acknowledgement is an event, and a report that names all
//! who acknowledged replaces the one before.

use chrono::{DateTime, Utc};
use rollcall_projections::{erasure_ledger, recipients};
use rollcall_schemas::ids::{AppId, ErasureId, SubjectRef};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, erasure};

use super::{Error, record};
use crate::audit::report::Recipient;
use crate::audit::report::issue::{Issued, issue};
use crate::audit::tree::Keeper;
use crate::domain::erasure::Step;
use crate::engine::{self, Engine, journal};

/// Most events of one erasure.
const EVENTS_MAX: usize = 1_000;

/// How often a report is made again because another one was issued meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// Who is to be told of the erasure of a subject, and has not acknowledged it.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn recipients(engine: &Engine, subject: SubjectRef) -> Result<Vec<Recipient>, Error> {
    let mut names: Vec<String> =
        recipients::of(engine.read(), subject).await?.into_iter().map(|recipient| recipient.name).collect();
    names.sort();
    names.dedup();
    Ok(names.into_iter().map(|name| Recipient { name, acknowledged_at: None }).collect())
}

/// Records that a recipient was told of an erasure and acknowledged it, and a report that says so; harmless when repeated.
///
/// # Errors
/// A part is unavailable; then nothing is recorded, or it may not be known.
pub async fn acknowledged(
    engine: &Engine,
    keeper: &Keeper,
    app: &AppId,
    erasure: ErasureId,
    recipient: &str,
) -> Result<(), Error> {
    let Some(erasure) = erasure_ledger::by_id(engine.read(), app, erasure).await? else { return Ok(()) };
    for _ in 0..ATTEMPTS_MAX {
        let mut told = recipients(engine, erasure.subject).await?;
        for raw in engine.log().read_stream(&Stream::Erasure(erasure.erasure).to_string(), 0, EVENTS_MAX).await? {
            let recorded = journal::decode(&raw)?;
            if let Event::Erasure(erasure::Event::Notified(e)) = recorded.event {
                if e.recipient.0 == recipient {
                    return Ok(());
                }
                acknowledge(&mut told, &e.recipient.0, recorded.recorded_at);
            }
        }
        let now = engine.now();
        acknowledge(&mut told, recipient, now);
        let issued = issue(keeper, engine.vault().as_ref(), erasure.erasure, now, told).await?;
        let Issued { report, sha256, envelope } = issued;
        let (number, status) = (report.number, report.status);
        let step = Step::Notify { recipient: recipient.to_owned(), number, status, sha256, envelope };
        record(engine, &erasure, step, vec![]).await?;
    }
    Err(engine::Error::Busy.into())
}

/// Notes when a recipient acknowledged it.
fn acknowledge(told: &mut Vec<Recipient>, name: &str, at: DateTime<Utc>) {
    match told.iter_mut().find(|recipient| recipient.name == name) {
        Some(recipient) => recipient.acknowledged_at = Some(at),
        None => told.push(Recipient { name: name.to_owned(), acknowledged_at: Some(at) }),
    }
}
