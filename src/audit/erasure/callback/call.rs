//! One call of an app's erasure callback: a form POST, signed in its query as the platform signs it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use chrono::{DateTime, Utc};
use form_urlencoded::Serializer;
use rollcall_projections::erasure_ledger::Erasure;
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::audit::outgoing;
use crate::engine::{App, Engine, Error};

/// How long an answer may take, the connection included.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The HTTP client. It follows no redirect: the form holds a userId, which is meant for the URL that the app has set.
pub(super) fn client() -> Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
    Agent::config_builder().timeout_global(Some(ANSWER_WAIT)).max_redirects(0).tls_config(tls).build().new_agent()
}

/// Sends the form; returns once the receiver has acknowledged it with a 2xx.
///
/// # Errors
/// The receiver did not answer, or answered anything but 2xx: a redirect is no acknowledgement.
pub(super) async fn send(client: &Agent, url: String, form: String) -> Result<(), String> {
    let client = client.clone();
    let post = move || {
        let request = client.post(url).content_type("application/x-www-form-urlencoded");
        let status = request.send(form).map_err(|error| error.to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status} instead of 2xx")) }
    };
    tokio::task::spawn_blocking(post).await.map_err(|error| error.to_string())?
}

/// The URL with what the platform signs a callback with.
pub(super) fn signed(app: &App, url: &str, now: DateTime<Utc>) -> String {
    let nonce = outgoing::nonce();
    let timestamp = now.timestamp_millis().to_string();
    let secret = app.secrets.last().map_or("", |(_, secret)| secret.as_str());
    let signature = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, [secret, &nonce, &timestamp].concat().as_bytes()));
    let query = Serializer::new(String::new())
        .append_pair("appKey", app.id.as_str())
        .append_pair("nonce", &nonce)
        .append_pair("timestamp", &timestamp)
        .append_pair("signTimestamp", &timestamp)
        .append_pair("signature", &signature)
        .finish();
    let between = if url.contains('?') { '&' } else { '?' };
    format!("{url}{between}{query}")
}

/// What the platform tells. The userId of a forgotten user is no longer known and stays empty.
///
/// # Errors
/// The read models or the vault are unavailable.
pub(super) async fn form(engine: &Engine, app: &App, erasure: &Erasure) -> Result<String, Error> {
    let user_id = engine.user_ids(&app.id, &[erasure.subject]).await?.into_iter().next().flatten();
    let time = erasure.finalised_at.unwrap_or(erasure.step_at).timestamp_millis().to_string();
    let form = Serializer::new(String::new())
        .append_pair("userId", user_id.as_deref().unwrap_or_default())
        .append_pair("operateId", &erasure.operation.0)
        .append_pair("type", "0")
        .append_pair("code", "0")
        .append_pair("time", &time)
        .finish();
    Ok(form)
}
