//! `rollcall import` and `rollcall export`.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use rollcall_schemas::ids::AppId;

use super::{Data, Failure, runtime};
use crate::engine::Engine;
use crate::out::{say, tell};
use crate::transfer::import::{self, Progress};
use crate::transfer::{Foreign, Format, Kind, OnConflict, export};

/// What `rollcall import` answers where it is done and records were refused.
const SOME_REFUSED: u8 = 3;

#[derive(Args)]
pub(super) struct ImportOptions {
    /// What the records of the file are about
    #[arg(value_enum)]
    kind: Kind,
    /// The file
    file: PathBuf,
    /// The app; not needed where there is only one
    #[arg(long)]
    app: Option<AppId>,
    /// How the file is written [default: by its name, .csv or else JSON Lines]
    #[arg(long, value_enum, conflicts_with = "from")]
    format: Option<Format>,
    /// The file is an export of users from another service
    #[arg(long, value_enum)]
    from: Option<Foreign>,
    /// What happens to a record about something that is there already
    #[arg(long, value_enum, default_value_t)]
    on_conflict: OnConflict,
    /// Only check every record, and report what would be refused
    #[arg(long)]
    dry_run: bool,
    /// Where records that are refused are written, with the reason; corrected, the file can be imported [default: FILE.refused.jsonl]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// Begin anew, although an import of the file was interrupted
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    data: Data,
}

#[derive(Args)]
pub(super) struct ExportOptions {
    /// What is written
    #[arg(value_enum)]
    kind: Kind,
    /// The app; not needed where there is only one
    #[arg(long)]
    app: Option<AppId>,
    /// The file that is written; only its owner may read it [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

pub(super) fn import(options: ImportOptions) -> Result<ExitCode, Failure> {
    if options.from.is_some() && options.kind != Kind::Users {
        return Err("an export of another service holds users; leave --from out, or import users".into());
    }
    let report = options.refused.unwrap_or_else(|| {
        let mut name = options.file.clone().into_os_string();
        name.push(".refused.jsonl");
        name.into()
    });
    let import = import::Options {
        kind: options.kind,
        file: options.file,
        format: options.format,
        from: options.from,
        on_conflict: options.on_conflict,
        report: report.clone(),
        dry_run: options.dry_run,
        restart: options.restart,
    };
    let bar = bar();
    let progress = |progress: Progress| show(&bar, progress);
    let counts = with_engine(&options.data, async |engine| {
        let app = the_app(engine, options.app)?;
        Ok(import::run(engine, &app, &import, &progress).await?)
    })?;
    bar.finish_and_clear();
    let verbs = if options.dry_run {
        ("would be imported", "would be left as they are", "would be refused")
    } else {
        ("imported", "left as they are", "refused")
    };
    say!("{} records {}, {} {}, {} {}", counts.done, verbs.0, counts.skipped, verbs.1, counts.refused, verbs.2);
    if counts.refused == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    say!("what was refused is in {}; correct it and import it", report.display());
    Ok(ExitCode::from(SOME_REFUSED))
}

pub(super) fn export(options: ExportOptions) -> Result<ExitCode, Failure> {
    let mut output: Box<dyn Write> = match &options.output {
        Some(path) => {
            let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
            Box::new(BufWriter::new(file.map_err(|error| format!("{}: {error}", path.display()))?))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let records = with_engine(&options.data, async |engine| {
        let app = the_app(engine, options.app)?;
        Ok(export::run(engine, &app, options.kind, &mut output).await?)
    })?;
    tell!("{records} records");
    Ok(ExitCode::SUCCESS)
}

fn with_engine<T>(data: &Data, task: impl AsyncFnOnce(&Engine) -> Result<T, Failure>) -> Result<T, Failure> {
    let data = data.open()?;
    let runtime = runtime()?;
    let service = runtime.block_on(data.start())?;
    let result = runtime.block_on(task(&service.engine));
    service.stop();
    result
}

/// The app that is named, or the only one.
fn the_app(engine: &Engine, named: Option<AppId>) -> Result<AppId, Failure> {
    match (named, engine.apps().as_slice()) {
        (Some(app), _) => Ok(app),
        (None, [only]) => Ok(only.id.clone()),
        (None, []) => Err("there is no app yet; create one with `rollcall apps create`".into()),
        (None, _) => Err("there are several apps; name one with --app".into()),
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, progress: Progress) {
    const EVERY: u64 = 100_000;
    let Progress { counts, bytes: (read, all) } = progress;
    let records = counts.records();
    let before = bar.position();
    bar.set_length(all);
    bar.set_position(read);
    let rate = f64::from(u32::try_from(records).unwrap_or(u32::MAX)) / bar.elapsed().as_secs_f64().max(0.001);
    let text = format!("{} records, {} refused, {rate:.0}/s", HumanCount(records), HumanCount(counts.refused));
    // Without a terminal, a line is printed from time to time instead of a bar.
    if bar.is_hidden() && read != before && (read == all || records.is_multiple_of(EVERY)) {
        tell!("{read} of {all} bytes, {text}, {} s left", bar.eta().as_secs());
    }
    bar.set_message(text);
}
