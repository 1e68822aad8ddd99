//! The export of a person's data.

use super::Call;
use super::past::{read_of_all, replay, who};
use super::problem::{Answer, Problem};
use crate::audit::as_of::Past;
use crate::engine;
use crate::http::export::{MEDIA_TYPE, begin, listed};

/// `GET /users/{id}/export`: a ZIP of JSON.
pub(super) async fn export(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = who(call)?;
    let place = call.replays.export(&call.app.id).map_err(|_| engine::Error::Busy)?;
    let subjects = replay(call, async move |past: Past<'_>, app| past.subjects(&app, &who).await).await?;
    let mut others = vec![];
    if call.app.settings.record_reads {
        for subject in &subjects {
            others.extend(listed(call.engine, *subject).await?);
        }
    }
    call.engine.record_read(&call.caller, || read_of_all(&subjects, others.into_iter())).await?;
    let pieces = begin(call.engine, place, call.app.id.clone(), subjects).await?;
    Ok(Answer::stream(MEDIA_TYPE, pieces))
}
