//! Who is calling: four headers, signed with a secret of the app.
//!
//! The time window and the nonce are not checked: official SDKs sign once and reuse both for the life of a process.

use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName};
use aws_lc_rs::{constant_time, digest};
use rollcall_schemas::ids::SecretId;

use crate::audit::outgoing::is_outgoing;
use crate::engine::{App, Engine};

/// A header under its plain name, and under the name that gets through proxies which strip the plain one.
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

/// The app that signed, and with which of its secrets. `None`: a header is missing, the app is unknown or no secret
/// of it made the signature, or the signature is one that the service sent; the caller is not told which.
pub(super) fn authenticate(engine: &Engine, headers: &HeaderMap) -> Option<(Arc<App>, SecretId)> {
    let key = std::str::from_utf8(APP_KEY.of(headers)?).ok()?;
    let (nonce, timestamp) = (NONCE.of(headers)?, TIMESTAMP.of(headers)?);
    let signature = SIGNATURE.of(headers)?;
    if is_outgoing(nonce, timestamp) {
        return None;
    }
    let app = engine.app(key)?;
    // Several secrets are valid while one replaces another.
    let secret = app.secrets.iter().find(|(_, secret)| is_signature(secret.as_bytes(), nonce, timestamp, signature));
    let secret = secret.map(|(id, _)| *id)?;
    Some((app, secret))
}

fn is_signature(secret: &[u8], nonce: &[u8], timestamp: &[u8], signature: &[u8]) -> bool {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(secret);
    context.update(nonce);
    context.update(timestamp);
    let digest = context.finish();
    let mut expected = [0; 40];
    hex::encode_to_slice(digest.as_ref(), &mut expected).is_ok()
        && constant_time::verify_slices_are_equal(&expected, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_signature;

    /// What six official SDKs put on the wire for the secret `testsecret`.
    const CAPTURED: [(&str, &str, &str); 6] = [
        ("8383047", "1795420824", "037073218f6c28260140fa9d8f2bc53dc139ddb3"),
        ("0.4634744835694601", "1795420857000", "40fb4a317b9b66bb72f8a8f5a1d8c7966c6b51ae"),
        ("119405284", "1795420858", "13ae7b0eccbc1b8ae8228887171e9d7174a9a99b"),
        ("5577006791947779410", "1795421029", "dc77e553c3627e44b163a51567e3b5b7dd78156c"),
        ("617010.8878928286", "1795421139", "84a97332eb8c3de2ec97b89a6200231d076fed47"),
        ("871377558", "1795421196", "093902d9526959142b4065dda891ae14164dfbff"),
    ];

    #[test]
    fn the_signatures_of_official_sdks_are_accepted() {
        for (nonce, timestamp, signature) in CAPTURED {
            assert!(is_signature(b"testsecret", nonce.as_bytes(), timestamp.as_bytes(), signature.as_bytes()));
        }
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
