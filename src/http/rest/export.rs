//! The export of a person's data as a stream.

use std::io;
use std::sync::Arc;

use rollcall_projections::{Order, PAGE_MAX, allowlists, blocklists, friend_graph};
use rollcall_schemas::ids::SubjectRef;
use tokio::sync::mpsc;

use super::Call;
use super::past::{named, read_of};
use super::problem::{Answer, Problem};
use crate::audit::as_of::Past;
use crate::audit::export::export as write_export;

/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 8;

/// Everybody whose userId an export tells because the person listed them: blocked, allowed or befriended.
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
    let subject = named(call, Past::of(call.engine).await?).await?;
    let others = listed(call, subject).await?;
    call.engine.record_read(&call.caller, || read_of(subject, others.into_iter())).await?;
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
