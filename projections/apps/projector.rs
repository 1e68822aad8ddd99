//! What events change about apps.

use rollcall_schemas::app;
use rollcall_schemas::plain::Settings;

use super::queries;
use crate::{Changes, Entry, Inconsistent, Value, projection, statements};

statements! {
    register = "INSERT INTO apps_v3 (app, registered_at, environment, plan, settings, signature_window_seconds) \
        VALUES ($1, $2, $3, $4, $5, 0)";
    set = "UPDATE apps_v3 SET settings = $1 WHERE app = $2";
    set_signature_window = "UPDATE apps_v3 SET signature_window_seconds = $1 WHERE app = $2";
    set_friends_only = "UPDATE apps_v3 SET friends_only_position = $1 WHERE app = $2";
    add_secret = "INSERT INTO apps_secrets_v3 (app, secret) VALUES ($1, $2)";
    retire_secret = "DELETE FROM apps_secrets_v3 WHERE app = $1 AND secret = $2";
    add_api_key = "INSERT INTO apps_api_keys_v3 (app, key, description) VALUES ($1, $2, $3)";
    retire_api_key = "DELETE FROM apps_api_keys_v3 WHERE app = $1 AND key = $2";
    undeclare_fields = "DELETE FROM apps_fields_v3 WHERE app = $1";
    declare_field = "INSERT INTO apps_fields_v3 (app, owner, field) VALUES ($1, $2, $3)";
}

projection! {
    /// Every app and how it is set up.
    Apps: "apps" version 3, tables ["apps_v3", "apps_secrets_v3", "apps_fields_v3", "apps_api_keys_v3"];
    reads(entry, changes) {
        app::Registered(e) => add(e, entry, changes)?,
        app::SecretAdded(e) => changes.push(add_secret, [(&e.app).into(), e.secret.into()]),
        app::SecretRetired(e) => changes.push(retire_secret, [(&e.app).into(), e.secret.into()]),
        app::SettingsChanged(e) =>
            changes.push_must_change(set, [json(serde_json::to_string(&e.settings))?, (&e.app).into()]),
        app::SignatureWindowSet(e) =>
            changes.push_must_change(set_signature_window, [e.seconds.into(), (&e.app).into()]),
        app::FriendsOnlyMessagesSet(e) =>
            changes.push_must_change(set_friends_only, [e.enabled.then(|| entry.position()).into(), (&e.app).into()]),
        app::ApiKeyAdded(e) =>
            changes.push(add_api_key, [(&e.app).into(), e.key.id.into(), json(serde_json::to_string(&e.key))?]),
        app::ApiKeyRetired(e) => changes.push(retire_api_key, [(&e.app).into(), e.key.into()]),
        app::ExtensionFieldsDeclared(e) => declare_fields(e, changes),
    }
}

fn json(text: serde_json::Result<String>) -> Result<Value, Inconsistent> {
    text.map(Value::Text).map_err(|_| Inconsistent("a value has no JSON form"))
}

fn add(e: &app::Registered, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
    let (environment, plan) = (e.environment.as_str().into(), e.plan.as_str().into());
    let settings = json(serde_json::to_string(&Settings::default()))?;
    changes.push(register, [(&e.app).into(), entry.at(), environment, plan, settings]);
    Ok(())
}

fn declare_fields(e: &app::ExtensionFieldsDeclared, changes: &mut Changes) {
    changes.push(undeclare_fields, [(&e.app).into()]);
    for (owner, fields) in [("user", &e.user_fields), ("friend", &e.friend_fields)] {
        for field in fields {
            changes.push(declare_field, [(&e.app).into(), owner.into(), field.into()]);
        }
    }
}
