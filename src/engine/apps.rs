//! The applications as the faces need them on every request: in memory, read again when an operator changed them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use rollcall_projections::invalidated_tokens;
use rollcall_projections::store::ReadStore;
use rollcall_schemas::ids::{AppId, SecretId};
use rollcall_schemas::plain::{ApiKey, ClientRules, Environment, Plan, RateLimit, Settings};

use super::Error;
use crate::privacy::{Secret, Vault};

const PAGE: u32 = 500;

/// One application.
pub struct App {
    /// Its key.
    pub id: AppId,
    /// Its valid secrets, oldest first.
    pub secrets: Vec<(SecretId, Secret)>,
    /// Development or production.
    pub environment: Environment,
    /// Starter or pro.
    pub plan: Plan,
    /// Its settings.
    pub settings: Settings,
    /// Seconds around its timestamp in which a signed request is accepted once; 0: no limit.
    pub signature_window_seconds: u32,
    /// Position of the event since which only friends may message each other; `None`: everybody may.
    pub friends_only_since: Option<u64>,
    /// Access tokens of all its users that were issued before are invalid.
    pub tokens_invalid_before: Option<DateTime<Utc>>,
    /// Its valid API keys.
    pub api_keys: Vec<ApiKey>,
    /// What its users may do by themselves, and how they are connected.
    pub client: ClientRules,
    /// How often each endpoint may be called for it.
    pub rate_limit: RateLimit,
    acknowledged: Arc<AtomicU64>,
}

impl App {
    /// Position of the last event of the app that was acknowledged since the service started.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }
}

/// Every application.
#[derive(Default)]
pub struct Apps {
    by_key: RwLock<HashMap<String, Arc<App>>>,
    /// One reads at a time: what was read first must not take the place of what was read later.
    reading: tokio::sync::Mutex<()>,
}

impl Apps {
    /// The application with that key.
    pub fn get(&self, key: &str) -> Option<Arc<App>> {
        self.by_key.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Every application, by key.
    pub fn all(&self) -> Vec<Arc<App>> {
        let mut all: Vec<_> = self.by_key.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Tells that a command of the app is durable up to a position.
    pub fn acknowledged(&self, app: &AppId, position: u64) {
        if let Some(app) = self.get(app.as_str()) {
            app.acknowledged.fetch_max(position, Ordering::AcqRel);
        }
    }

    async fn rows(read: &ReadStore) -> Result<Vec<rollcall_projections::apps::App>, Error> {
        let mut rows: Vec<rollcall_projections::apps::App> = Vec::new();
        loop {
            let cursor = rows.last().map(|row| row.app.clone());
            let page = rollcall_projections::apps::all(read, cursor.as_ref(), PAGE).await?;
            if page.is_empty() {
                return Ok(rows);
            }
            rows.extend(page);
        }
    }

    /// Reads every application again.
    ///
    /// # Errors
    /// The read model or the vault is unavailable.
    pub async fn reload(&self, read: &ReadStore, vault: &dyn Vault) -> Result<(), Error> {
        let _reading = self.reading.lock().await;
        let mut apps = HashMap::new();
        for row in Self::rows(read).await? {
            let rules = rules_of(read, &row.app).await?;
            let invalid_before = invalidated_tokens::before_of_app(read, &row.app).await?;
            let app = self.complete(row, rules, invalid_before, vault)?;
            apps.insert(app.id.as_str().to_owned(), Arc::new(app));
        }
        *self.by_key.write().unwrap_or_else(PoisonError::into_inner) = apps;
        Ok(())
    }

    /// Reads one application again.
    ///
    /// # Errors
    /// The read model or the vault is unavailable; what was known of it stays.
    pub async fn refresh(&self, read: &ReadStore, vault: &dyn Vault, app: &AppId) -> Result<(), Error> {
        let _reading = self.reading.lock().await;
        let Some(row) = rollcall_projections::apps::of(read, app).await? else { return Ok(()) };
        let rules = rules_of(read, app).await?;
        let invalid_before = invalidated_tokens::before_of_app(read, app).await?;
        let refreshed = Arc::new(self.complete(row, rules, invalid_before, vault)?);
        let mut apps = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
        apps.insert(app.as_str().to_owned(), refreshed);
        Ok(())
    }

    fn complete(
        &self,
        row: rollcall_projections::apps::App,
        (client, rate_limit): (ClientRules, RateLimit),
        tokens_invalid_before: Option<DateTime<Utc>>,
        vault: &dyn Vault,
    ) -> Result<App, Error> {
        let acknowledged = self.get(row.app.as_str()).map_or_else(Arc::default, |app| app.acknowledged.clone());
        let mut secrets = vault.secrets(&row.app)?;
        // The vault keeps a new secret before the log knows it, and an old one until it has been retired.
        secrets.retain(|(id, _)| row.secrets.contains(id));
        Ok(App {
            id: row.app,
            secrets,
            environment: row.environment,
            plan: row.plan,
            settings: row.settings,
            signature_window_seconds: row.signature_window_seconds,
            friends_only_since: row.friends_only_position,
            tokens_invalid_before,
            api_keys: row.api_keys,
            client,
            rate_limit,
            acknowledged,
        })
    }
}

/// What its users may do by themselves, and how often its endpoints may be called.
async fn rules_of(read: &ReadStore, app: &AppId) -> Result<(ClientRules, RateLimit), Error> {
    let client = rollcall_projections::client_rules::of(read, app).await?;
    Ok((client, rollcall_projections::rate_limits::of(read, app).await?))
}
