//! Tells an app that an erasure is done, as the platform does: a form POST to the URL the app has set, signed in its query.
//! It is told again until it answers 2xx, also after a restart; that it did is an event, and a report that names it takes
//! the place of the one before (GDPR, Article 19).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use chrono::{DateTime, TimeDelta, Utc};
use form_urlencoded::Serializer;
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_schemas::ids::AppId;
use tokio_util::sync::CancellationToken;
use ureq::Agent;
use ureq::tls::TlsConfig;
use uuid::Uuid;

use super::{Error, record};
use crate::audit::report::Recipient;
use crate::audit::report::issue::{Issued, issue};
use crate::audit::tree::Keeper;
use crate::domain::erasure::Step;
use crate::engine::{self, App, Engine};

/// How often it is looked whether there is something to tell.
const EVERY: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How long is waited after a first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// How long is waited at most.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// What ended longer ago is not told any more.
const TOLD_WITHIN: TimeDelta = TimeDelta::days(7);
const TOGETHER_MAX: u32 = 50;

/// When an app that did not answer is asked again.
struct Wait {
    until: Instant,
    next: Duration,
}

/// Runs until `stop`.
pub async fn run(engine: Arc<Engine>, keeper: Arc<Keeper>, stop: CancellationToken) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
    let agent =
        Agent::config_builder().timeout_global(Some(ANSWER_WAIT)).max_redirects(0).tls_config(tls).build().new_agent();
    let mut waits: HashMap<AppId, Wait> = HashMap::new();
    loop {
        for app in engine.apps().into_iter().filter(|_| engine.leads()) {
            let Some(url) = app.settings.erasure_callback_url.clone() else { continue };
            if waits.get(&app.id).is_some_and(|wait| Instant::now() < wait.until) {
                continue;
            }
            match tell(&engine, &keeper, &agent, &app, &url).await {
                Ok(()) => {
                    waits.remove(&app.id);
                }
                Err(error) => {
                    let next = waits.get(&app.id).map_or(FIRST_WAIT, |wait| (wait.next * 2).min(WAIT_MAX));
                    waits.insert(app.id.clone(), Wait { until: Instant::now() + next, next });
                    tracing::warn!(app = %app.id, %error, "an app was not told of an erasure; it is told again");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Tells an app of every erasure it was not told of.
async fn tell(engine: &Engine, keeper: &Keeper, agent: &Agent, app: &App, url: &str) -> Result<(), Error> {
    let since = engine.now() - TOLD_WITHIN;
    loop {
        let untold = erasure_ledger::untold(engine.read(), &app.id, since, TOGETHER_MAX).await?;
        if untold.is_empty() {
            return Ok(());
        }
        for erasure in untold {
            let (signed, form) = (signed(app, url, engine.now()), form(engine, app, &erasure).await?);
            let agent = agent.clone();
            let post = move || {
                let request = agent.post(signed).content_type("application/x-www-form-urlencoded");
                request.send(form).map_err(|error| error.to_string())
            };
            let answered = tokio::task::spawn_blocking(post).await;
            let unanswered = |reason: String| engine::Error::Unavailable(format!("its callback failed: {reason}"));
            answered.map_err(|error| unanswered(error.to_string()))?.map_err(unanswered)?;
            acknowledged(engine, keeper, &erasure, url).await?;
        }
        engine.all_applied().await?;
    }
}

/// Records that the app was told, and a report that says so.
async fn acknowledged(engine: &Engine, keeper: &Keeper, erasure: &Erasure, url: &str) -> Result<(), Error> {
    let recipient = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let name = recipient.rsplit('@').next().unwrap_or_default().to_owned();
    let now = engine.now();
    let told = vec![Recipient { name: name.clone(), acknowledged_at: Some(now) }];
    let Issued { report, sha256, envelope } =
        issue(keeper, engine.vault().as_ref(), erasure.erasure, now, told).await?;
    let step = Step::Notify { recipient: name, status: report.status, sha256, envelope };
    record(engine, erasure, step, vec![]).await
}

/// The URL with what the platform signs a callback with.
fn signed(app: &App, url: &str, now: DateTime<Utc>) -> String {
    let nonce = Uuid::new_v4().simple().to_string();
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

/// What the platform tells. The userId of somebody who was forgotten is not known any more.
async fn form(engine: &Engine, app: &App, erasure: &Erasure) -> Result<String, Error> {
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
