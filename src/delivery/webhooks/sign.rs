//! How deliveries are signed: Standard Webhooks 1.0, symmetric (`v1`) and asymmetric (`v1a`) on each of them.
//!
//! The keys follow from a key of the app in the vault, the id of the webhook and the number of the key, so nothing of them
//! is stored anywhere else. What is signed has the form `<id>.<time>.<body>` and is under keys that serve nothing else: no
//! signature is one that a face of this service accepts.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use lru::LruCache;
use rollcall_projections::webhooks::Webhook;
use rollcall_schemas::ids::{AppId, WebhookId};
use zeroize::Zeroizing;

use crate::privacy::{self, Vault};

/// Keys that are kept in memory, of all webhooks.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// One key of a webhook.
pub struct SigningKey {
    secret: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The key of a number. It may block for a read of the vault.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub fn of(vault: &dyn Vault, app: &AppId, webhook: WebhookId, number: u32) -> Result<Self, privacy::Error> {
        let derive = |what: &[u8]| {
            let key = vault.fingerprint(app, &[what, webhook.0.as_bytes(), &number.to_be_bytes()])?;
            Ok::<_, privacy::Error>(Zeroizing::new(key))
        };
        let (secret, seed) = (derive(b"webhook secret")?, derive(b"webhook signing key")?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .map_err(|_| privacy::Error::Unavailable("a signing key could not be made".into()))?;
        Ok(Self { secret, pair })
    }

    /// The symmetric key as its receiver is told it, once.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(*self.secret))
    }

    /// The public half of the asymmetric key.
    #[must_use]
    pub fn public(&self) -> String {
        format!("whpk_{}", BASE64_STANDARD.encode(self.pair.public_key().as_ref()))
    }

    fn signatures(&self, signed: &[u8]) -> [String; 2] {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*self.secret), signed);
        let signature = self.pair.sign(signed);
        [("v1", mac.as_ref()), ("v1a", signature.as_ref())]
            .map(|(scheme, signature)| format!("{scheme},{}", BASE64_STANDARD.encode(signature)))
    }
}

/// Keys that have signed: to derive one takes as long as to sign with it.
pub(super) struct Keys(Mutex<LruCache<(WebhookId, u32), Arc<SigningKey>>>);

impl Default for Keys {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT_MAX)))
    }
}

impl Keys {
    fn kept(&self) -> std::sync::MutexGuard<'_, LruCache<(WebhookId, u32), Arc<SigningKey>>> {
        // It is whole after every statement: a panic elsewhere does not make it wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, vault: &dyn Vault, webhook: &Webhook, number: u32) -> Result<Arc<SigningKey>, privacy::Error> {
        if let Some(key) = self.kept().get(&(webhook.webhook, number)) {
            return Ok(key.clone());
        }
        let key = Arc::new(SigningKey::of(vault, &webhook.app, webhook.webhook, number)?);
        self.kept().put((webhook.webhook, number), key.clone());
        Ok(key)
    }

    /// Drops those of a webhook.
    pub(super) fn forget(&self, webhook: WebhookId) {
        let mut kept = self.kept();
        let of_webhook: Vec<_> = kept.iter().map(|(key, _)| *key).filter(|(of, _)| *of == webhook).collect();
        of_webhook.iter().for_each(|key| drop(kept.pop(key)));
    }
}

/// The numbers of the keys that sign now.
fn numbers(webhook: &Webhook, now: DateTime<Utc>) -> impl Iterator<Item = u32> {
    let previous = webhook.previous_until.filter(|until| now < *until).map(|_| webhook.key.saturating_sub(1));
    std::iter::once(webhook.key).chain(previous.filter(|number| *number > 0))
}

/// The header `webhook-signature` of a delivery: by each key that is valid now. It may block for a read of the vault.
///
/// # Errors
/// The vault cannot be read.
pub(super) fn signature(
    keys: &Keys,
    vault: &dyn Vault,
    webhook: &Webhook,
    id: &str,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<String, privacy::Error> {
    let signed = [id.as_bytes(), b".", now.timestamp().to_string().as_bytes(), b".", body].concat();
    let mut all = Vec::with_capacity(4);
    for number in numbers(webhook, now) {
        all.extend(keys.of(vault, webhook, number)?.signatures(&signed));
    }
    Ok(all.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_message_is_signed_as_standard_webhooks_says() {
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = [&b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330."[..], br#"{"test": 2432232314}"#].concat();
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &signed);
        assert_eq!(BASE64_STANDARD.encode(mac.as_ref()), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
