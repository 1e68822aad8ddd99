//! Access tokens: opaque to the caller, at most 256 bytes, checked without a database read.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef, TokenId};
use rollcall_schemas::plain::TokenScope;
use uuid::Uuid;

use super::standing::{Standing, TokenRefusal};
use super::{App, Engine};
use crate::domain::IssuedToken;
use crate::domain::token::TokenScopes;
use crate::domain::values::UserId;
use crate::privacy::{self, Vault};
use crate::tasks;

/// What stands between payload and app, and the formats that have it: the first byte of a payload. Format 1 had an `@`, where
/// web clients of the platform cut a token; it stays valid.
const FORMATS: [(char, &[u8]); 2] = [('@', &[1]), (SEPARATOR, &[UNLIMITED, SCOPED])];
/// In neither's alphabet, and safe in a URL.
const SEPARATOR: char = '.';
/// The format of a token that may do everything that its user may.
const UNLIMITED: u8 = 2;
/// The same with the scopes of the token as its last byte.
const SCOPED: u8 = 3;
const NEVER: i64 = i64::MAX;

/// The bit of a scope in a token. A bit that was given to one is never given to another one.
const fn bit(scope: TokenScope) -> u8 {
    match scope {
        TokenScope::Read => 1,
        TokenScope::Write => 1 << 1,
        TokenScope::Connect => 1 << 2,
        TokenScope::Account => 1 << 3,
    }
}

fn bits(scopes: &TokenScopes) -> u8 {
    scopes.iter().fold(0, |bits, scope| bits | bit(scope))
}

/// `None`: there is none, or one that this version does not know.
fn scopes(bits_of_token: u8) -> Option<TokenScopes> {
    let scopes = TokenScopes::of(TokenScope::ALL.into_iter().filter(|scope| bits_of_token & bit(*scope) != 0))?;
    (bits(&scopes) == bits_of_token).then_some(scopes)
}

/// Why a text is not an access token of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has another form, or was changed.
    #[error("this is not an access token of this service")]
    NotOurs,
    /// Its app's secret was retired.
    #[error("the app secret this token depends on was retired; issue a new token")]
    SecretRetired,
    /// The vault is unavailable.
    #[error(transparent)]
    Vault(privacy::Error),
}

fn payload(token: &IssuedToken) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.push(if token.scopes.is_some() { SCOPED } else { UNLIMITED });
    out.extend_from_slice(&token.secret.0.to_be_bytes());
    out.extend_from_slice(token.subject.0.as_bytes());
    out.extend_from_slice(&token.epoch.to_be_bytes());
    out.extend_from_slice(token.token.0.as_bytes());
    out.extend_from_slice(&token.issued_at.timestamp_millis().to_be_bytes());
    out.extend_from_slice(&token.expires_at.map_or(NEVER, |at| at.timestamp_millis()).to_be_bytes());
    out.extend(token.scopes.as_ref().map(bits));
    out
}

/// The text of a token: the same text every time, so that a retried registration is answered as the first one was.
///
/// # Errors
/// The app's secret is gone or the vault is unavailable.
fn write(vault: &dyn Vault, app: &AppId, token: &IssuedToken) -> Result<String, privacy::Error> {
    let mut bytes = payload(token);
    let mac = vault.token_mac(app, token.secret, &bytes)?;
    bytes.extend_from_slice(&mac);
    let mut text = URL_SAFE_NO_PAD.encode(bytes);
    text.push(SEPARATOR);
    text.push_str(app.as_str());
    Ok(text)
}

/// A text that has the form of a token. Nothing in it is to be believed before it is verified.
pub(super) struct Unverified {
    pub(super) app: AppId,
    pub(super) token: IssuedToken,
    payload: Vec<u8>,
    mac: [u8; 32],
}

