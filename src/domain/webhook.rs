//! The webhooks of one application: one stream for all of them, so that their number is bounded.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::ids::{AppId, WebhookId};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::webhook::{
    Cause, Changed, Disabled, Enabled, Endpoint, Event, Failing, Format, Recovered, Registered, Removed, SecretRotated,
};
use serde::{Deserialize, Serialize};

use super::state::Recorded;
use super::{Decide, Error, Reads, Refusal, UnitOfWork};

/// Most webhooks of an application.
pub const WEBHOOKS_MAX: usize = 20;

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Webhook {
    endpoint: Endpoint,
    /// Number of the key that signs.
    key: u32,
    enabled: bool,
    failing: bool,
}

/// The webhooks there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    webhooks: BTreeMap<WebhookId, Webhook>,
}

impl State {
    /// Which ones there are.
    pub fn ids(&self) -> impl Iterator<Item = WebhookId> {
        self.webhooks.keys().copied()
    }

    fn get(&self, webhook: WebhookId) -> Result<&Webhook, Refusal> {
        self.webhooks.get(&webhook).ok_or(Refusal::NoSuchWebhook)
    }
}

/// What an app may change about a webhook; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Where events are sent to.
    pub url: Option<String>,
    /// The patterns of their types.
    pub types: Option<BTreeSet<String>>,
    /// In which form.
    pub format: Option<Format>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// Whether anything is sent.
    pub enabled: Option<bool>,
}

/// What may be done with a webhook.
#[derive(Debug, Clone)]
pub enum Action {
    /// Change it.
    Change(Change),
    /// Send nothing any more.
    Disable(Cause),
    /// Its receiver acknowledges nothing since then.
    Fail(DateTime<Utc>),
    /// Its receiver acknowledges again.
    Recover,
    /// End it.
    Remove,
}

/// Decides on a webhook. What is so already is not recorded again.
///
/// # Errors
/// There is no such webhook.
fn decide(state: &State, webhook: WebhookId, action: &Action) -> Result<Vec<Event>, Refusal> {
    let known = state.get(webhook)?;
    Ok(match action {
        Action::Change(change) => changed(known, webhook, change),
        Action::Disable(cause) if known.enabled => vec![Disabled { webhook, cause: *cause }.into()],
        Action::Fail(since) if known.enabled && !known.failing => vec![Failing { webhook, since: *since }.into()],
        Action::Recover if known.failing => vec![Recovered { webhook }.into()],
        Action::Disable(_) | Action::Fail(_) | Action::Recover => vec![],
        Action::Remove => vec![Removed { webhook }.into()],
    })
}

fn changed(known: &Webhook, webhook: WebhookId, change: &Change) -> Vec<Event> {
    let before = known.endpoint.clone();
    let endpoint = Endpoint {
        url: change.url.clone().unwrap_or(before.url),
        types: change.types.clone().unwrap_or(before.types),
        format: change.format.unwrap_or(before.format),
        description: change.description.clone().unwrap_or(before.description),
    };
    let mut events = Vec::new();
    if endpoint != known.endpoint {
        events.push(Changed { webhook, endpoint }.into());
    }
    match change.enabled {
        Some(true) if !known.enabled => events.push(Enabled { webhook }.into()),
        Some(false) if known.enabled => events.push(Disabled { webhook, cause: Cause::Operator }.into()),
        Some(_) | None => {}
    }
    events
}

impl Recorded for State {
    const VERSION: u32 = 1;

    fn entries(&self) -> usize {
        WEBHOOKS_MAX
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    let mut with = |webhook: &WebhookId, change: &dyn Fn(&mut Webhook)| {
        if let Some(webhook) = state.webhooks.get_mut(webhook) {
            change(webhook);
        }
    };
    match event {
        Event::Registered(e) => {
            let webhook = Webhook { endpoint: e.endpoint.clone(), key: 1, enabled: true, failing: false };
            state.webhooks.insert(e.webhook, webhook);
        }
        Event::Changed(e) => with(&e.webhook, &|webhook| webhook.endpoint.clone_from(&e.endpoint)),
        Event::SecretRotated(e) => with(&e.webhook, &|webhook| webhook.key = e.key),
        Event::Disabled(e) => with(&e.webhook, &|webhook| webhook.enabled = false),
        Event::Enabled(e) => with(&e.webhook, &|webhook| {
            webhook.enabled = true;
            webhook.failing = false;
        }),
        Event::Failing(e) => with(&e.webhook, &|webhook| webhook.failing = true),
        Event::Recovered(e) => with(&e.webhook, &|webhook| webhook.failing = false),
        Event::Removed(e) => {
            state.webhooks.remove(&e.webhook);
        }
    }
}

/// Tell a receiver of events from here on.
#[derive(Debug, Clone)]
pub struct Register(pub Endpoint);

impl Decide for Register {
    type Reply = WebhookId;

