//! Everything that is held about the user (GDPR, Articles 15 and 20), as a ZIP of JSON.

use super::Call;
use super::me::Nothing;
use super::problem::{Answer, Problem};
use crate::engine;
use crate::http::export::{MEDIA_TYPE, begin, reads, with_own};

/// What an export tells of the user.
const FIELDS: [&str; 8] = ["user_id", "name", "portrait", "profile", "tags", "remarks", "friend_groups", "reason"];

/// `me.export`.
pub(super) async fn export(call: &Call<'_>, _: Nothing) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let place = call.replays.export(&call.app.id).map_err(|_| engine::Error::Busy)?;
    let subjects = call.engine.find_every(&call.app.id, &call.me).await?;
    if subjects.first() != Some(&call.subject) {
        return Err(Problem::NoSuchUser);
    }
    let subjects = with_own(call.engine, subjects).await?;
    if call.app.settings.record_reads {
        let reads = reads(call.engine, &subjects, &FIELDS).await?;
        call.engine.record_read(&call.caller, || reads).await?;
    }
    let pieces = begin(call.engine, place, call.app.id.clone(), subjects).await?;
    Ok(Answer::stream(MEDIA_TYPE, pieces))
}
