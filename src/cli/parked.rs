//! `rollcall parked`: streams with an event that a read model could not apply.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use rollcall_projections::store::{ParkedKey, Retried, SkippedEvent};
use rollcall_projections::{ALL, Projection};
use serde::Serialize;

use super::{Data, Failure, runtime};
use crate::engine::parked;
use crate::out::say;
use crate::wiring::DataDir;

/// Parked streams that are retried one after the other, read together.
const PAGE: u32 = 500;
/// Characters that the reason for skipping may have.
const REASON_MAX: usize = 500;

#[derive(Subcommand)]
pub(super) enum Task {
    /// List the parked streams, the oldest first; no name, text or other personal value is shown
    List {
        /// List the events that read models skip because of `resolve` instead
        #[arg(long)]
        skipped: bool,
        /// Most rows to print
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Go on behind this place, which the page before names: POSITION:MODEL
        #[arg(long)]
        after: Option<Cursor>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Apply parked events again, each stream in order, for example after an upgrade; exit 1 if some remain parked. Where
    /// later events of other streams may matter, `rollcall rebuild MODEL` applies everything in the order of the log
    Retry {
        /// Name of a read model, or `all`
        model: String,
        /// A stream, as `list` names it; without one, every parked stream
        stream: Option<String>,
        #[command(flatten)]
        data: Data,
    },
    /// Have a read model skip the parked events of a stream, now and whenever it is built anew: what they say is missing
    /// in its answers. Events of the stream that come later are applied
    Resolve {
        /// Name of a read model, or `all`
        model: String,
        /// The stream, as `list` names it
        stream: String,
        /// Why; it is kept in the clear, so name no person in it
        #[arg(long, value_parser = reason)]
        reason: String,
        #[command(flatten)]
        data: Data,
    },
    /// Take `resolve` back: the read model applies the events of the stream again when it is built anew
    Unresolve {
        /// Name of a read model, or `all`
        model: String,
        /// The stream, as `list --skipped` names it
        stream: String,
        #[command(flatten)]
        data: Data,
    },
}

/// Where a page of a list ended.
#[derive(Debug, Clone)]
pub(super) struct Cursor(u64, String);

impl FromStr for Cursor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(position, model)| Some((position.parse().ok()?, model)));
        let (position, model) = parts.ok_or("expected POSITION:MODEL, as the end of the page before says")?;
        Ok(Self(position, model.into()))
    }
}

fn reason(text: &str) -> Result<String, String> {
    let length = text.trim().chars().count();
    let fits = (1..=REASON_MAX).contains(&length) && !text.chars().any(char::is_control);
    fits.then(|| text.trim().to_owned())
        .ok_or_else(|| format!("a reason has 1 to {REASON_MAX} characters, in one line"))
}

pub(super) fn run(task: Task) -> Result<ExitCode, Failure> {
    match task {
        Task::List { skipped, limit, after, json, data } => {
            let Cursor(position, model) = after.unwrap_or(Cursor(0, String::new()));
            let data = data.open()?;
            runtime()?.block_on(async {
                let after = (position, model.as_str());
                let rows = if skipped {
                    let found = data.read.skipped_after(after, limit).await?;
                    found.into_iter().map(Row::skipped).collect()
                } else {
                    let found = data.read.parked_after(after, limit).await?;
                    found.into_iter().map(Row::parked).collect()
                };
                print(named(&data, rows).await?, limit, json)
            })
        }
        Task::Retry { model, stream, data } => {
            let models = models(&model)?;
            let data = data.open()?;
            runtime()?.block_on(retry(&data, &models, stream.as_deref()))
        }
        Task::Resolve { model, stream, reason, data } => {
            let models = models(&model)?;
            let data = data.open()?;
            runtime()?.block_on(async {
                let mut found = false;
                for model in models {
                    let events = data.read.resolve_parked(model.name(), &stream, &reason).await?;
                    if events > 0 {
                        say!("{} skips {events} events of {stream}: {reason}", model.name());
                        found = true;
                    }
                }
                if found { Ok(ExitCode::SUCCESS) } else { Err(not_parked(&model, &stream)) }
            })
        }
        Task::Unresolve { model, stream, data } => {
            let models = models(&model)?;
            let data = data.open()?;
            runtime()?.block_on(async {
                let mut found = false;
                for model in models {
                    let name = model.name();
                    let events = data.read.stop_skipping(name, &stream).await?;
                    if events > 0 {
                        say!("{name} applies {events} events of {stream} again once `rollcall rebuild {name}` has run");
                        found = true;
                    }
                }
                if found {
                    return Ok(ExitCode::SUCCESS);
                }
                Err(format!("{model} skips no event of {stream}; `rollcall parked list --skipped` shows them").into())
            })
        }
    }
}

fn models(name: &str) -> Result<Vec<&'static dyn Projection>, Failure> {
    let found: Vec<_> = ALL.iter().copied().filter(|model| name == "all" || model.name() == name).collect();
    if found.is_empty() {
        let names: Vec<_> = ALL.iter().map(|model| model.name()).collect();
        return Err(format!("there is no read model {name:?}; there are: all, {}", names.join(", ")).into());
    }
    Ok(found)
}

