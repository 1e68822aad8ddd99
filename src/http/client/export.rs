//! Everything that is held about the user (GDPR, Articles 15 and 20), as a ZIP of JSON.

use super::Call;
use super::me::Nothing;
use super::problem::{Answer, Problem};
use crate::engine;
use crate::engine::reads::fields_of;
use crate::http::export::{MEDIA_TYPE, begin, listed};

/// What an export tells of the user.
const FIELDS: [&str; 7] = ["user_id", "name", "portrait", "profile", "tags", "remarks", "reason"];

/// `me.export`.
pub(super) async fn export(call: &Call<'_>, _: Nothing) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let place = call.replays.export(&call.app.id).map_err(|_| engine::Error::Busy)?;
    let subjects = call.engine.find_every(&call.app.id, &call.me).await?;
    if subjects.first() != Some(&call.subject) {
        return Err(Problem::NoSuchUser);
    }
    if call.app.settings.record_reads {
        let mut others = vec![];
        for subject in &subjects {
            others.extend(listed(call.engine, *subject).await?);
        }
        let own = subjects.iter().map(|subject| fields_of(*subject, FIELDS));
        let reads = own.chain(others.into_iter().map(|other| fields_of(other, ["user_id"]))).collect();
        call.engine.record_read(&call.caller, || reads).await?;
    }
    let pieces = begin(call.engine, place, call.app.id.clone(), subjects).await?;
    Ok(Answer::stream(MEDIA_TYPE, pieces))
}
