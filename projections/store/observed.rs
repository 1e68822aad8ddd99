//! What is told of a query: a span in the trace that it belongs to, and at the level `debug` a line of the log. Neither holds a
//! parameter or a row. Where nobody listens, both cost a comparison.

use std::time::Instant;

use tracing::field::Empty;
use tracing::{Level, Span};

use super::Error;
use crate::Query;

/// The target of spans for traces: the exporter of the service listens to it, and no line is written for it.
const TRACES: &str = "rollcall::traces";
/// The target of the line that tells each query.
const LINES: &str = "rollcall::queries";

/// A query that runs.
pub(super) struct Observed {
    query: Query,
    /// Nothing runs within it, so that nobody enters it: it lasts from here to the end.
    span: Span,
    began: Option<Instant>,
}

impl Observed {
    /// It begins.
    pub(super) fn begin(query: Query) -> Self {
        let name = || {
            let (read_model, query) = query.place();
            format!("{read_model}.{query}")
        };
        // The fields of a span that nobody listens to are not evaluated.
        let span = tracing::info_span!(
            target: TRACES, "query", otel.name = name(), otel.status_code = Empty, rollcall.read_model = query.place().0,
        );
        Self { query, span, began: tracing::enabled!(target: LINES, Level::DEBUG).then(Instant::now) }
    }

    /// It has ended with this answer, which is handed on.
    pub(super) fn end<T>(self, answer: Result<T, Error>) -> Result<T, Error> {
        if answer.is_err() {
            self.span.record("otel.status_code", "ERROR");
        }
        if let Some(began) = self.began {
            let (read_model, query) = self.query.place();
            let took_ms = (began.elapsed().as_secs_f64() * 1e6).round() / 1e3;
            tracing::debug!(target: LINES, read_model, query, took_ms, failed = answer.is_err(), "queried");
        }
        answer
    }
}
