//! What events change about apps.

use rollcall_schemas::plain::Settings;
use rollcall_schemas::{Event, app};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements, words};

statements! {
    register = "INSERT INTO apps_v1 (app, registered_at, environment, plan,
            reactivation_wait_seconds, token_lifetime_seconds, friend_permission)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    set = "UPDATE apps_v1 SET reactivation_wait_seconds = $1, token_lifetime_seconds = $2, friend_permission = $3
        WHERE app = $4";
    add_secret = "INSERT INTO apps_secrets_v1 (app, secret) VALUES ($1, $2)";
    retire_secret = "DELETE FROM apps_secrets_v1 WHERE app = $1 AND secret = $2";
    undeclare_fields = "DELETE FROM apps_fields_v1 WHERE app = $1";
    declare_field = "INSERT INTO apps_fields_v1 (app, owner, field) VALUES ($1, $2, $3)";
}

/// The read model.
pub struct Apps;

impl Projection for Apps {
    fn name(&self) -> &'static str {
        "apps"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["apps_v1", "apps_secrets_v1", "apps_fields_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::App(event) => project_app(entry, event, changes),
            Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Erasure(_) => {}
        }
        Ok(())
    }
}

fn settings(settings: &Settings) -> [Value; 3] {
    let permission = words::friend_permission(settings.friend_permission);
    [settings.reactivation_wait_seconds.into(), settings.token_lifetime_seconds.into(), permission.into()]
}

fn project_app(entry: &Entry<'_>, event: &app::Event, changes: &mut Changes) {
    match event {
        app::Event::Registered(e) => {
            let defaults = Settings::default();
            let (environment, plan) = (words::environment(e.environment).into(), words::plan(e.plan).into());
            let [wait, lifetime, permission] = settings(&defaults);
            changes.push(
                register,
                [(&e.app).into(), entry.recorded.recorded_at.into(), environment, plan, wait, lifetime, permission],
            );
        }
        app::Event::SecretAdded(e) => {
            changes.push(add_secret, [(&e.app).into(), e.secret.into()]);
        }
        app::Event::SecretRetired(e) => {
            changes.push(retire_secret, [(&e.app).into(), e.secret.into()]);
        }
        app::Event::SettingsChanged(e) => {
            let [wait, lifetime, permission] = settings(&e.settings);
            changes.push_must_change(set, [wait, lifetime, permission, (&e.app).into()]);
        }
        app::Event::ExtensionFieldsDeclared(e) => {
            changes.push(undeclare_fields, [(&e.app).into()]);
            for (owner, fields) in [("user", &e.user_fields), ("friend", &e.friend_fields)] {
                for field in fields {
                    changes.push(declare_field, [(&e.app).into(), owner.into(), field.into()]);
                }
            }
        }
    }
}
