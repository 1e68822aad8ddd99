//! Brings the records of a file in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use rollcall_projections::user_directory;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::AppId;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::apply::{Applying, Outcome};
use super::checkpoint::{self, Checkpoint, Report};
use super::foreign::Converted;
use super::record::Record;
use super::source::{self, Found};
use super::{Error, Foreign, Format, Kind, OnConflict};
use crate::domain::values::UserId;
use crate::engine::{self, Caller, Engine};

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

/// A record by its number, or what is there instead.
type Numbered = (u64, Found);

/// What became of a record; the record itself where it was refused.
struct Applied {
    number: u64,
    outcome: Outcome,
    refused: Option<Found>,
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
    let import = checkpoint.import;
    let apply = async |numbered: Numbered| apply(engine, &caller, options, import, numbered).await;
    let mut applied = std::pin::pin!(received(records).map(apply).buffered(AT_ONCE_MAX));
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

type Reading = tokio::task::JoinHandle<Result<(), Error>>;

/// Reads the file on a thread of its own; the first `skipped` records are done.
fn read_ahead(options: &Options, skipped: u64, read: Arc<AtomicU64>) -> (Reading, mpsc::Receiver<Numbered>) {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let (path, form) = (options.file.clone(), (options.format, options.from));
    let reading = tokio::task::spawn_blocking(move || {
        let mut number = 0;
        source::read_all(&path, form, read, &mut |found| {
            number += 1;
            // Nobody receives any more where a record has failed.
            number <= skipped || sender.blocking_send((number, found)).is_ok()
        })
    });
    (reading, receiver)
}

fn received(records: mpsc::Receiver<Numbered>) -> impl stream::Stream<Item = Numbered> {
    stream::unfold(records, async |mut records| records.recv().await.map(|record| (record, records)))
}

async fn apply(
    engine: &Engine,
    caller: &Caller,
    options: &Options,
    import: Uuid,
    (number, found): Numbered,
) -> Result<Applied, Error> {
    let refused = |problem: String, found| Applied { number, outcome: Outcome::Refused(problem), refused: Some(found) };
    let fields = match found {
        Ok(fields) => fields,
        Err(unread) => return Ok(refused(unread.problem.clone(), Err(unread))),
    };
    let fields = match options.from.map(|from| from.convert(&fields)) {
        None => fields,
        Some(Converted::User(fields)) => fields,
        Some(Converted::Other) => return Ok(Applied { number, outcome: Outcome::Skipped, refused: None }),
        Some(Converted::Refused(problem)) => return Ok(refused(problem.into(), Ok(fields))),
    };
    let record = match Record::parse(options.kind, fields.clone()) {
        Ok(record) => record,
        Err(problem) => return Ok(refused(problem, Ok(fields))),
    };
    let outcome = if options.dry_run {
        would(engine, &caller.app, options.on_conflict, &record).await?
    } else {
        let key = (import, number);
        Applying { engine, caller, on_conflict: options.on_conflict, key }.apply(record).await?
    };
    let repeated: Option<Map<String, Value>> = matches!(outcome, Outcome::Refused(_)).then_some(fields);
    Ok(Applied { number, outcome, refused: repeated.map(Ok) })
}

/// What a record would come to, as far as its form and the directory of users tell.
async fn would(engine: &Engine, app: &AppId, on_conflict: OnConflict, record: &Record) -> Result<Outcome, Error> {
    let Record::User { who, .. } = record else { return Ok(Outcome::Done) };
    let known = directory_entry(engine, app, who).await?;
    Ok(match (known, on_conflict) {
        (Some(user), _) if user.deactivated => Outcome::Refused("the user is deactivated".into()),
        (Some(user), OnConflict::Skip) if user.is_active() => Outcome::Skipped,
        (Some(user), OnConflict::Fail) if user.is_active() => Outcome::Refused("the user is registered already".into()),
        (Some(_) | None, _) => Outcome::Done,
    })
}

async fn directory_entry(engine: &Engine, app: &AppId, who: &UserId) -> Result<Option<user_directory::User>, Error> {
    Ok(user_directory::by_tag(engine.read(), app, engine.tag(app, who)?).await?)
}

fn settle(counts: &mut Counts, report: &mut Report, applied: Applied) -> Result<(), Error> {
    match applied.outcome {
        Outcome::Done => counts.done += 1,
        Outcome::Skipped => counts.skipped += 1,
        Outcome::Refused(problem) => {
            counts.refused += 1;
            match applied.refused {
                Some(Ok(fields)) => report.add(applied.number, fields, &problem)?,
                Some(Err(unread)) => report.add_unread(applied.number, unread)?,
                None => {}
            }
        }
    }
    Ok(())
}
