//! The export of a person's data as a stream.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Call;
use super::past::{named, recorded};
use super::problem::{Answer, Problem};
use crate::audit::as_of::Past;
use crate::audit::export::export as write_export;

/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 8;

/// `GET /users/{id}/export`: a ZIP of JSON.
pub(super) async fn export(call: &Call<'_>) -> Result<Answer, Problem> {
    let subject = named(call, Past::of(call.engine).await?).await?;
    recorded(call, subject).await?;
    let (out, chunks) = mpsc::channel(PIECES_MAX);
    let (engine, app, now) = (Arc::clone(call.engine), call.app.id.clone(), call.engine.now());
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let send = async |piece: Vec<u8>| {
            out.send(Ok(piece.into())).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        };
        let written = runtime.block_on(async {
            let past = Past::of(&engine).await.map_err(crate::audit::export::Error::Past)?;
            write_export(past, &app, subject, now, send).await
        });
        if let Err(error) = written {
            tracing::warn!(%error, "an export broke off");
            // So that the reader does not take what it got for whole.
            let _ = out.blocking_send(Err(io::ErrorKind::UnexpectedEof.into()));
        }
    });
    Ok(Answer::stream("application/zip", chunks))
}
