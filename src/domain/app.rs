//! One application.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::app::{
    ApiKeyAdded, ApiKeyRetired, ClientRulesSet, Event, ExtensionFieldsDeclared, FriendsOnlyMessagesSet, RateLimitSet,
    Registered, SecretAdded, SecretRetired, SettingsChanged, SignatureWindowSet, TokensInvalidatedBefore,
};
use rollcall_schemas::ids::{AppId, FieldName, SecretId};
use rollcall_schemas::plain::{ApiKey, ApiScope, ClientRules, Environment, Plan, RateLimit, Settings};
use serde::{Deserialize, Serialize};

use super::state::Recorded;
use super::{Decide, Error, Reads, Refusal, UnitOfWork};

/// What an operator may ask of an application.
#[derive(Debug, Clone)]
pub enum Command {
    /// Create it with its first secret.
    Register(Environment, Plan),
    /// Make another secret valid and current; its number must be higher than any before.
    AddSecret(SecretId),
    /// End a secret; the last one cannot be ended.
    RetireSecret(SecretId),
    /// Replace the settings, and how often each endpoint may be called; `None`: that stays.
    Configure(Settings, Option<RateLimit>),
    /// Replace the declared extension fields of profiles and of friends.
    DeclareExtensionFields(BTreeSet<FieldName>, BTreeSet<FieldName>),
    /// Make another API key valid; given its scopes and its hash.
    AddApiKey(BTreeSet<ApiScope>, String),
    /// End an API key.
    RetireApiKey(u32),
    /// Set what its users may do by themselves, and how they are connected.
    SetClientRules(ClientRules),
    /// Accept a signed request only within so many seconds of its timestamp, and only once; 0: at any age, repeatedly.
    SetSignatureWindow(u32),
    /// Admit messages between friends only, or between everybody.
    SetFriendsOnlyMessages(bool),
    /// End the access tokens of all users that were issued before a time.
    InvalidateTokens(DateTime<Utc>),
}

/// What an application is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Environment and plan; `None`: there is no such application.
    pub registered: Option<(Environment, Plan)>,
    /// Valid secrets; the highest is the current one.
    pub secrets: BTreeSet<SecretId>,
    last_secret: u32,
    /// Its settings.
    pub settings: Settings,
    /// Extension fields a hosted profile may carry.
    pub user_fields: BTreeSet<FieldName>,
    /// Extension fields a friend may carry.
    pub friend_fields: BTreeSet<FieldName>,
    /// Valid API keys.
    pub api_keys: BTreeSet<u32>,
    last_api_key: u32,
    /// Seconds around its timestamp in which a signed request is accepted once; 0: no limit.
    pub signature_window_seconds: u32,
    /// Whether users may message only their friends.
    pub friends_only_messages: bool,
    /// Access tokens issued before this are invalid.
    pub tokens_invalid_before: Option<DateTime<Utc>>,
}

impl State {
    /// Number of the secret that signs new tokens.
    #[must_use]
    pub fn current_secret(&self) -> Option<SecretId> {
        self.secrets.last().copied()
    }

    /// Whether the number of users is limited.
    #[must_use]
    pub fn is_development(&self) -> bool {
        matches!(self.registered, Some((Environment::Development, _)))
    }
}