impl Unverified {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (formats, (encoded, app)) = FORMATS
            .iter()
            .find_map(|(separator, formats)| Some((*formats, text.split_once(*separator)?)))
            .ok_or(Error::NotOurs)?;
        let app: AppId = app.parse().map_err(|_| Error::NotOurs)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Error::NotOurs)?;
        let (payload, mac) = bytes.split_last_chunk::<32>().ok_or(Error::NotOurs)?;
        let token = parse(formats, payload).ok_or(Error::NotOurs)?;
        Ok(Self { app, token, payload: payload.to_vec(), mac: *mac })
    }

    /// Checks that this service wrote it. The vault makes keys for an app it does not know, and reads its tables for a
    /// secret it does not know: both must be known to the caller, or the thread one that may block.
    pub(super) fn verify(self, vault: &dyn Vault) -> Result<(AppId, IssuedToken), Error> {
        let expected = vault.token_mac(&self.app, self.token.secret, &self.payload).map_err(|error| match error {
            privacy::Error::Erased => Error::SecretRetired,
            other => Error::Vault(other),
        })?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, &self.mac).map_err(|_| Error::NotOurs)?;
        Ok((self.app, self.token))
    }
}

/// Whether a text has the form of a token.
#[cfg(feature = "fuzzing")]
#[must_use]
pub fn has_form_of_token(text: &str) -> bool {
    Unverified::parse(text).is_ok()
}

impl Engine {
    /// The text of an access token: the same text every time, so that a retried registration is answered as the first one
    /// was.
    ///
    /// # Errors
    /// The app's secret was retired, or the vault is unavailable.
    pub fn token_text(&self, app: &AppId, token: &IssuedToken) -> Result<String, super::Error> {
        Ok(write(self.vault.as_ref(), app, token)?)
    }

    /// Reads a token and checks that this service wrote it. Whether it is still good is its user's state to say.
    ///
    /// # Errors
    /// It is not a token of this service, its app's secret was retired, or the vault is unavailable.
    pub async fn read_token(&self, text: &str) -> Result<(AppId, IssuedToken), Error> {
        let unverified = Unverified::parse(text)?;
        // Anybody can write a token that names an app: nothing is read or made for one that does not exist.
        let app = self.app(unverified.app.as_str()).ok_or(Error::NotOurs)?;
        self.vault.ready(&app.id).await.map_err(Error::Vault)?;
        if app.secrets.iter().any(|(id, _)| *id == unverified.token.secret) {
            return unverified.verify(self.vault.as_ref());
        }
        // Numbers are never used twice.
        if app.secrets.iter().any(|(id, _)| *id > unverified.token.secret) {
            return Err(Error::SecretRetired);
        }
        // Another node may have put the secret a moment ago: the vault is asked, off this thread.
        let vault = self.vault.clone();
        let verified = tasks::spawn_blocking(move || unverified.verify(vault.as_ref())).await;
        verified.map_err(|error| Error::Vault(privacy::Error::Unavailable(error.to_string())))?
    }
}

/// Why whoever shows a text is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Unadmitted {
    /// The text is no token that is good now.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    /// It cannot be told at the moment.
    #[error(transparent)]
    Unavailable(#[from] super::Error),
}

impl From<Error> for Unadmitted {
    fn from(error: Error) -> Self {
        match error {
            Error::NotOurs | Error::SecretRetired => Self::Refused(TokenRefusal::NotValid),
            Error::Vault(error) => Self::Unavailable(error.into()),
        }
    }
}

/// Whoever showed a good access token.
#[derive(Clone)]
pub struct Bearer {
    /// The token's app.
    pub app: Arc<App>,
    /// The token, without its text.
    pub token: IssuedToken,
}

