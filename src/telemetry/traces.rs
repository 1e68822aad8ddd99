//! Spans that are made for traces. Their attributes are those of the semantic conventions of OpenTelemetry where there are
//! some; none holds what a caller wrote, but for the id of its trace.

use actix_web::http::header::HeaderMap;
use tracing::Span;
use tracing::field::Empty;
use tracing::instrument::{Instrument as _, Instrumented};

use super::TRACES;

/// Which endpoint answered, for the span of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    /// The face it is of.
    pub(crate) face: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its path below the face, with its parameters in braces.
    pub(crate) template: &'static str,
}

/// The span of a request over HTTP, in the trace that its caller names in `traceparent`, if any.
pub(crate) fn request(method: &'static str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TRACES, "request", otel.kind = "server", otel.status_code = Empty,
        http.request.method = method, http.route = Empty, http.response.status_code = Empty, rollcall.face = Empty,
        rollcall.app = Empty,
    );
    #[cfg(feature = "otel")]
    super::otel::continue_trace(&span, headers);
    #[cfg(not(feature = "otel"))]
    let _ = headers;
    span
}

/// The span of a request within a WebSocket.
pub(crate) fn socket_request(face: &'static str, method: &'static str, app: &str) -> Span {
    tracing::info_span!(
        target: TRACES, "request", otel.kind = "server", otel.name = method, otel.status_code = Empty,
        http.response.status_code = Empty, rollcall.face = face, rollcall.app = app,
    )
}

/// Notes what became of a request.
pub(crate) fn answered(span: &Span, endpoint: Option<Endpoint>, status: u16) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(Endpoint { face, name, template }) = endpoint {
        let below = match face {
            "rest" => "/api/v1/",
            "client" => "/client/v1/",
            _ => "",
        };
        rename(span, format!("{face} {name}"));
        span.record("http.route", format!("{below}{template}"));
        span.record("rollcall.face", face);
    }
}

/// Gives a span that has begun another name.
fn rename(span: &Span, name: String) {
    #[cfg(feature = "otel")]
    super::otel::rename(span, name);
    #[cfg(not(feature = "otel"))]
    let _ = (span, name);
}

/// A number as traces have them.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A command within a span of its own.
pub(crate) fn command<F: Future>(name: &'static str, run: F) -> Instrumented<F> {
    run.instrument(tracing::info_span!(target: TRACES, "command", otel.name = name))
}

/// The span of one transaction of so many events into the read models.
pub(crate) fn apply(events: usize) -> Span {
    tracing::info_span!(target: TRACES, "apply", rollcall.events = number(events))
}

/// The span of a step of so many erasures.
pub(crate) fn erase(erasures: usize) -> Span {
    tracing::info_span!(target: TRACES, "erase", rollcall.erasures = number(erasures))
}

/// The span of one exchange with the receiver of a webhook, in a trace of its own.
pub(crate) fn delivery(webhook: uuid::Uuid) -> Span {
    tracing::info_span!(
        target: TRACES, parent: None, "deliver", otel.kind = "client", otel.status_code = Empty,
        http.request.method = "POST", http.response.status_code = Empty, rollcall.webhook = %webhook,
    )
}

/// Notes what became of a delivery.
pub(crate) fn delivered(span: &Span, status: Option<u16>, is_acknowledged: bool) {
    if let Some(status) = status {
        span.record("http.response.status_code", i64::from(status));
    }
    if !is_acknowledged {
        span.record("otel.status_code", "ERROR");
    }
}

/// The value of the header `traceparent` that lets whoever is called continue the trace of a span; `None`: it is not exported.
pub(crate) fn traceparent(span: &Span) -> Option<String> {
    #[cfg(feature = "otel")]
    return super::otel::traceparent(span);
    #[cfg(not(feature = "otel"))]
    {
        let _ = span;
        None
    }
}
