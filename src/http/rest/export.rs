//! The export of a person's data.

use super::Call;
use super::past::{FIELDS, replay, who};
use super::problem::{Answer, Problem};
use crate::audit::as_of::Past;
use crate::engine;
use crate::http::export::{MEDIA_TYPE, begin, reads, with_own};

/// `GET /users/{id}/export`: a ZIP of JSON.
pub(super) async fn export(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = who(call)?;
    let place = call.replays.export(&call.app.id).map_err(|_| engine::Error::Busy)?;
    let subjects = replay(call, async move |past: Past<'_>, app| past.subjects(&app, &who).await).await?;
    let subjects = with_own(call.engine, subjects).await?;
    if call.app.settings.record_reads {
        let reads = reads(call.engine, &subjects, &FIELDS).await?;
        call.engine.record_read(&call.caller, || reads).await?;
    }
    let pieces = begin(call.engine, place, call.app.id.clone(), subjects).await?;
    Ok(Answer::stream(MEDIA_TYPE, pieces))
}
