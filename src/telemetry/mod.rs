//! What a process says about itself while it runs: lines on standard error, as text or as JSON, and with the feature `otel`
//! traces to a collector of OpenTelemetry (docs/decisions/0044-logs-and-traces.md).
//!
//! Every line says what it is about: the task, which has a span of the highest level, and the request, which travels with the task that
//! answers it (`telemetry/request.rs`). Spans for traces have the target `rollcall::traces`, which only the exporter listens to:
//! without one they cost a comparison.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

mod json;
#[cfg(test)]
mod lines;
#[cfg(feature = "otel")]
mod otel;
pub(crate) mod request;
mod text;
pub(crate) mod traces;

/// The target of spans that are made for traces. They never appear in lines. The read store names it as well.
pub(crate) const TRACES: &str = "rollcall::traces";
/// The target of the line that tells each answered request, at the level `debug`.
pub(crate) const ACCESS: &str = "rollcall::access";

/// Libraries whose log messages are dropped: requests of strangers that are not HTTP are no errors of the service, and
/// messages about calls of HashiCorp Vault could hold the root of the keys.
const SILENT: &[&str] = &["actix_http", "rustify", "vaultrs"];

rollcall_schemas::words! {
    /// How a line of the log is written.
    Format {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// Ends the export of traces when it is dropped, after a moment in which what waits is sent.
#[must_use]
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    _exporter: Option<otel::Exporter>,
}

/// Lets the process speak from now on. `ROLLCALL_LOG` says which lines are wanted; traces are exported where
/// `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` says where to, and `exports_traces`.
///
/// # Errors
/// The settings of the exporter cannot be used.
pub(crate) fn start(format: Format, exports_traces: bool) -> Result<Telemetry, String> {
    let wanted = EnvFilter::try_from_env("ROLLCALL_LOG").unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let heard = filter_fn(|of| {
        let target = of.target();
        target != TRACES && !SILENT.contains(&target.split("::").next().unwrap_or_default())
    });
    let lines = match format {
        // Colours are for a terminal; in a file they only get in the way.
        Format::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .event_format(text::Line)
            .boxed(),
        Format::Json => fmt::layer()
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .fmt_fields(json::Members)
            .event_format(json::Line)
            .boxed(),
    };
    let lines = tracing_subscriber::registry().with(lines.with_filter(wanted.and(heard)));
    #[cfg(feature = "otel")]
    {
        let exporter = if exports_traces { otel::Exporter::from_environment()? } else { None };
        lines.with(exporter.as_ref().map(otel::Exporter::layer)).init();
        Ok(Telemetry { _exporter: exporter })
    }
    #[cfg(not(feature = "otel"))]
    {
        let _ = exports_traces;
        lines.init();
        Ok(Telemetry {})
    }
}