/// Decides a command.
///
/// # Errors
/// Why the state of the application does not allow it.
pub fn decide(state: &State, app: &AppId, command: Command) -> Result<Vec<Event>, Refusal> {
    let app = app.clone();
    let next = SecretId(state.last_secret + 1);
    match (state.registered, command) {
        (Some(_), Command::Register(..)) => Err(Refusal::AppExists),
        (None, Command::Register(environment, plan)) => Ok(vec![
            Registered { app: app.clone(), environment, plan }.into(),
            SecretAdded { app, secret: next }.into(),
        ]),
        (None, _) => Err(Refusal::NoSuchApp),
        (Some(_), Command::AddSecret(secret)) if secret < next => Err(Refusal::SecretNumberTaken { next }),
        (Some(_), Command::AddSecret(secret)) => Ok(vec![SecretAdded { app, secret }.into()]),
        (Some(_), Command::RetireSecret(secret)) if !state.secrets.contains(&secret) => {
            Err(Refusal::NoSuchSecret(secret))
        }
        (Some(_), Command::RetireSecret(_)) if state.secrets.len() == 1 => Err(Refusal::LastSecret),
        (Some(_), Command::RetireSecret(secret)) => Ok(vec![SecretRetired { app, secret }.into()]),
        (Some(_), Command::Configure(settings, limit)) => {
            let settings = (settings != state.settings).then(|| SettingsChanged { app: app.clone(), settings }.into());
            let limit = limit.map(|limit| RateLimitSet { app, limit }.into());
            Ok(settings.into_iter().chain(limit).collect())
        }
        (Some(_), Command::DeclareExtensionFields(user_fields, friend_fields)) => {
            Ok(vec![ExtensionFieldsDeclared { app, user_fields, friend_fields }.into()])
        }
        (Some(_), Command::AddApiKey(scopes, digest)) => {
            let key = ApiKey { id: state.last_api_key + 1, scopes, digest };
            Ok(vec![ApiKeyAdded { app, key }.into()])
        }
        (Some(_), Command::RetireApiKey(key)) if !state.api_keys.contains(&key) => Err(Refusal::NoSuchApiKey(key)),
        (Some(_), Command::RetireApiKey(key)) => Ok(vec![ApiKeyRetired { app, key }.into()]),
        (Some(_), Command::SetClientRules(rules)) => Ok(vec![ClientRulesSet { app, rules }.into()]),
        (Some(_), Command::SetSignatureWindow(seconds)) if seconds == state.signature_window_seconds => Ok(vec![]),
        (Some(_), Command::SetSignatureWindow(seconds)) => Ok(vec![SignatureWindowSet { app, seconds }.into()]),
        (Some(_), Command::SetFriendsOnlyMessages(enabled)) if enabled == state.friends_only_messages => Ok(vec![]),
        (Some(_), Command::SetFriendsOnlyMessages(enabled)) => Ok(vec![FriendsOnlyMessagesSet { app, enabled }.into()]),
        (Some(_), Command::InvalidateTokens(before)) if state.tokens_invalid_before >= Some(before) => Ok(vec![]),
        (Some(_), Command::InvalidateTokens(before)) => Ok(vec![TokensInvalidatedBefore { app, before }.into()]),
    }
}

impl Decide for Command {
    type Reply = ();

    /// The stream of the app, which every command reads.
    fn reads(&self, _: &AppId, _: &mut Reads) {}

    fn needs_app(&self) -> bool {
        false
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let decided = decide(work.application()?, work.app(), self.clone())?;
        Ok(work.record::<State>(work.app().clone(), decided)?)
    }
}

impl Recorded for State {
    const VERSION: u32 = 3;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Registered(e) => state.registered = Some((e.environment, e.plan)),
        Event::SecretAdded(e) => {
            state.secrets.insert(e.secret);
            state.last_secret = state.last_secret.max(e.secret.0);
        }
        Event::SecretRetired(e) => {
            state.secrets.remove(&e.secret);
        }
        Event::SettingsChanged(e) => state.settings = e.settings.clone(),
        Event::ExtensionFieldsDeclared(e) => {
            state.user_fields.clone_from(&e.user_fields);
            state.friend_fields.clone_from(&e.friend_fields);
        }
        Event::ApiKeyAdded(e) => {
            state.api_keys.insert(e.key.id);
            state.last_api_key = state.last_api_key.max(e.key.id);
        }
        Event::ApiKeyRetired(e) => {
            state.api_keys.remove(&e.key);
        }
        // No decision depends on them.
        Event::ClientRulesSet(_) | Event::RateLimitSet(_) => {}
        Event::SignatureWindowSet(e) => state.signature_window_seconds = e.seconds,
        Event::FriendsOnlyMessagesSet(e) => state.friends_only_messages = e.enabled,
        Event::TokensInvalidatedBefore(e) => state.tokens_invalid_before = Some(e.before),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_window_for_signatures_is_off_at_first_and_recorded_only_when_it_changes() {
        let app: AppId = "app".parse().unwrap();
        let mut state = State { registered: Some((Environment::Production, Plan::Pro)), ..State::default() };
        for (seconds, events) in [(0, 0), (300, 1), (300, 0), (0, 1)] {
            let decided = decide(&state, &app, Command::SetSignatureWindow(seconds)).unwrap();
            assert_eq!(decided.len(), events, "{seconds}");
            decided.iter().for_each(|event| evolve(&mut state, event, DateTime::UNIX_EPOCH));
            assert_eq!(state.signature_window_seconds, seconds);
        }
        let unknown = decide(&State::default(), &app, Command::SetSignatureWindow(1));
        assert_eq!(unknown.unwrap_err(), Refusal::NoSuchApp);
    }
}
