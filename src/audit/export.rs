//! Everything the service holds about one person, for the person (GDPR, Articles 15 and 20): a ZIP of JSON that is
//! written while it is read, so that it takes the same memory however long the history is.
//!
//! Where the log has several subjects of a userId, each has files of its own. The events of each are read once, page by
//! page: each page is written as history and applied to the read models that tell the user's state at the end. What is kept
//! beside the log was read before.

use std::collections::{HashSet, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use serde::Serialize;
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

use super::as_of::{self, Happened, Past, Told, UserReplay};
use crate::engine::beside::Own;
use crate::engine::journal;
use crate::eventlog::RawEvent;

mod withheld;

use withheld::{WITHHELD, Withheld};

/// The format, named in `manifest.json`.
pub const FORMAT: &str = "rollcall.export/2";
/// The JSON Schema of every file, which stands in the ZIP as `schema.json`.
pub const SCHEMA: &str = include_str!("../../schemas/api/export.schema.json");
/// The files beside `manifest.json`.
const FILES: [&str; 6] =
    ["about.html", "schema.json", "history.jsonl", "user.json", "friends.json", "connections.json"];
/// Those of them that are about one subject.
const PER_SUBJECT: [&str; 4] = ["history.jsonl", "user.json", "friends.json", "connections.json"];

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was to be exported could not be read.
    #[error(transparent)]
    Past(#[from] as_of::Error),
    /// It could not be written.
    #[error("the export could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// The ZIP.
    #[error("the export could not be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A value has no JSON form.
    #[error("the export could not be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The files about a further subject of the same userId: where a log has several, all of them are the person's.
#[derive(Debug, Clone, Serialize)]
struct Further {
    subject: SubjectRef,
    files: [String; 4],
    /// What is kept of it beside the log.
    #[serde(skip)]
    own: Own,
}

impl Further {
    /// `number`: from 2, for the userId names the first one.
    fn of((number, (subject, own)): (usize, (SubjectRef, Own))) -> Self {
        Self { subject, files: PER_SUBJECT.map(|file| format!("subject-{number}/{file}")), own }
    }
}

#[derive(Serialize)]
struct Manifest<'m> {
    format: &'static str,
    app: &'m AppId,
    subject: SubjectRef,
    made_at: DateTime<Utc>,
    /// The newest event of the log that counts.
    position: u64,
    files: [&'static str; 6],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    further_subjects: &'m [Further],
    withheld: &'static [Withheld],
}

/// What was written and not handed on yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes())
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

/// An export that is made piece by piece.
pub struct Export {
    app: AppId,
    subject: SubjectRef,
    /// The files about that subject.
    files: [String; 4],
    /// What is kept of it beside the log.
    own: Own,
    /// Further subjects, of which nothing is written yet.
    further: VecDeque<Further>,
    replay: UserReplay,
    written: Written,
    /// Absent once it is finished.
    zip: Option<ZipWriter<StreamWriter<Written>>>,
}

impl Export {
    /// Begins the export of a person: of all subjects of one userId, at least one, each with what is kept of it beside the log.
    ///
    /// # Errors
    /// There is no subject, or something could not be read or written.
    pub async fn begin(
        past: Past<'_>,
        app: &AppId,
        subjects: Vec<(SubjectRef, Own)>,
        made_at: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut subjects = subjects.into_iter();
        let (subject, own) = subjects.next().ok_or(as_of::Error::UnknownUser)?;
        let further: Vec<_> = (2..).zip(subjects).map(Further::of).collect();
        let (written, options, now) = (Written::default(), SimpleFileOptions::default(), past.newest().await?);
        let mut zip = ZipWriter::new_stream(written.clone());
        let (position, withheld) = (now.position, WITHHELD);
        let further_subjects = further.as_slice();
        let manifest =
            Manifest { format: FORMAT, app, subject, made_at, position, files: FILES, further_subjects, withheld };
        zip.start_file("manifest.json", options)?;
        zip.write_all(&serde_json::to_vec_pretty(&manifest)?)?;
        zip.start_file("about.html", options)?;
        zip.write_all(withheld::page(made_at).as_bytes())?;
        zip.start_file("schema.json", options)?;
        zip.write_all(SCHEMA.as_bytes())?;
        let files = PER_SUBJECT.map(str::to_owned);
        let [history, ..] = &files;
        zip.start_file(history.as_str(), options)?;
        let (replay, further) = (UserReplay::begin(subject, now)?, further.into());
        Ok(Self { app: app.clone(), subject, files, own, further, replay, written, zip: Some(zip) })
    }

    /// Makes the next piece of the ZIP; `None`: there is none any more. A piece is a page of the history, so that its
    /// length has a bound; the last one is what the history came to.
    ///
    /// # Errors
    /// Something could not be read or written; what was made by then is no ZIP.
    pub async fn next(&mut self, past: Past<'_>) -> Result<Option<Vec<u8>>, Error> {
        let Some(zip) = &mut self.zip else { return Ok(None) };
        let mut events = self.replay.apply(past).await?;
        let is_last = events.is_empty();
        let own = remove_withheld(&mut events, self.subject)?;
        for mut event in as_of::describe_events(past, &self.app, &events, true).await? {
            // What the person noted about others on a list of its own is the person's.
            if !own.contains(&event.position) {
                without_others(&mut event, self.subject);
            }
            zip.write_all(&serde_json::to_vec(&event)?)?;
            zip.write_all(b"\n")?;
        }
        if is_last {
            self.finish(past).await?;
        }
        Ok(Some(self.written.take()))
    }

    /// Writes what the history of the subject came to, and begins with the next subject or ends the ZIP.
    async fn finish(&mut self, past: Past<'_>) -> Result<(), Error> {
        let Some(mut zip) = self.zip.take() else { return Ok(()) };
        let options = SimpleFileOptions::default();
        let [_, user, friends, connections] = &self.files;
        zip.start_file(user.as_str(), options)?;
        zip.write_all(&serde_json::to_vec_pretty(&self.replay.user(past, &self.app).await?)?)?;
        zip.start_file(friends.as_str(), options)?;
        zip.write_all(&serde_json::to_vec_pretty(&self.replay.friends(past, &self.app).await?)?)?;
        zip.start_file(connections.as_str(), options)?;
        let own = as_of::connections(past, &self.app, self.subject, &self.own).await?;
        zip.write_all(&serde_json::to_vec_pretty(&own)?)?;
        let Some(Further { subject, files, own }) = self.further.pop_front() else {
            zip.finish()?;
            return Ok(());
        };
        let [history, ..] = &files;
        zip.start_file(history.as_str(), options)?;
        self.replay = UserReplay::begin(subject, past.newest().await?)?;
        (self.subject, self.files, self.own, self.zip) = (subject, files, own, Some(zip));
        Ok(())
    }
}

/// Leaves out the events that somebody else recorded about a list of their own; returns the positions of those about the
/// subject's own lists.
fn remove_withheld(events: &mut Vec<RawEvent>, subject: SubjectRef) -> Result<HashSet<u64>, as_of::Error> {
    let (mut shown, mut own) = (Vec::with_capacity(events.len()), HashSet::new());
    for raw in events.drain(..) {
        match withheld::owner(&journal::decode(&raw)?.event) {
            Some(owner) if owner != subject => continue,
            Some(_) => drop(own.insert(raw.position)),
            None => {}
        }
        shown.push(raw);
    }
    *events = shown;
    Ok(own)
}

/// An event that concerns two people, without what it tells of the other.
fn without_others(event: &mut Happened, subject: SubjectRef) {
    for field in event.personal.values_mut().filter(|field| field.of != subject) {
        if matches!(field.told, Told::Value(_)) {
            field.told = Told::Present(true);
        }
    }
}