impl Engine {
    /// The bearer of an access token, if it is good now. Reads no database while what is known of the user does not change.
    ///
    /// What was acknowledged through this node before the call counts; what was through another one, once this node has
    /// followed the log up to there.
    ///
    /// # Errors
    /// It is refused, or it cannot be told at the moment.
    pub async fn admit(&self, text: &str) -> Result<Bearer, Unadmitted> {
        let (app, token) = self.read_token(text).await?;
        let app = self.app(app.as_str()).ok_or(TokenRefusal::NotValid)?;
        // It needs no standing, and whoever collects old tokens must cost nothing.
        if token.expires_at.is_some_and(|at| at <= self.now()) {
            return Err(TokenRefusal::Expired.into());
        }
        self.check_token(&app, &token).await?;
        Ok(Bearer { app, token })
    }

    /// Checks again a token that was good when its bearer was let in.
    ///
    /// # Errors
    /// It is refused now, or it cannot be told at the moment.
    pub async fn check_token(&self, app: &App, token: &IssuedToken) -> Result<(), Unadmitted> {
        self.applied_up_to(app.acknowledged()).await?;
        // It may have changed since the caller looked it up. That its tokens are invalid is never taken back, so what is known
        // here is enough to refuse one.
        let app = self.app(app.id.as_str()).ok_or(TokenRefusal::NotValid)?;
        if app.tokens_invalid_before.is_some_and(|before| token.issued_at < before) {
            return Err(TokenRefusal::NotValid.into());
        }
        let known = self.standings.get(token.subject);
        if known.is_some_and(|standing| standing.admits(token, self.now()).is_ok()) {
            return Ok(());
        }
        // What is remembered may be older than the token: it is refused only over what the log holds now.
        self.caught_up(&app.id).await?;
        let standing = self.standing(&app.id, token.subject).await?.ok_or(TokenRefusal::NotValid)?;
        Ok(standing.admits(token, self.now())?)
    }

    /// What the tokens of a subject depend on, as the read models say it now; `None`: it was forgotten, or never registered.
    ///
    /// # Errors
    /// The read models are unavailable.
    pub async fn standing(&self, app: &AppId, subject: SubjectRef) -> Result<Option<Standing>, super::Error> {
        let changes = self.standings.changes();
        let standing = Standing::read(&self.read, app, subject).await?;
        if let Some(standing) = &standing {
            self.standings.remember(subject, standing.clone(), changes);
        }
        Ok(standing)
    }

    /// The userId of the bearer of a token, to act in its name; `None`: it was forgotten meanwhile.
    ///
    /// # Errors
    /// The vault or the read models are unavailable.
    pub async fn id_of_bearer(&self, bearer: &Bearer) -> Result<Option<UserId>, super::Error> {
        let (app, subject) = (&bearer.app.id, bearer.token.subject);
        let found = self.user_ids(app, &[subject]).await?;
        Ok(found.into_iter().flatten().next().and_then(|text| UserId::parse("user_id", &text).ok()))
    }
}