fn not_parked(model: &str, stream: &str) -> Failure {
    format!("the stream {stream} is not parked in {model}; `rollcall parked list` shows what is").into()
}

/// Applies the parked events of these read models again, of one stream or of all.
async fn retry(data: &DataDir, models: &[&'static dyn Projection], stream: Option<&str>) -> Result<ExitCode, Failure> {
    let (mut after, mut tried, mut remain) = ((0, String::new()), BTreeSet::new(), 0);
    loop {
        let page = data.read.parked_after((after.0, &after.1), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = (last.position, last.model.clone());
        for key in page.iter().filter(|key| stream.is_none_or(|stream| key.stream == stream)) {
            let Some(model) = models.iter().find(|model| model.name() == key.model) else { continue };
            // A stream that got further is in the list again, at a later place.
            if !tried.insert((key.model.clone(), key.stream.clone())) {
                continue;
            }
            let Retried { applied, parked } =
                parked::retry(&data.log, &data.vault, &data.read, *model, &key.stream).await?;
            remain += u64::from(parked > 0);
            say!("{}\t{}\tapplied {applied}\tparked {parked}", key.model, key.stream);
        }
    }
    match (tried.len(), stream) {
        (0, Some(stream)) => Err(format!("the stream {stream} is not parked; `rollcall parked list` shows what is").into()),
        (0, None) => {
            say!("no stream is parked");
            Ok(ExitCode::SUCCESS)
        }
        _ if remain == 0 => {
            say!("every event is applied");
            // Nodes load these two read models into memory at their start.
            if models.iter().any(|model| matches!(model.name(), "apps" | "deactivated_users")) {
                say!("if `apps` or `deactivated_users` is among them, restart the nodes that run");
            }
            Ok(ExitCode::SUCCESS)
        }
        (tried, _) => Err(format!(
            "{remain} of {tried} streams are still parked: `rollcall parked list` says why; a version that can apply the \
             events ends it, or `rollcall parked resolve`"
        )
        .into()),
    }
}

/// What is listed of a parked stream, or of a skipped event.
#[derive(Serialize)]
struct Row {
    model: String,
    stream: String,
    kind: String,
    position: u64,
    event: String,
    reason: String,
    since: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<u64>,
}

#[derive(Serialize)]
struct Page {
    rows: Vec<Row>,
    next: Option<String>,
}

fn kind(stream: &str) -> String {
    stream.split('-').next().unwrap_or_default().to_owned()
}

impl Row {
    fn parked(key: ParkedKey) -> Self {
        let ParkedKey { model, stream, position, reason, first_at, held_back, .. } = key;
        let (kind, event) = (kind(&stream), String::new());
        Self { model, stream, kind, position, event, reason, since: first_at, held_back: Some(held_back) }
    }

    fn skipped(event: SkippedEvent) -> Self {
        let SkippedEvent { model, stream, position, reason, skipped_at, .. } = event;
        let (kind, event) = (kind(&stream), String::new());
        Self { model, stream, kind, position, event, reason, since: skipped_at, held_back: None }
    }
}

/// Names the event of each row, as the log has it.
async fn named(data: &DataDir, mut rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
    for row in &mut rows {
        let events = data.log.read_all(row.position.saturating_sub(1), 1).await?;
        row.event = events.first().map_or_else(|| "(not in the log)".into(), |event| event.name.to_string());
    }
    Ok(rows)
}

fn print(rows: Vec<Row>, limit: u32, json: bool) -> Result<ExitCode, Failure> {
    let full = rows.len() >= limit as usize;
    let next = rows.last().filter(|_| full).map(|row| format!("{}:{}", row.position, row.model));
    if json {
        say!("{}", serde_json::to_string(&Page { rows, next })?);
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        say!("none");
    } else {
        say!(
            "{:<18}  {:>9}  {:<26}  {:<20}  {:>6}  {:<48}  REASON",
            "MODEL",
            "POSITION",
            "EVENT",
            "SINCE",
            "BEHIND",
            "STREAM"
        );
    }
    for Row { model, stream, position, event, reason, since, held_back, .. } in &rows {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let behind = held_back.map_or_else(|| "-".into(), |count| count.to_string());
        say!("{model:<18}  {position:>9}  {event:<26}  {since:<20}  {behind:>6}  {stream:<48}  {reason}");
    }
    if let Some(next) = next {
        say!("there may be more: --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reason_is_one_line_and_not_empty() {
        assert_eq!(reason(" the export was wrong ").unwrap(), "the export was wrong");
        for bad in ["", "  ", "two\nlines", &"x".repeat(501)] {
            assert!(reason(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_says() {
        let Cursor(position, model) = "12:user_directory".parse().unwrap();
        assert_eq!((position, model.as_str()), (12, "user_directory"));
        for bad in ["", "12", "x:user_directory", ":user_directory"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
