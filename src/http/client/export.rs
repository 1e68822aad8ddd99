//! Everything that is held about the user (GDPR, Articles 15 and 20), as a ZIP of JSON.

use std::io;
use std::sync::Arc;

use rollcall_projections::{Order, PAGE_MAX, allowlists, blocklists, friend_graph};
use rollcall_schemas::ids::SubjectRef;
use tokio::sync::mpsc;

use super::Call;
use super::me::Nothing;
use super::problem::{Answer, Problem};
use crate::audit::as_of::Past;
use crate::audit::export::{Error, Export};
use crate::audit::replays::ExportPlace;
use crate::engine::reads::fields_of;
use crate::engine::{self, Engine};

/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 8;
/// What an export tells of the user.
const FIELDS: [&str; 7] = ["user_id", "name", "portrait", "profile", "tags", "remarks", "reason"];

/// The people whose userIds are in the export because the user blocked, allowed or befriended them.
async fn listed(call: &Call<'_>) -> Result<Vec<SubjectRef>, Problem> {
    let (read, owner, mut listed) = (call.engine.read(), call.subject, vec![]);
    let mut cursor = None;
    loop {
        let page = blocklists::page(read, owner, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.sequence);
        listed.extend(page.iter().map(|entry| entry.target));
    }
    let mut cursor = None;
    loop {
        let page = allowlists::page(read, owner, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.sequence);
        listed.extend(page.iter().map(|entry| entry.target));
    }
    let mut cursor = None;
    loop {
        let page = friend_graph::page(read, owner, cursor, PAGE_MAX, Order::OldestFirst).await?;
        let Some(last) = page.last() else { return Ok(listed) };
        cursor = Some(last.befriended_position);
        listed.extend(page.iter().map(|friend| friend.friend));
    }
}

/// `me.export`.
pub(super) async fn export(call: &Call<'_>, _: Nothing) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let place = call.replays.export(&call.app.id).map_err(|_| engine::Error::Busy)?;
    let subjects = call.engine.find_every(&call.app.id, &call.me).await?;
    if subjects.first() != Some(&call.subject) {
        return Err(Problem::NoSuchUser);
    }
    if call.app.settings.record_reads {
        let others = listed(call).await?;
        let own = subjects.iter().map(|subject| fields_of(*subject, FIELDS));
        let reads = own.chain(others.into_iter().map(|other| fields_of(other, ["user_id"]))).collect();
        call.engine.record_read(&call.caller, || reads).await?;
    }
    let (engine, app, now) = (Arc::clone(call.engine), call.app.id.clone(), call.engine.now());
    let begun = place.run({
        let engine = engine.clone();
        async move || Export::begin(Past::of(&engine).await?, &app, &subjects, now).await
    });
    let export = begun.await.map_err(|_| engine::Error::Busy)?.map_err(|error| Problem::unavailable(&error))?;
    let (out, chunks) = mpsc::channel(PIECES_MAX);
    actix_web::rt::spawn(async move {
        if let Err(reason) = write(engine, &place, export, &out).await {
            tracing::warn!(reason, "an export broke off");
            // The error cuts the answer short, so that the client sees that the ZIP is not complete.
            let _ = out.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
        }
    });
    Ok(Answer::stream("application/zip", chunks))
}

/// Makes one piece after the other, each when it is the app's turn. No thread waits while the reader is slow.
async fn write(
    engine: Arc<Engine>,
    place: &ExportPlace,
    mut export: Export,
    out: &mpsc::Sender<io::Result<bytes::Bytes>>,
) -> Result<(), String> {
    loop {
        let engine = engine.clone();
        let piece = place.run(async move || {
            let piece = export.next(Past::of(&engine).await?).await?;
            Ok::<_, Error>((export, piece))
        });
        let next = tokio::select! {
            piece = piece => piece.map_err(|busy| busy.to_string())?,
            () = out.closed() => return Ok(()),
        };
        let (rest, piece) = next.map_err(|error| error.to_string())?;
        let Some(piece) = piece else { return Ok(()) };
        if out.send(Ok(piece.into())).await.is_err() {
            return Ok(());
        }
        export = rest;
    }
}