fn parse(formats: &[u8], payload: &[u8]) -> Option<IssuedToken> {
    let format = payload.first().filter(|format| formats.contains(format))?;
    let (payload, scopes) = match (*format, payload) {
        (SCOPED, [payload @ .., bits]) => (payload, Some(scopes(*bits)?)),
        _ => (payload, None),
    };
    let payload: &[u8; 57] = payload.try_into().ok()?;
    let bytes = |from: usize| payload.get(from..);
    let u32_at = |from| Some(u32::from_be_bytes(*bytes(from)?.first_chunk()?));
    let i64_at = |from| Some(i64::from_be_bytes(*bytes(from)?.first_chunk()?));
    let uuid_at = |from| Some(Uuid::from_bytes(*bytes(from)?.first_chunk()?));
    let time = |ms: i64| DateTime::<Utc>::from_timestamp_millis(ms);
    Some(IssuedToken {
        secret: SecretId(u32_at(1)?),
        subject: SubjectRef(uuid_at(5)?),
        epoch: u32_at(21)?,
        token: TokenId(uuid_at(25)?),
        issued_at: time(i64_at(41)?)?,
        expires_at: match i64_at(49)? {
            NEVER => None,
            ms => Some(time(ms)?),
        },
        scopes,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::privacy::key_tree::KeyTree;

    fn token() -> IssuedToken {
        IssuedToken {
            subject: SubjectRef(Uuid::from_u128(1)),
            token: TokenId(Uuid::from_u128(2)),
            secret: SecretId(1),
            epoch: 3,
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            scopes: None,
        }
    }

    fn vault_with_app() -> (tempfile::TempDir, KeyTree, AppId) {
        let dir = tempfile::tempdir().unwrap();
        let vault = KeyTree::open(dir.path(), &Default::default()).unwrap();
        let app: AppId = "chat_-app".parse().unwrap();
        vault.put_secret(&app, SecretId(1), "secret").unwrap();
        (dir, vault, app)
    }

    #[test]
    fn a_token_without_scopes_has_the_bytes_that_it_always_had() {
        let hex: String = payload(&token()).iter().map(|byte| format!("{byte:02x}")).collect();
        let (format, secret, subject) = ("02", "00000001", "00000000000000000000000000000001");
        let (epoch, id) = ("00000003", "00000000000000000000000000000002");
        assert_eq!(hex, format!("{format}{secret}{subject}{epoch}{id}{}{}", "0".repeat(16), "7fffffffffffffff"));
    }

    #[test]
    fn the_scopes_of_a_token_are_signed_with_it_and_nobody_can_add_one_or_leave_them_out() {
        let (_dir, vault, app) = vault_with_app();
        let scoped = |asked: &[TokenScope]| IssuedToken { scopes: TokenScopes::of(asked.iter().copied()), ..token() };
        for asked in [&[TokenScope::Read][..], &[TokenScope::Write], &TokenScope::ALL] {
            let text = write(&vault, &app, &scoped(asked)).unwrap();
            assert!(text.len() <= 256 - 64 + app.as_str().len(), "also with the longest key of an app: {text}");
            assert_eq!(Unverified::parse(&text).unwrap().verify(&vault).unwrap(), (app.clone(), scoped(asked)));
        }
        let read = payload(&scoped(&[TokenScope::Read]));
        let mac = vault.token_mac(&app, SecretId(1), &read).unwrap();
        let text = |payload: &[u8]| format!("{}.{app}", URL_SAFE_NO_PAD.encode([payload, &mac[..]].concat()));
        assert!(Unverified::parse(&text(&read)).unwrap().verify(&vault).is_ok());
        let with = |format: u8, rest: &[u8]| [&[format], &read[1..57], rest].concat();
        for changed in [with(SCOPED, &[0xf]), with(SCOPED, &[3]), with(UNLIMITED, &[])] {
            let verified = Unverified::parse(&text(&changed)).unwrap().verify(&vault);
            assert!(matches!(verified, Err(Error::NotOurs)), "{changed:?}");
        }
        for unknown in [with(SCOPED, &[]), with(SCOPED, &[0]), with(SCOPED, &[1 << 4]), with(UNLIMITED, &[1])] {
            assert!(Unverified::parse(&text(&unknown)).is_err(), "{unknown:?}");
        }
    }

    #[test]
    fn a_token_that_the_first_version_issued_is_valid_in_its_own_form_only() {
        let (_dir, vault, app) = vault_with_app();
        let token = token();
        let mut bytes = payload(&token);
        bytes[0] = 1;
        bytes.extend(vault.token_mac(&app, token.secret, &bytes).unwrap());
        let old = format!("{}@{app}", URL_SAFE_NO_PAD.encode(bytes));
        let new = write(&vault, &app, &token).unwrap();
        assert!(!new.contains('@'), "{new}");
        for text in [&old, &new] {
            assert_eq!(Unverified::parse(text).unwrap().verify(&vault).unwrap(), (app.clone(), token.clone()));
        }
        for changed in [old.replace('@', "."), new.replace('.', "@")] {
            assert!(matches!(Unverified::parse(&changed), Err(Error::NotOurs)), "{changed}");
        }
    }
}
