//! What the log says of requests. Every line that is written while one is answered tells its id, method, face, endpoint and
//! app. A request that fails for a reason of the service, or is slow, has a line of its own, with a limit, so that a flood of
//! them fills no disk; any other one has it at the level `debug` of the target `rollcall::access`.
//!
//! Nothing that a caller chose is in them: no path, no query, no method of its own invention.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Method;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rollcall_schemas::ids::AppId;
use uuid::Uuid;

use super::served::Served;
use crate::telemetry::request::RequestContext;
use crate::telemetry::{ACCESS, traces};

/// Lines about failed or slow requests that may be written at once.
const LINES_AT_ONCE_MAX: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// And in a second after that: about 40 MB a day.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// The answer that a feature does not exist is no failure.
const NOT_IMPLEMENTED: u16 = 501;

/// A request over HTTP.
pub(super) fn of_http(request: &HttpRequest, id: Uuid) -> RequestContext {
    let method = known(request.method());
    RequestContext::new(id, Some(method), traces::request(method, request.headers()))
}

/// A request within a WebSocket.
pub(super) fn of_socket(id: Uuid, served: Served, app: &AppId) -> RequestContext {
    let (face, route) = (served.face, served.route());
    let context = RequestContext::new(id, None, traces::socket_request(face, route, app.as_str()));
    context.routed(face, route);
    context.of_app(app);
    context
}

/// Notes which endpoint the request that is being answered goes to.
pub(super) fn routed(served: Served) {
    RequestContext::with_current(|request| request.routed(served.face, served.route()));
}

/// Notes for which app it speaks, once its credentials have been looked at.
pub(super) fn of_app(app: &AppId) {
    RequestContext::with_current(|request| request.of_app(app));
}

/// The method, where it is one that HTTP knows.
fn known(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// How a request ended.
pub(super) struct Ended<'e> {
    pub(super) status: u16,
    pub(super) took: Duration,
    /// The endpoint; `None`: probes, documents and `/metrics`.
    pub(super) served: Option<Served>,
    /// Why it failed, where that is known.
    pub(super) cause: Option<&'e str>,
    /// Whether the log says already why requests like this one fail.
    pub(super) is_told: bool,
}

/// Writes the lines about whole requests.
pub(super) struct RequestLog {
    /// From when on a request is slow.
    slow_after: Duration,
    lines: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

impl RequestLog {
    pub(super) fn new(slow_after: Duration) -> Self {
        let quota = Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_AT_ONCE_MAX);
        Self { slow_after, lines: RateLimiter::direct(quota), left_out: AtomicU64::new(0) }
    }

    /// Says how a request ended, where that is to be said.
    pub(super) fn ended(&self, request: &RequestContext, ended: &Ended<'_>) {
        traces::answered(request.trace(), ended.served.and_then(|served| served.endpoint), ended.status);
        request.within(|| self.write(ended));
    }

    fn write(&self, ended: &Ended<'_>) {
        let Ended { status, took, served, cause, is_told } = *ended;
        let took_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        tracing::debug!(target: ACCESS, status, took_ms, "answered");
        // A probe that is answered "not ready" is told what it asks.
        let Some(served) = served else { return };
        let has_failed = status >= 500 && status != NOT_IMPLEMENTED && !is_told;
        if !has_failed && (served.may_wait || took <= self.slow_after) {
            return;
        }
        if self.lines.check().is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let left_out = Some(self.left_out.swap(0, Ordering::Relaxed)).filter(|count| *count > 0);
        match status {
            500 => tracing::error!(status, took_ms, error = cause, left_out, "a request failed"),
            _ if has_failed => {
                tracing::warn!(status, took_ms, error = cause, left_out, "a request failed")
            }
            _ => tracing::warn!(status, took_ms, left_out, "a request was slow"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_method_that_a_caller_invented_is_not_named() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"Ada").unwrap()), "other");
    }

    #[test]
    fn of_a_flood_of_failures_so_many_are_told_and_the_rest_is_counted() {
        let log = RequestLog::new(Duration::MAX);
        let request = RequestContext::new(Uuid::nil(), None, tracing::Span::none());
        let served = Some(Served::by("rest", None));
        let ended =
            |status| log.ended(&request, &Ended { status, took: Duration::ZERO, served, cause: None, is_told: false });
        (0..1_000).for_each(|_| ended(503));
        let left_out = log.left_out.load(Ordering::Relaxed);
        assert!((1..=950).contains(&left_out), "{left_out}");
        [200, 404, NOT_IMPLEMENTED].into_iter().for_each(ended);
        assert_eq!(log.left_out.load(Ordering::Relaxed), left_out);
    }
}
