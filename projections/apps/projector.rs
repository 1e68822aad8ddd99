//! What events change about apps.

use rollcall_schemas::plain::Settings;
use rollcall_schemas::{Event, app};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements, words};

statements! {
    register = "INSERT INTO apps_v2 (app, registered_at, environment, plan, settings, signature_window_seconds) \
        VALUES ($1, $2, $3, $4, $5, 0)";
    set = "UPDATE apps_v2 SET settings = $1 WHERE app = $2";
    set_signature_window = "UPDATE apps_v2 SET signature_window_seconds = $1 WHERE app = $2";
    add_secret = "INSERT INTO apps_secrets_v2 (app, secret) VALUES ($1, $2)";
    retire_secret = "DELETE FROM apps_secrets_v2 WHERE app = $1 AND secret = $2";
    add_api_key = "INSERT INTO apps_api_keys_v2 (app, key, description) VALUES ($1, $2, $3)";
    retire_api_key = "DELETE FROM apps_api_keys_v2 WHERE app = $1 AND key = $2";
    undeclare_fields = "DELETE FROM apps_fields_v2 WHERE app = $1";
    declare_field = "INSERT INTO apps_fields_v2 (app, owner, field) VALUES ($1, $2, $3)";
}

/// The read model.
pub struct Apps;

impl Projection for Apps {
    fn name(&self) -> &'static str {
        "apps"
    }
    fn version(&self) -> u32 {
        2
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["apps_v2", "apps_secrets_v2", "apps_fields_v2", "apps_api_keys_v2"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::App(event) => project_app(entry, event, changes)?,
            Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Erasure(_)
            | Event::Access(_)
            | Event::DataRequest(_) => {}
        }
        Ok(())
    }
}

fn json(text: serde_json::Result<String>) -> Result<Value, Inconsistent> {
    text.map(Value::Text).map_err(|_| Inconsistent("a value has no JSON form"))
}

fn project_app(entry: &Entry<'_>, event: &app::Event, changes: &mut Changes) -> Result<(), Inconsistent> {
    match event {
        app::Event::Registered(e) => {
            let (environment, plan) = (words::environment(e.environment).into(), words::plan(e.plan).into());
            let at = entry.recorded.recorded_at.into();
            changes.push(
                register,
                [(&e.app).into(), at, environment, plan, json(serde_json::to_string(&Settings::default()))?],
            );
        }
        app::Event::SecretAdded(e) => {
            changes.push(add_secret, [(&e.app).into(), e.secret.into()]);
        }
        app::Event::SecretRetired(e) => {
            changes.push(retire_secret, [(&e.app).into(), e.secret.into()]);
        }
        app::Event::SettingsChanged(e) => {
            changes.push_must_change(set, [json(serde_json::to_string(&e.settings))?, (&e.app).into()]);
        }
        app::Event::SignatureWindowSet(e) => {
            changes.push_must_change(set_signature_window, [e.seconds.into(), (&e.app).into()]);
        }
        app::Event::ApiKeyAdded(e) => {
            changes.push(add_api_key, [(&e.app).into(), e.key.id.into(), json(serde_json::to_string(&e.key))?]);
        }
        app::Event::ApiKeyRetired(e) => changes.push(retire_api_key, [(&e.app).into(), e.key.into()]),
        app::Event::ExtensionFieldsDeclared(e) => {
            changes.push(undeclare_fields, [(&e.app).into()]);
            for (owner, fields) in [("user", &e.user_fields), ("friend", &e.friend_fields)] {
                for field in fields {
                    changes.push(declare_field, [(&e.app).into(), owner.into(), field.into()]);
                }
            }
        }
    }
    Ok(())
}
