//! The export of a person's data as a stream.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Call;
use super::past::{recorded, replay, who};
use super::problem::{Answer, Problem};
use crate::audit::as_of::Past;
use crate::audit::export::{Error, Export};
use crate::audit::replays::ExportPlace;
use crate::engine::{self, Engine};

/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 8;

/// `GET /users/{id}/export`: a ZIP of JSON.
pub(super) async fn export(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = who(call)?;
    let place = call.replays.export(&call.app.id).map_err(|_| engine::Error::Busy)?;
    let subject = replay(call, async move |past: Past<'_>, app| past.subject(&app, &who).await).await?;
    recorded(call, subject).await?;
    let (engine, app, now) = (Arc::clone(call.engine), call.app.id.clone(), call.engine.now());
    let begun = place.run({
        let engine = engine.clone();
        async move || Export::begin(Past::of(&engine).await?, &app, subject, now).await
    });
    let export = begun.await.map_err(|_| engine::Error::Busy)?.map_err(|error| Problem::unavailable(&error))?;
    let (out, chunks) = mpsc::channel(PIECES_MAX);
    actix_web::rt::spawn(async move {
        if let Err(reason) = write(engine, &place, export, &out).await {
            tracing::warn!(reason, "an export broke off");
            // So that the reader does not take what it got for whole.
            let _ = out.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
        }
    });
    Ok(Answer::stream("application/zip", chunks))
}

/// Makes the pieces one by one, each when it is the app's turn. A slow reader holds no thread between them.
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
