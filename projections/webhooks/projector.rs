//! What events change about webhooks.

use rollcall_schemas::webhook::{self, Cause, Endpoint};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Value, projection, statements};

statements! {
    register = "INSERT INTO webhooks_v1 (webhook, app, registered_position, registered_at, endpoint, key, is_enabled)
        VALUES ($1, $2, $3, $4, $5, 1, 1)";
    change = "UPDATE webhooks_v1 SET endpoint = $1 WHERE webhook = $2";
    rotate = "UPDATE webhooks_v1 SET key = $1, previous_until = $2 WHERE webhook = $3";
    disable = "UPDATE webhooks_v1 SET is_enabled = 0, cause = $1 WHERE webhook = $2";
    enable = "UPDATE webhooks_v1 SET is_enabled = 1, cause = NULL, failing_since = NULL WHERE webhook = $1";
    fail = "UPDATE webhooks_v1 SET failing_since = $1 WHERE webhook = $2";
    recover = "UPDATE webhooks_v1 SET failing_since = NULL WHERE webhook = $1";
    remove = "DELETE FROM webhooks_v1 WHERE webhook = $1";
}

projection! {
    /// Every webhook.
    Webhooks: "webhooks" version 1, tables ["webhooks_v1"];
    reads(entry, changes) {
        webhook::Registered(e) => add(e, entry, changes)?,
        webhook::Changed(e) => changes.push_must_change(change, [json(&e.endpoint)?, e.webhook.into()]),
        webhook::SecretRotated(e) =>
            changes.push_must_change(rotate, [e.key.into(), e.previous_until.into(), e.webhook.into()]),
        webhook::Disabled(e) => changes.push_must_change(disable, [Cause::as_str(e.cause).into(), e.webhook.into()]),
        webhook::Enabled(e) => changes.push_must_change(enable, [e.webhook.into()]),
        webhook::Failing(e) => changes.push_must_change(fail, [e.since.into(), e.webhook.into()]),
        webhook::Recovered(e) => changes.push_must_change(recover, [e.webhook.into()]),
        webhook::Removed(e) => changes.push_must_change(remove, [e.webhook.into()]),
    }
}

fn json(endpoint: &Endpoint) -> Result<Value, Inconsistent> {
    serde_json::to_string(endpoint).map(Value::Text).map_err(|_| Inconsistent("a value has no JSON form"))
}

fn add(e: &webhook::Registered, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
    let endpoint = json(&e.endpoint)?;
    changes.push(register, [e.webhook.into(), entry.app(), entry.position(), entry.at(), endpoint]);
    Ok(())
}
