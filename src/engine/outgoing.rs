//! Marks the signatures that the service sends, so that none of them is ever accepted as a credential.
//!
//! An outgoing call is signed like a call of the Server API: SHA-1 over secret, nonce and timestamp. Whoever reads it, for
//! example in the access log of a receiver, could send it back. The nonce therefore begins with a reserved prefix, and
//! the Server API refuses a signature over it. What is signed is the concatenation, so the check covers the
//! concatenation as well: characters moved from the nonce to the timestamp change nothing.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use chrono::{DateTime, Utc};
use form_urlencoded::Serializer;
use uuid::Uuid;

use super::App;

/// Begins what an outgoing signature covers after the secret.
const PREFIX: &[u8] = b"rollcall.out.";

/// A nonce for one outgoing call.
fn nonce() -> String {
    format!("{}{}", String::from_utf8_lossy(PREFIX), Uuid::new_v4().simple())
}

/// A URL with what the platform signs a callback with, in its query.
#[must_use]
pub fn signed(app: &App, url: &str, now: DateTime<Utc>) -> String {
    let nonce = nonce();
    let timestamp = now.timestamp_millis().to_string();
    let secret = app.secrets.last().map_or("", |(_, secret)| secret.as_str());
    let signature = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, [secret, &nonce, &timestamp].concat().as_bytes()));
    let query = Serializer::new(String::new())
        .append_pair("appKey", app.id.as_str())
        .append_pair("nonce", &nonce)
        .append_pair("timestamp", &timestamp)
        .append_pair("signTimestamp", &timestamp)
        .append_pair("signature", &signature)
        .finish();
    let between = if url.contains('?') { '&' } else { '?' };
    format!("{url}{between}{query}")
}

/// Whether a signature over this nonce and timestamp may be one that the service sent.
#[must_use]
pub fn is_outgoing(nonce: &[u8], timestamp: &[u8]) -> bool {
    nonce.iter().chain(timestamp).take(PREFIX.len()).eq(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outgoing_nonce_is_known_wherever_it_is_cut_and_others_are_not() {
        let sent = format!("{}1795420824000", nonce());
        for (cut, _) in sent.char_indices() {
            let (nonce, timestamp) = sent.split_at(cut);
            assert!(is_outgoing(nonce.as_bytes(), timestamp.as_bytes()), "{nonce} {timestamp}");
        }
        for (nonce, timestamp) in [("8383047", "1795420824"), ("", ""), ("rollcall.ou", ""), ("xrollcall.out.1", "2")] {
            assert!(!is_outgoing(nonce.as_bytes(), timestamp.as_bytes()), "{nonce} {timestamp}");
        }
    }
}
