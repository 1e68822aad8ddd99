//! Traces to a collector of OpenTelemetry: OTLP over HTTP, as protobuf, with the settings of its specification
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`).
//!
//! A span that has ended waits in a queue for the thread of the exporter; it is dropped where that is full. So a collector
//! that is slow or gone costs spans and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;
use ureq::Agent;
use ureq::tls::TlsConfig;

use super::TRACES;

/// How long a clean stop waits until what is in the queue is sent.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// How long a collector has for its answer, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);
/// How much of its answer is read.
const ANSWER_MAX: u64 = 64 * 1024;
/// Where traces are sent to; without any of them nothing is exported.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The name of the span of a query.
const QUERY: &str = "query";
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// A setting of the environment, where it is there and not empty.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Sends what the spans of traces tell.
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// The one that the environment asks for.
    ///
    /// # Errors
    /// Its settings cannot be used.
    pub(super) fn from_environment() -> Result<Option<Self>, String> {
        if !ENDPOINTS.into_iter().any(|name| set(name).is_some()) || set("OTEL_SDK_DISABLED").is_some_and(is_true) {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_http().with_http_client(Client::new()).build();
        let exporter = exporter.map_err(|error| format!("traces cannot be exported: {error}"))?;
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if set("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("rollcall");
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        Ok(Some(Self(provider)))
    }

    /// Listens to the spans of traces and to nothing else: lines of the log may say more than a collector is to know. A query is
    /// told within a request, a command or a task alone: those of the service's own rounds would each be a trace.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("rollcall"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(
                dynamic_filter_fn(|of, context: &Context<'_, S>| {
                    is_for_traces(of) && (of.name() != QUERY || context.lookup_current().is_some())
                })
                .with_callsite_filter(|of| match is_for_traces(of) {
                    true if of.name() == QUERY => Interest::sometimes(),
                    true => Interest::always(),
                    false => Interest::never(),
                })
                .with_max_level_hint(LevelFilter::INFO),
            )
    }
}

fn is_for_traces(of: &Metadata<'_>) -> bool {
    of.is_span() && of.target() == TRACES
}

fn is_true(value: String) -> bool {
    value.eq_ignore_ascii_case("true")
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_MAX) {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Makes a span part of the trace that a caller names. Its `tracestate` is left behind: it may hold anything.
pub(super) fn continue_trace(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let context = TraceContextPropagator::new().extract(&TraceParent(headers));
    if context.span().span_context().is_valid()
        && let Err(error) = span.set_parent(context)
    {
        tracing::debug!(%error, "a trace is not continued");
    }
}

/// Gives a span that has begun another name.
pub(super) fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// The value of `traceparent` for whoever is called from within a span; `None`: no trace is exported.
pub(super) fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    context.is_valid().then(|| format!("00-{trace}-{span}-{flags:02x}"))
}

struct TraceParent<'h>(&'h HeaderMap);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).filter(|_| key == "traceparent")?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// The HTTP client of webhooks, on the thread of the exporter.
#[derive(Debug)]
struct Client {
    agent: Agent,
    is_failing: AtomicBool,
}

impl Client {
    fn new() -> Self {
        let milliseconds = TIMEOUTS.into_iter().find_map(|name| set(name)?.parse().ok());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(milliseconds.map_or(EXCHANGE_MAX, Duration::from_millis)))
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build())
            .build();
        Self { agent: config.new_agent(), is_failing: AtomicBool::new(false) }
    }

    fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, mut body) = self.agent.run(request.map(|body| body.to_vec()))?.into_parts();
        let body = body.with_config().limit(ANSWER_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.exchange(request);
        let trouble = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        if self.is_failing.swap(trouble.is_some(), Ordering::Relaxed) != trouble.is_some() {
            match &trouble {
                Some(trouble) => tracing::warn!(trouble, "the collector of traces does not take spans; they are lost"),
                None => tracing::info!("the collector of traces takes spans again"),
            }
        }
        Ok(answer?)
    }
}
