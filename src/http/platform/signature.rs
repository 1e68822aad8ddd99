//! Who is calling: four headers, signed with a secret of the app.
//!
//! The age and the nonce are not checked unless the app asks for it (strict mode, [`super::replay_guard`]): official SDKs sign
//! once and reuse both for the life of a process.
//!
//! A signature that the service sends out, in the query of a callback, is never one that it takes in: whoever reads the
//! access log of a receiver could else call this API with it.

use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName};
use aws_lc_rs::{constant_time, digest};
use chrono::TimeDelta;
use rollcall_schemas::ids::SecretId;

use super::fault::Fault;
use super::replay_guard::{Digest, ReplayGuard, Verdict};
use crate::engine::outgoing::is_outgoing;
use crate::engine::{self, App, Engine};

/// A header's plain name, and its name with a prefix, which gets through proxies that strip the plain one.
struct Header {
    plain: HeaderName,
    prefixed: HeaderName,
}

impl Header {
    fn of<'h>(&self, headers: &'h HeaderMap) -> Option<&'h [u8]> {
        headers.get(&self.plain).or_else(|| headers.get(&self.prefixed)).map(|value| value.as_bytes())
    }
}

static APP_KEY: Header =
    Header { plain: HeaderName::from_static("app-key"), prefixed: HeaderName::from_static("rc-app-key") };
static NONCE: Header =
    Header { plain: HeaderName::from_static("nonce"), prefixed: HeaderName::from_static("rc-nonce") };
static TIMESTAMP: Header =
    Header { plain: HeaderName::from_static("timestamp"), prefixed: HeaderName::from_static("rc-timestamp") };
static SIGNATURE: Header =
    Header { plain: HeaderName::from_static("signature"), prefixed: HeaderName::from_static("rc-signature") };

/// The app that signed, and with which of its secrets.
///
/// # Errors
/// [`Fault::Unauthenticated`]: a header is missing, the app is unknown, no secret of it made the signature, or the app
/// does not take it again; the caller is not told which. Busy: an app in strict mode was called too often.
pub(in crate::http) fn authenticate(
    engine: &Engine,
    replay_guard: &ReplayGuard,
    headers: &HeaderMap,
) -> Result<(Arc<App>, SecretId), Fault> {
    let (app, secret, signed) = signer(engine, headers).ok_or(Fault::Unauthenticated)?;
    let window = TimeDelta::seconds(i64::from(app.signature_window_seconds));
    if window.is_zero() {
        return Ok((app, secret));
    }
    match replay_guard.judge(&app.id, window, signed.timestamp, signed.signature, engine.now()) {
        Verdict::Fresh => Ok((app, secret)),
        Verdict::Stale => Err(Fault::Unauthenticated),
        Verdict::Full => Err(engine::Error::Busy.into()),
    }
}

/// Reads a signature and compares it.
#[cfg(feature = "fuzzing")]
pub(in crate::http) fn fuzz(nonce: &[u8], timestamp: &[u8], signature: &[u8]) {
    if let Some(signed) = Signed::parse(nonce, timestamp, signature) {
        assert!(!is_outgoing(nonce, timestamp), "what the service signs lets somebody in");
        let _ = signed.is_by(b"secret");
    }
}

/// Whether a request shows a signature at all.
pub(in crate::http) fn is_shown(headers: &HeaderMap) -> bool {
    SIGNATURE.of(headers).is_some()
}

/// What a request was signed with.
struct Signed<'h> {
    nonce: &'h [u8],
    timestamp: &'h [u8],
    signature: Digest,
}

impl<'h> Signed<'h> {
    fn of(headers: &'h HeaderMap) -> Option<Self> {
        let (nonce, timestamp) = (NONCE.of(headers)?, TIMESTAMP.of(headers)?);
        Self::parse(nonce, timestamp, SIGNATURE.of(headers)?)
    }

    /// `None` if the signature is not a SHA-1 in hex of either case, or is over a nonce that only the service itself uses.
    fn parse(nonce: &'h [u8], timestamp: &'h [u8], hex: &[u8]) -> Option<Self> {
        let mut signature = Digest::default();
        hex::decode_to_slice(hex, &mut signature).ok()?;
        (!is_outgoing(nonce, timestamp)).then_some(Self { nonce, timestamp, signature })
    }

