//! Lines of the log as JSON: one object a line, with a member for each field of the event, one for each span around it and one for
//! the request it is about.
//!
//! The fields of a span are written once, when they are recorded, as a list of members; a line takes that list as it is. The
//! formatter of `tracing-subscriber` would read them back from JSON with each field that is recorded later.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::request::RequestContext;

/// Writes fields as the members of an object, without its braces.
pub(super) struct Members;

impl<'w> FormatFields<'w> for Members {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut list = List { writer, is_first: true, written: Ok(()) };
        fields.record(&mut list);
        list.written
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &span::Record<'_>) -> fmt::Result {
        if fields.is_empty() {
            return Ok(());
        }
        if !current.fields.is_empty() {
            current.fields.push(',');
        }
        self.format_fields(current.as_writer(), fields)
    }
}

/// Writes an event.
pub(super) struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        line.write_str(r#"{"time":""#)?;
        SystemTime.format_time(&mut line)?;
        write!(line, r#"","level":"{}","target":"{}","#, metadata.level(), metadata.target())?;
        context.format_fields(line.by_ref(), event)?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let members = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
            write!(line, r#","{}":{{{members}}}"#, span.name())?;
        }
        RequestContext::with_current(|request| write_request(&mut line, request)).transpose()?;
        line.write_str("}\n")
    }
}

/// What is told of a request needs no escaping: it is made of words and UUIDs.
fn write_request(line: &mut Writer<'_>, request: &RequestContext) -> fmt::Result {
    let mut before = r#","request":{"#;
    request.write_fields(|name, value| write!(line, r#"{}"{name}":"{value}""#, std::mem::replace(&mut before, ",")))?;
    line.write_str("}")
}

struct List<'w> {
    writer: Writer<'w>,
    is_first: bool,
    written: fmt::Result,
}

impl List<'_> {
    fn member(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        self.written = self.written.and_then(|()| {
            write!(self.writer, r#"{comma}"{}":"#, field.name())?;
            write(&mut self.writer)
        });
    }

    fn text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            Escaped(writer).write_fmt(text)?;
            writer.write_char('"')
        });
    }

    /// A number or a truth, which JSON writes as Rust does.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.member(field, |writer| write!(writer, "{value}"));
    }
}

impl Visit for List<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() { self.bare(field, value) } else { self.text(field, format_args!("{value}")) }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.bare(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }
}

/// Writes text as it stands between the quotes of a JSON string.
struct Escaped<'w, W>(&'w mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = from.chars();
            match characters.next() {
                Some('\n') => self.0.write_str("\\n")?,
                Some(c @ ('"' | '\\')) => write!(self.0, "\\{c}")?,
                Some(c) => write!(self.0, "\\u{:04x}", u32::from(c))?,
                None => {}
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tracing::Span;
    use tracing_subscriber::layer::SubscriberExt as _;
    use uuid::Uuid;

    use super::super::lines::Lines;
    use super::*;

    /// The lines that are written meanwhile.
    fn said(speak: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).fmt_fields(Members).event_format(Line);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
        lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_is_an_object_with_what_was_recorded_of_its_spans() {
        use tracing::field::Empty;
        let said = said(|| {
            let task = tracing::error_span!("task", name = "webhooks").entered();
            let lane = tracing::error_span!("lane", id = %"7\"", of = Empty, app = Empty);
            lane.record("of", "rest");
            lane.record("app", "key");
            let request = RequestContext::new(Uuid::nil(), Some("GET"), Span::none());
            request.routed("rest", "getUser");
            request.of_app(&"key".parse().unwrap());
            lane.in_scope(|| {
                request.within(|| {
                    tracing::warn!(status = 503, took_ms = 1.5, is_last = true, error = ?"a\nb", "failed");
                });
            });
            drop(task);
            tracing::error_span!("bare", app = Empty).in_scope(|| tracing::info!("no field"));
        });
        assert_eq!(said.len(), 2);
        let mut first = said[0].clone();
        assert!(first.as_object_mut().unwrap().remove("time").unwrap().as_str().unwrap().ends_with('Z'));
        let expected = json!({
            "level": "WARN", "target": module_path!(), "message": "failed", "status": 503, "took_ms": 1.5, "is_last": true,
            "error": "\"a\\nb\"", "task": {"name": "webhooks"}, "lane": {"id": "7\"", "of": "rest", "app": "key"},
            "request": {"id": Uuid::nil(), "method": "GET", "face": "rest", "route": "getUser", "app": "key"},
        });
        assert_eq!(first, expected);
        assert_eq!((&said[1]["bare"], &said[1]["message"]), (&json!({}), &json!("no field")));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_line(text in any::<String>()) {
            let said = said(|| tracing::warn!(text = text.as_str(), error = %text, "it"));
            prop_assert_eq!(said.len(), 1);
            prop_assert_eq!((&said[0]["text"], &said[0]["error"]), (&json!(text), &json!(text)));
        }
    }
}
