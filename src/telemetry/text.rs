//! Lines of the log as text, in the form that `tracing-subscriber` gives them, with the request they are about.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::request::RequestContext;

/// What makes a terminal write dim, and as before (ECMA-48, SGR).
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Writes an event.
pub(super) struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let (dim, reset) = if line.has_ansi_escapes() { (DIM, RESET) } else { ("", "") };
        let colour = if line.has_ansi_escapes() { colour(*metadata.level()) } else { "" };
        line.write_str(dim)?;
        SystemTime.format_time(&mut line)?;
        write!(line, "{reset} {colour}{:>5}{reset} ", metadata.level())?;
        let mut is_about = false;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
            write!(line, "{}{{{fields}}}:", span.name())?;
            is_about = true;
        }
        is_about |= RequestContext::with_current(|request| write_request(&mut line, request)).transpose()?.is_some();
        write!(line, "{}{dim}{}:{reset} ", if is_about { " " } else { "" }, metadata.target())?;
        context.format_fields(line.by_ref(), event)?;
        line.write_str("\n")
    }
}

fn write_request(line: &mut Writer<'_>, request: &RequestContext) -> fmt::Result {
    let mut before = "request{";
    request.write_fields(|name, value| write!(line, "{}{name}={value:?}", std::mem::replace(&mut before, " ")))?;
    line.write_str("}:")
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tracing::Span;
    use tracing_subscriber::layer::SubscriberExt as _;
    use uuid::Uuid;

    use super::super::lines::Lines;
    use super::*;

    /// The lines that are written meanwhile, without their times.
    fn said(speak: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines.clone()).event_format(Line);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
        lines.text().lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn a_line_tells_the_task_and_the_request_that_it_is_about() {
        let lines = said(|| {
            tracing::info!(lag = 3, "nothing around it");
            let request = RequestContext::new(Uuid::nil(), Some("GET"), Span::none());
            let _task = tracing::error_span!("task", name = "webhooks").entered();
            request.within(|| tracing::warn!("early"));
            request.routed("rest", "getUser");
            request.of_app(&"app-1".parse().unwrap());
            request.within(|| tracing::error!(error = "late", "a request failed"));
        });
        let target = module_path!();
        let id = Uuid::nil();
        assert_eq!(
            lines,
            [
                format!(" INFO {target}: nothing around it lag=3"),
                format!(r#" WARN task{{name="webhooks"}}:request{{id="{id}" method="GET"}}: {target}: early"#),
                format!(
                    r#"ERROR task{{name="webhooks"}}:request{{id="{id}" method="GET" face="rest" route="getUser" app="app-1"}}: {target}: a request failed error="late""#
                ),
            ]
        );
    }

    #[test]
    fn colours_are_for_a_terminal() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().with_ansi(true).with_writer(lines.clone()).event_format(Line);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || tracing::warn!("full"));
        assert!(lines.text().contains("\u{1b}[33m WARN\u{1b}[0m"), "{:?}", lines.text());
    }
}
