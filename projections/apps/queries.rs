//! What can be asked about apps.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, FieldName, SecretId};
use rollcall_schemas::plain::{ApiKey, Environment, Plan, Settings};

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT app, registered_at, environment, plan, settings, signature_window_seconds, friends_only_position
             FROM apps_v3 ",
            $rest
        )
    };
}

queries! {
    page_after = select!("WHERE app > $1 ORDER BY app LIMIT $2");
    by_key: coalesced = select!("WHERE app = $1");
    secrets_of = "SELECT secret FROM apps_secrets_v3 WHERE app = $1 ORDER BY secret";
    api_keys_of = "SELECT description FROM apps_api_keys_v3 WHERE app = $1 ORDER BY key";
    fields_of = "SELECT owner, field FROM apps_fields_v3 WHERE app = $1 ORDER BY owner, field";
}

/// One app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its key.
    pub app: AppId,
    /// Since when it exists.
    pub registered_at: DateTime<Utc>,
    /// Development or production.
    pub environment: Environment,
    /// Starter or pro.
    pub plan: Plan,
    /// Its settings.
    pub settings: Settings,
    /// Seconds around its timestamp in which a signed request is accepted once; 0: no limit.
    pub signature_window_seconds: u32,
    /// Position of the event since which only friends may message each other; `None`: everybody may.
    pub friends_only_position: Option<u64>,
    /// Its secrets that are valid; the last is the current one.
    pub secrets: Vec<SecretId>,
    /// Extension fields a hosted profile may carry.
    pub user_fields: Vec<FieldName>,
    /// Extension fields a friend may carry.
    pub friend_fields: Vec<FieldName>,
    /// Its API keys that are valid, oldest first.
    pub api_keys: Vec<ApiKey>,
}

impl App {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            app: row.parsed(0)?,
            registered_at: row.instant(1)?,
            environment: row.word(2)?,
            plan: row.word(3)?,
            settings: row.json(4)?,
            signature_window_seconds: row.number(5)?,
            friends_only_position: row.optional_number(6)?,
            secrets: Vec::new(),
            user_fields: Vec::new(),
            friend_fields: Vec::new(),
            api_keys: Vec::new(),
        })
    }
}

/// The apps after the key `cursor`, in the order of their keys; `None`: from the start.
///
/// # Errors
/// The store is unavailable.
pub async fn all(store: &ReadStore, cursor: Option<&AppId>, limit: u32) -> Result<Vec<App>, Error> {
    let cursor = cursor.map_or("", AppId::as_str);
    let mut apps = store.rows(page_after, &[cursor.into(), paging::limit(limit)], App::read).await?;
    for app in &mut apps {
        complete(store, app).await?;
    }
    Ok(apps)
}

/// That app.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, app: &AppId) -> Result<Option<App>, Error> {
    let Some(mut app) = store.row(by_key, &[app.into()], App::read).await? else { return Ok(None) };
    complete(store, &mut app).await?;
    Ok(Some(app))
}

async fn complete(store: &ReadStore, app: &mut App) -> Result<(), Error> {
    app.secrets = store.rows(secrets_of, &[(&app.app).into()], |row| Ok(SecretId(row.number(0)?))).await?;
    app.api_keys = store.rows(api_keys_of, &[(&app.app).into()], |row| row.json(0)).await?;
    let field = |row: &Row<'_, '_>| Ok((row.text(0)? == "user", FieldName(row.text(1)?.into())));
    for (of_user, field) in store.rows(fields_of, &[(&app.app).into()], field).await? {
        if of_user {
            app.user_fields.push(field);
        } else {
            app.friend_fields.push(field);
        }
    }
    Ok(())
}