    fn is_by(&self, secret: &[u8]) -> bool {
        let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(secret);
        context.update(self.nonce);
        context.update(self.timestamp);
        constant_time::verify_slices_are_equal(context.finish().as_ref(), &self.signature).is_ok()
    }
}

fn signer<'h>(engine: &Engine, headers: &'h HeaderMap) -> Option<(Arc<App>, SecretId, Signed<'h>)> {
    let key = std::str::from_utf8(APP_KEY.of(headers)?).ok()?;
    let signed = Signed::of(headers)?;
    let app = engine.app(key)?;
    // Several secrets are valid while one replaces another.
    let secret = app.secrets.iter().find(|(_, secret)| signed.is_by(secret.as_bytes())).map(|(id, _)| *id)?;
    Some((app, secret, signed))
}

#[cfg(test)]
mod tests {
    use super::Signed;

    fn is_signature(secret: &[u8], nonce: &[u8], timestamp: &[u8], signature: &[u8]) -> bool {
        Signed::parse(nonce, timestamp, signature).is_some_and(|signed| signed.is_by(secret))
    }

    /// What official SDKs put on the wire for the secret `testsecret`.
    const CAPTURED: [(&str, &str, &str); 7] = [
        ("8383047", "1795420824", "037073218f6c28260140fa9d8f2bc53dc139ddb3"),
        ("0.4634744835694601", "1795420857000", "40fb4a317b9b66bb72f8a8f5a1d8c7966c6b51ae"),
        ("119405284", "1795420858", "13ae7b0eccbc1b8ae8228887171e9d7174a9a99b"),
        ("5577006791947779410", "1795421029", "dc77e553c3627e44b163a51567e3b5b7dd78156c"),
        ("617010.8878928286", "1795421139", "84a97332eb8c3de2ec97b89a6200231d076fed47"),
        ("871377558", "1795421196", "093902d9526959142b4065dda891ae14164dfbff"),
        // Of the second generation.
        ("383418570890799291", "1795928660503", "9ce2d50f2a1e2355adf56811520fce8538371f50"),
    ];

    #[test]
    fn the_signatures_of_official_sdks_are_accepted() {
        for (nonce, timestamp, signature) in CAPTURED {
            for signature in [signature.to_owned(), signature.to_uppercase()] {
                assert!(is_signature(b"testsecret", nonce.as_bytes(), timestamp.as_bytes(), signature.as_bytes()));
            }
        }
    }

    #[test]
    fn what_the_service_signs_itself_is_refused_wherever_its_nonce_is_cut() {
        let (nonce, timestamp) = ("rollcall.out.0d6d8a0f", "1795420824000");
        let text = [nonce, timestamp].concat();
        let digest =
            super::digest::digest(&super::digest::SHA1_FOR_LEGACY_USE_ONLY, ["testsecret", &text].concat().as_bytes());
        let signature = hex::encode(digest);
        for cut in 0..=text.len() {
            let (nonce, timestamp) = text.as_bytes().split_at(cut);
            assert!(!is_signature(b"testsecret", nonce, timestamp, signature.as_bytes()), "{cut}");
        }
        // Only the beginning is reserved.
        let signature =
            hex::encode(super::digest::digest(&super::digest::SHA1_FOR_LEGACY_USE_ONLY, b"testsecret1rollcall.out.2"));
        assert!(is_signature(b"testsecret", b"1rollcall.out.", b"2", signature.as_bytes()));
    }

    #[test]
    fn another_secret_nonce_timestamp_or_length_is_refused() {
        let (nonce, timestamp, signature) = CAPTURED[0];
        let (nonce, timestamp, signature) = (nonce.as_bytes(), timestamp.as_bytes(), signature.as_bytes());
        assert!(!is_signature(b"othersecret", nonce, timestamp, signature));
        assert!(!is_signature(b"testsecret", b"8383048", timestamp, signature));
        assert!(!is_signature(b"testsecret", nonce, b"1795420825", signature));
        assert!(!is_signature(b"testsecret", nonce, timestamp, &signature[..39]));
        assert!(!is_signature(b"testsecret", nonce, timestamp, b""));
    }
}
