//! Who was told that an erasure is done (GDPR, Article 19): each acknowledgement is an event, and a report that names all
//! who acknowledged replaces the one before.

use rollcall_projections::erasure_ledger;
use rollcall_schemas::ids::{AppId, ErasureId};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, erasure};

use super::{Error, record};
use crate::audit::report::Recipient;
use crate::audit::report::issue::{Issued, issue};
use crate::audit::tree::Keeper;
use crate::domain::erasure::Step;
use crate::engine::{Engine, journal};

/// Most events of one erasure.
const EVENTS_MAX: usize = 1_000;

/// Records that a recipient was told of an erasure and acknowledged it, and a report that says so; harmless when repeated.
/// Not to be called twice at the same time for one erasure.
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
    let mut told = Vec::new();
    for raw in engine.log().read_stream(&Stream::Erasure(erasure.erasure).to_string(), 0, EVENTS_MAX).await? {
        let recorded = journal::decode(&raw)?;
        if let Event::Erasure(erasure::Event::Notified(e)) = recorded.event {
            told.push(Recipient { name: e.recipient.0, acknowledged_at: Some(recorded.recorded_at) });
        }
    }
    if told.iter().any(|earlier| earlier.name == recipient) {
        return Ok(());
    }
    let now = engine.now();
    told.push(Recipient { name: recipient.to_owned(), acknowledged_at: Some(now) });
    let Issued { report, sha256, envelope } =
        issue(keeper, engine.vault().as_ref(), erasure.erasure, now, told).await?;
    let step = Step::Notify { recipient: recipient.to_owned(), status: report.status, sha256, envelope };
    record(engine, &erasure, step, vec![]).await?;
    Ok(())
}
