//! The export of a person's data (GDPR, Articles 15 and 20) as a stream: a ZIP of JSON, for whichever face is asked.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rollcall_projections::{Order, PAGE_MAX, allowlists, blocklists, friend_graph};
use rollcall_schemas::ids::{AppId, SubjectRef};
use tokio::sync::mpsc;

use crate::audit::as_of::Past;
use crate::audit::export::{Error, Export};
use crate::audit::replays::ExportPlace;
use crate::engine::beside::Own;
use crate::engine::reads::{Read, fields_of};
use crate::engine::{self, Engine};
use crate::tasks;

pub(super) const MEDIA_TYPE: &str = "application/zip";

const USER_ID: &str = "user_id";
const LAST_SEEN: &str = "last_seen_at";

/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 8;

/// The people whose userIds are in an export because its person blocked, allowed or befriended them.
///
/// # Errors
/// The read models are unavailable.
async fn listed(engine: &Engine, person: SubjectRef) -> Result<Vec<SubjectRef>, engine::Error> {
    let (read, mut listed) = (engine.read(), vec![]);
    let mut cursor = None;
    loop {
        let page = blocklists::page(read, person, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.sequence);
        listed.extend(page.iter().map(|entry| entry.target));
    }
    let mut cursor = None;
    loop {
        let page = allowlists::page(read, person, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.sequence);
        listed.extend(page.iter().map(|entry| entry.target));
    }
    let mut cursor = None;
    loop {
        let page = friend_graph::page(read, person, cursor, PAGE_MAX, Order::OldestFirst).await?;
        let Some(last) = page.last() else { return Ok(listed) };
        cursor = Some(last.befriended_position);
        listed.extend(page.iter().map(|friend| friend.friend));
    }
}

/// The subjects of a person, each with what is kept of it beside the log.
///
/// # Errors
/// It cannot be read.
pub(super) async fn with_own(
    engine: &Engine,
    subjects: Vec<SubjectRef>,
) -> Result<Vec<(SubjectRef, Own)>, engine::Error> {
    let mut all = Vec::with_capacity(subjects.len());
    for subject in subjects {
        all.push((subject, engine.own_beside(subject).await?));
    }
    Ok(all)
}

/// What an export tells of people, to be recorded: `fields` of its subjects and when they were last seen, and the userIds of
/// those on their lists and of those whom they follow.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn reads(
    engine: &Engine,
    subjects: &[(SubjectRef, Own)],
    fields: &[&str],
) -> Result<Vec<Read>, engine::Error> {
    let mut others = BTreeSet::new();
    for (subject, own) in subjects {
        others.extend(listed(engine, *subject).await?);
        others.extend(own.follows.iter().map(|follows| follows.other));
    }
    let is_own = |other: &SubjectRef| subjects.iter().any(|(subject, _)| subject == other);
    others.retain(|other| !is_own(other));
    let own = subjects.iter().map(|(subject, _)| fields_of(*subject, fields.iter().copied().chain([LAST_SEEN])));
    Ok(own.chain(others.into_iter().map(|other| fields_of(other, [USER_ID]))).collect())
}

/// Begins the export of a person, who may have several subjects; answers with its pieces.
///
/// # Errors
/// It cannot begin: too much is replayed at the moment, or the log is unavailable.
pub(super) async fn begin(
    engine: &Arc<Engine>,
    place: ExportPlace,
    app: AppId,
    subjects: Vec<(SubjectRef, Own)>,
) -> Result<mpsc::Receiver<io::Result<Bytes>>, engine::Error> {
    let (engine, now) = (Arc::clone(engine), engine.now());
    let begun = place.run({
        let engine = engine.clone();
        async move || Export::begin(Past::of(&engine).await?, &app, subjects, now).await
    });
    let begun = begun.await.map_err(|_| engine::Error::Busy)?;
    let export = begun.map_err(|error| engine::Error::Unavailable(error.to_string()))?;
    let (out, pieces) = mpsc::channel(PIECES_MAX);
    tasks::spawn_local(async move {
        if let Err(reason) = Box::pin(write(engine, &place, export, &out)).await {
            tracing::warn!(reason, "an export broke off");
            // The error cuts the answer short, so that the client sees that the ZIP is not complete.
            let _ = out.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
        }
    });
    Ok(pieces)
}

/// Makes one piece after the other, each when it is the app's turn. No thread waits while the reader is slow.
async fn write(
    engine: Arc<Engine>,
    place: &ExportPlace,
    mut export: Export,
    out: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), String> {
    loop {
        let engine = engine.clone();
        let piece = place.run(async move || {
            let piece = Box::pin(export.next(Past::of(&engine).await?)).await?;
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
