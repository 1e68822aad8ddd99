//! The export of a person's data as a stream.

use std::io;
use std::sync::Arc;

use rollcall_projections::{Order, PAGE_MAX, allowlists, blocklists, friend_graph};
use rollcall_schemas::ids::SubjectRef;
use tokio::sync::mpsc;

use super::Call;
use super::past::{read_of_all, replay, who};
use super::problem::{Answer, Problem};
use crate::audit::as_of::Past;
use crate::audit::export::{Error, Export};
use crate::audit::replays::ExportPlace;
use crate::engine::{self, Engine};

/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 8;

/// The people whose userIds are in an export because the person blocked, allowed or befriended them.
async fn listed(call: &Call<'_>, subject: SubjectRef) -> Result<Vec<SubjectRef>, Problem> {
    let (read, mut listed) = (call.engine.read(), vec![]);
    if !call.app.settings.record_reads {
        return Ok(listed);
    }
    let mut cursor = None;
    loop {
        let page = blocklists::page(read, subject, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.sequence);
        listed.extend(page.iter().map(|entry| entry.target));
    }
    let mut cursor = None;
    loop {
        let page = allowlists::page(read, subject, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.sequence);
        listed.extend(page.iter().map(|entry| entry.target));
    }
    let mut cursor = None;
    loop {
        let page = friend_graph::page(read, subject, cursor, PAGE_MAX, Order::OldestFirst).await?;
        let Some(last) = page.last() else { return Ok(listed) };
        cursor = Some(last.befriended_position);
        listed.extend(page.iter().map(|friend| friend.friend));
    }
}

/// `GET /users/{id}/export`: a ZIP of JSON.
pub(super) async fn export(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = who(call)?;
    let place = call.replays.export(&call.app.id).map_err(|_| engine::Error::Busy)?;
    let subjects = replay(call, async move |past: Past<'_>, app| past.subjects(&app, &who).await).await?;
    let mut others = vec![];
    for subject in &subjects {
        others.extend(listed(call, *subject).await?);
    }
    call.engine.record_read(&call.caller, || read_of_all(&subjects, others.into_iter())).await?;
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
