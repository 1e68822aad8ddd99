//! One exchange with a receiver: a POST, and whether it was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use ureq::Agent;
use ureq::http::HeaderMap;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, DefaultConnector};

use super::address::Allowed;
use super::gather::Gathering;
use super::resolver::Vetting;

/// How much of an answer is read before its connection is closed instead of kept for the next delivery.
const ANSWER_READ_MAX: u64 = 4_096;
/// Connections that are kept open, in all and to one receiver.
const IDLE_MAX: usize = 128;
const IDLE_PER_HOST_MAX: usize = 16;

/// What is sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// Why a delivery was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the receiver answered; `None`: nothing.
    pub status: Option<u16>,
    /// In a few words of our own: never what the receiver wrote, which may hold personal data.
    pub reason: String,
    /// For how long the receiver wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Nothing was answered.
    pub(super) fn unanswered(reason: impl Into<String>) -> Self {
        Self { status: None, reason: reason.into(), retry_after: None }
    }

    /// Whether the receiver says that it is there no more.
    pub(super) fn is_gone(&self) -> bool {
        self.status == Some(410)
    }
}

/// The HTTP client of all deliveries. It follows no redirect and uses no proxy.
#[derive(Debug, Clone)]
pub(super) struct Client(Agent);

impl Client {
    pub(super) fn new(allowed: Allowed) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .max_idle_connections(IDLE_MAX)
            .max_idle_connections_per_host(IDLE_PER_HOST_MAX)
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let resolver = Vetting::new(allowed, DefaultResolver::default());
        Self(Agent::with_parts(config, DefaultConnector::default().chain(Gathering), resolver))
    }

    /// Sends it and waits for the whole answer, at most for `limit`. It blocks its thread.
    ///
    /// # Errors
    /// It was not acknowledged with 2xx in time.
    pub(super) fn post(&self, request: Request, limit: Duration) -> Result<u16, Failure> {
        let mut post = self.0.post(&request.url).config().timeout_global(Some(limit)).build();
        for (name, value) in request.headers {
            post = post.header(name, value);
        }
        let mut answer = post.send(request.body).map_err(|error| Failure::unanswered(reason(&error)))?;
        let status = answer.status();
        // A connection is kept for the next delivery only where its answer was read to its end.
        match answer.body_mut().with_config().limit(ANSWER_READ_MAX).read_to_vec() {
            Ok(_) | Err(ureq::Error::BodyExceedsLimit(_)) => {}
            Err(error) if status.is_success() => return Err(Failure::unanswered(reason(&error))),
            Err(_) => {}
        }
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let retry_after = retry_after(answer.headers());
        let reason = if status.is_redirection() { "a redirect is not followed" } else { "the answer is not 2xx" };
        Err(Failure { status: Some(status.as_u16()), reason: reason.into(), retry_after })
    }
}

/// What went wrong, without anything that the receiver said.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "there was no whole answer in time".into(),
        ureq::Error::HostNotFound => "its name has no address".into(),
        ureq::Error::ConnectionFailed => "no connection could be made".into(),
        ureq::Error::Io(error) => format!("the connection failed: {}", error.kind()),
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
            "TLS could not be agreed on, or its certificate is not valid".into()
        }
        ureq::Error::Other(refused) if refused.is::<super::address::Refused>() => refused.to_string(),
        ureq::Error::BadUri(_) => "its URL is not one".into(),
        _ => "it does not speak HTTP".into(),
    }
}

/// For how long a receiver wants to be left alone: in seconds, or until a time of its own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text("retry-after")?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let [until, now] = [Some(asked), text("date")].map(|time| DateTime::parse_from_rfc2822(time?).ok());
    (until? - now?).to_std().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_receiver_asks_for_time_in_seconds_or_by_its_own_clock() {
        let asked = |retry_after: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", retry_after.parse().unwrap());
            headers.insert("date", "Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap());
            super::retry_after(&headers)
        };
        assert_eq!(asked(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(asked("Wed, 21 Oct 2015 07:29:30 GMT"), Some(Duration::from_secs(90)));
        for not in ["", "-1", "soon", "Wed, 21 Oct 2015 07:27:00 GMT"] {
            assert_eq!(asked(not), None, "{not}");
        }
    }
}
