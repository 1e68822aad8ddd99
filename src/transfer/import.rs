//! Brings the records of a file in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::AppId;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::apply::Outcome;
use super::checkpoint::{self, Checkpoint, Report};
use super::handle::{Handled, Handler, Numbered, received, reported};
use super::order::Order;
use super::source;
use super::{Error, Foreign, Format, Kind, OnConflict};
use crate::engine::{self, Caller, Engine};
use crate::tasks;

pub use super::checkpoint::Counts;

/// Records under way at the same time.
const AT_ONCE_MAX: usize = 128;
/// Records that are read ahead.
const READ_AHEAD: usize = 1_024;
/// How often it is stored how far the import is: what lies between is looked at again after a crash.
const STORED_EVERY: Duration = Duration::from_secs(1);

/// What is imported, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the records are about.
    pub kind: Kind,
    /// The file.
    pub file: PathBuf,
    /// How it is written; `None`: by its name.
    pub format: Option<Format>,
    /// Whose export it is; `None`: records of ours.
    pub from: Option<Foreign>,
    /// What happens to records about something that is there already.
    pub on_conflict: OnConflict,
    /// Where refused records are written.
    pub report: PathBuf,
    /// Whether every record is only checked.
    pub dry_run: bool,
    /// Whether what an earlier import of the file has left is thrown away.
    pub restart: bool,
}

impl Options {
    fn asked(&self, app: &AppId) -> String {
        format!("{app} {:?} {:?} {:?} {:?}", self.kind, self.format, self.from, self.on_conflict)
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Records of this run and of those it goes on from.
    pub counts: Counts,
    /// Bytes of the file that were read, and all.
    pub bytes: (u64, u64),
}

/// Imports a file. `progress` is told how far it is, at least once a second while records are done.
///
/// # Errors
/// A file is not readable or writable, or the service cannot take commands. What is done is kept, and the same call goes on
/// from there.
pub async fn run(
    engine: &Engine,
    app: &AppId,
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Counts, Error> {
    if engine.app(app.as_str()).is_none() {
        return Err(Error::NoSuchApp(app.to_string()));
    }
    let mut checkpoint = begin(app, options)?;
    let mut report = Report::open(&options.report, checkpoint.report_bytes)?;
    let all = std::fs::metadata(&options.file).map_err(Error::file(&options.file))?.len();
    let read = Arc::new(AtomicU64::new(0));
    let (reading, records) = read_ahead(options, checkpoint.counts.records(), read.clone());

    let caller = Caller::internal(app.clone(), Actor::Operator);
    let Options { kind, from, on_conflict, dry_run, .. } = *options;
    let handler = Handler {
        engine,
        caller: &caller,
        kind,
        from,
        on_conflict,
        dry_run,
        import: checkpoint.import,
        order: Order::default(),
    };
    let mut applied = std::pin::pin!(received(records).map(|record| handler.handle(record)).buffered(AT_ONCE_MAX));
    let mut stored_at = Instant::now();
    let mut failed = None;
    while let Some(next) = applied.next().await {
        // In the order of the file: everything before a failure is done, what comes after it is not counted.
        match next {
            Ok(next) => settle(&mut checkpoint.counts, &mut report, next)?,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        if stored_at.elapsed() >= STORED_EVERY {
            if !options.dry_run {
                report.save(&mut checkpoint)?;
            }
            progress(Progress { counts: checkpoint.counts, bytes: (read.load(Ordering::Relaxed), all) });
            stored_at = Instant::now();
        }
    }
    if failed.is_none() {
        failed = reading.await.map_err(|error| engine::Error::Unavailable(error.to_string()))?.err();
    }
    progress(Progress { counts: checkpoint.counts, bytes: (read.load(Ordering::Relaxed), all) });
    if let Some(error) = failed {
        if !options.dry_run {
            report.save(&mut checkpoint)?;
        }
        return Err(error);
    }
    report.finish()?;
    Ok(checkpoint.counts)
}

/// Where it begins: at the start, or where the same import was interrupted.
fn begin(app: &AppId, options: &Options) -> Result<Checkpoint, Error> {
    let (asked, file) = (options.asked(app), checkpoint::identity(&options.file)?);
    let left = if options.restart || options.dry_run { None } else { checkpoint::read(&options.report)? };
    match left {
        Some(left) if left.file != file => Err(Error::OtherImport { reason: "with other content" }),
        Some(left) if left.asked != asked => Err(Error::OtherImport { reason: "with other options" }),
        Some(left) => Ok(left),
        None => Ok(Checkpoint { import: Uuid::new_v4(), asked, file, counts: Counts::default(), report_bytes: 0 }),
    }
}

type Reading = tasks::Started<Result<(), Error>>;

/// Reads the file on a thread of its own; the first `skipped` records are done.
fn read_ahead(options: &Options, skipped: u64, read: Arc<AtomicU64>) -> (Reading, mpsc::Receiver<Numbered>) {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let (path, form) = (options.file.clone(), (options.format, options.from));
    let reading = tasks::spawn_blocking(move || {
        let mut number = 0;
        source::read_all(&path, form, read, &mut |found| {
            number += 1;
            // Nobody receives any more where a record has failed.
            number <= skipped || sender.blocking_send((number, found)).is_ok()
        })
    });
    (reading, receiver)
}

fn settle(counts: &mut Counts, report: &mut Report, handled: Handled) -> Result<(), Error> {
    counts.add(&handled.outcome);
    match (handled.outcome, handled.refused) {
        (Outcome::Refused(_, problem), Some(record)) => report.add(&reported(handled.number, record, &problem)),
        (Outcome::Done | Outcome::Skipped | Outcome::Refused(..), _) => Ok(()),
    }
}
