//! What is told of a query: a span in the trace that it belongs to, at the level `debug` a line of the log, and how long it took to
//! whoever counts. None of them holds a parameter or a row. Where nobody listens, each costs a comparison.

use std::time::{Duration, Instant};

use tracing::field::Empty;
use tracing::{Level, Span};

use super::Error;
use crate::Query;

/// The target of spans for traces: the exporter of the service listens to it, and no line is written for it.
const TRACES: &str = "rollcall::traces";
/// The target of the line that tells each query.
const LINES: &str = "rollcall::queries";

/// Is told of every query how long it took. It runs on the thread that asked, and must not wait.
pub type Timed = fn(&Query, Duration);

/// A query that runs.
pub(super) struct Observed {
    query: Query,
    timed: Option<Timed>,
    /// Nothing runs within it, so that nobody enters it: it lasts from here to the end.
    span: Span,
    began: Option<Instant>,
}

impl Observed {
    /// It begins.
    pub(super) fn begin(query: Query, timed: Option<Timed>) -> Self {
        let name = || {
            let (read_model, query) = query.place();
            format!("{read_model}.{query}")
        };
        // The fields of a span that nobody listens to are not evaluated.
        let span = tracing::info_span!(
            target: TRACES, "query", otel.name = name(), otel.status_code = Empty, rollcall.read_model = query.place().0,
        );
        let is_timed = timed.is_some() || tracing::enabled!(target: LINES, Level::DEBUG);
        Self { query, timed, span, began: is_timed.then(Instant::now) }
    }

    /// It has ended with this answer, which is handed on.
    pub(super) fn end(self, answer: Result<(), Error>) -> Result<(), Error> {
        if answer.is_err() {
            self.span.record("otel.status_code", "ERROR");
        }
        if let Some(began) = self.began {
            let took = began.elapsed();
            if let Some(timed) = self.timed {
                timed(&self.query, took);
            }
            if tracing::enabled!(target: LINES, Level::DEBUG) {
                let (read_model, query) = self.query.place();
                let took_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
                tracing::debug!(target: LINES, read_model, query, took_ms, failed = answer.is_err(), "queried");
            }
        }
        answer
    }
}
