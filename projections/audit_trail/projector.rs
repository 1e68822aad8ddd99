//! What events add to the trail: each one row.

use std::borrow::Cow;

use rollcall_schemas::envelope::Actor;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    trace = "INSERT INTO audit_trail_v1 (app, position, at, actor, name, subject, other, correlation)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
}

projection! {
    /// Every event, by whom and about whom.
    AuditTrail: "audit_trail" version 1, tables ["audit_trail_v1"];
    reads every(entry, changes) => record(entry, changes);
}

fn record(entry: &Entry<'_>, changes: &mut Changes) {
    let recorded = entry.recorded;
    let (subject, other) = recorded.event.about();
    changes.push(
        trace,
        [
            entry.app(),
            entry.position(),
            entry.at(),
            actor(&recorded.metadata.actor).as_ref().into(),
            recorded.name.into(),
            subject.into(),
            other.into(),
            recorded.metadata.correlation.into(),
        ],
    );
}

fn actor(actor: &Actor) -> Cow<'static, str> {
    match actor {
        Actor::Server(secret) => format!("server:{secret}").into(),
        Actor::ApiKey(key) => format!("api_key:{key}").into(),
        Actor::Operator => "operator".into(),
        Actor::System => "system".into(),
    }
}
