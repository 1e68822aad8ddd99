//! What events add to the trail: each one row.

use std::borrow::Cow;

use rollcall_schemas::envelope::Actor;

use super::about::about;
use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, statements};

statements! {
    trace = "INSERT INTO audit_trail_v1 (app, position, at, actor, name, subject, other, correlation)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
}

/// The read model.
pub struct AuditTrail;

impl Projection for AuditTrail {
    fn name(&self) -> &'static str {
        "audit_trail"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["audit_trail_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        let recorded = entry.recorded;
        let metadata = &recorded.metadata;
        let (subject, other) = about(&recorded.event);
        changes.push(
            trace,
            [
                (&metadata.app).into(),
                recorded.position.into(),
                recorded.recorded_at.into(),
                actor(&metadata.actor).as_ref().into(),
                recorded.name.into(),
                subject.into(),
                other.into(),
                metadata.correlation.into(),
            ],
        );
        Ok(())
    }
}

fn actor(actor: &Actor) -> Cow<'static, str> {
    match actor {
        Actor::Server(secret) => format!("server:{secret}").into(),
        Actor::ApiKey(key) => format!("api_key:{key}").into(),
        Actor::Operator => "operator".into(),
        Actor::System => "system".into(),
    }
}