    fn reads(&self, app: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Webhook(app.clone()));
    }

    fn fresh_ids(&self) -> usize {
        1
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<WebhookId, Error> {
        let app = work.app().clone();
        if work.state::<State>(app.clone())?.webhooks.len() >= WEBHOOKS_MAX {
            return Err(Refusal::WebhooksFull.into());
        }
        let webhook = WebhookId(work.fresh()?);
        work.record::<State>(app, [Registered { webhook, endpoint: self.0.clone() }.into()])?;
        Ok(webhook)
    }
}

/// Do something with a webhook.
#[derive(Debug, Clone)]
pub struct Act {
    /// Which.
    pub webhook: WebhookId,
    /// What.
    pub action: Action,
}

impl Decide for Act {
    type Reply = ();

    fn reads(&self, app: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Webhook(app.clone()));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let app = work.app().clone();
        let decided = decide(work.state(app.clone())?, self.webhook, &self.action)?;
        Ok(work.record::<State>(app, decided)?)
    }
}

/// The key that signs from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedKey {
    /// Its number.
    pub key: u32,
    /// Until when the one before signs as well.
    pub previous_until: DateTime<Utc>,
}

/// Sign with another key, and for a while with the one before as well.
#[derive(Debug, Clone)]
pub struct RotateSecret {
    /// Of which webhook.
    pub webhook: WebhookId,
    /// For how long the key before signs as well.
    pub overlap_seconds: u32,
}

impl Decide for RotateSecret {
    type Reply = RotatedKey;

    fn reads(&self, app: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Webhook(app.clone()));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<RotatedKey, Error> {
        let (webhook, app) = (self.webhook, work.app().clone());
        let key = work.state::<State>(app.clone())?.get(webhook)?.key.saturating_add(1);
        let previous_until = work.now() + TimeDelta::seconds(self.overlap_seconds.into());
        work.record::<State>(app, [SecretRotated { webhook, key, previous_until }.into()])?;
        Ok(RotatedKey { key, previous_until })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use uuid::Uuid;

    use super::*;

    const ID: WebhookId = WebhookId(Uuid::from_u128(1));

    fn registered() -> State {
        let mut state = State::default();
        let endpoint = Endpoint {
            url: "https://example.org/".into(),
            types: ["*".to_owned()].into(),
            format: Format::Standard,
            description: None,
        };
        evolve(&mut state, &Registered { webhook: ID, endpoint }.into(), DateTime::UNIX_EPOCH);
        state
    }

    fn act(state: &mut State, action: &Action) -> usize {
        let events = decide(state, ID, action).unwrap();
        events.iter().for_each(|event| evolve(state, event, DateTime::UNIX_EPOCH));
        events.len()
    }

    #[test]
    fn what_is_so_already_is_not_recorded_again() {
        let mut state = registered();
        let enable = |enabled| Action::Change(Change { enabled: Some(enabled), ..Change::default() });
        let steps = [
            (enable(true), 0),
            (Action::Fail(DateTime::UNIX_EPOCH), 1),
            (Action::Fail(DateTime::UNIX_EPOCH), 0),
            (Action::Recover, 1),
            (Action::Recover, 0),
            (Action::Disable(Cause::Gone), 1),
            (Action::Disable(Cause::Failing), 0),
            (Action::Fail(DateTime::UNIX_EPOCH), 0),
            (enable(false), 0),
            (enable(true), 1),
            (Action::Change(Change { url: Some("https://example.org/".into()), ..Change::default() }), 0),
            (Action::Change(Change { url: Some("https://example.com/".into()), ..Change::default() }), 1),
            (Action::Remove, 1),
        ];
        for (step, (action, events)) in steps.into_iter().enumerate() {
            assert_eq!(act(&mut state, &action), events, "step {step}");
        }
        assert_eq!(decide(&state, ID, &Action::Remove), Err(Refusal::NoSuchWebhook));
    }
}
