//! Everything the service holds about one person, for the person (GDPR, Articles 15 and 20): a ZIP of JSON that is
//! written while it is read, so that it takes the same memory however long the history is.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use rollcall_projections::PAGE_MAX;
use rollcall_schemas::ids::{AppId, SubjectRef};
use serde::Serialize;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::as_of::{self, Happened, Past, Range, Told};

/// The format, named in `manifest.json`.
pub const FORMAT: &str = "rollcall.export/1";
/// The JSON Schema of every file, which stands in the ZIP as `schema.json`.
pub const SCHEMA: &str = include_str!("../../schemas/api/export.schema.json");

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was to be exported could not be read.
    #[error(transparent)]
    Past(#[from] as_of::Error),
    /// Whoever reads it has gone away.
    #[error("the export could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// The ZIP.
    #[error("the export could not be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A value has no JSON form.
    #[error("the export could not be written: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Manifest<'m> {
    format: &'static str,
    app: &'m AppId,
    subject: SubjectRef,
    made_at: DateTime<Utc>,
    /// The newest event of the log that counts.
    position: u64,
    files: [&'static str; 4],
}

/// What was written and not handed on yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Makes the export of a subject and hands it to `send` piece by piece.
///
/// # Errors
/// Something could not be read or written; what was sent by then is no ZIP.
pub async fn export(
    past: Past<'_>,
    app: &AppId,
    subject: SubjectRef,
    made_at: DateTime<Utc>,
    send: impl AsyncFn(Vec<u8>) -> std::io::Result<()>,
) -> Result<(), Error> {
    let written = Written::default();
    let mut zip = ZipWriter::new_stream(written.clone());
    let options = SimpleFileOptions::default();
    let now = past.newest().await?;
    let files = ["schema.json", "user.json", "friends.json", "history.jsonl"];
    let manifest = Manifest { format: FORMAT, app, subject, made_at, position: now.position, files };
    zip.start_file("manifest.json", options)?;
    serde_json::to_writer_pretty(&mut zip, &manifest)?;
    zip.start_file("schema.json", options)?;
    zip.write_all(SCHEMA.as_bytes())?;
    zip.start_file("user.json", options)?;
    serde_json::to_writer_pretty(&mut zip, &as_of::user_at(past, app, subject, now).await?)?;
    zip.start_file("friends.json", options)?;
    serde_json::to_writer_pretty(&mut zip, &as_of::friends_at(past, app, subject, now).await?)?;
    zip.start_file("history.jsonl", options)?;
    let mut after = 0;
    loop {
        let range = Range { after, until: now.position, limit: PAGE_MAX };
        let page = as_of::history(past, app, subject, range, true).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        for event in page {
            serde_json::to_writer(&mut zip, &of_one(event, subject))?;
            zip.write_all(b"\n")?;
        }
        let piece = std::mem::take(&mut *written.bytes());
        send(piece).await?;
    }
    zip.finish()?;
    let piece = std::mem::take(&mut *written.bytes());
    Ok(send(piece).await?)
}

/// An event without what it tells of other people.
fn of_one(mut event: Happened, subject: SubjectRef) -> Happened {
    for field in event.personal.values_mut().filter(|field| field.of != subject) {
        if matches!(field.told, Told::Value(_)) {
            field.told = Told::Present(true);
        }
    }
    event
}
