//! Marks the signatures that the service sends, so that none of them is ever accepted as a credential.
//!
//! An outgoing call is signed like a call of the Server API: SHA-1 over secret, nonce and timestamp. Whoever reads it, for
//! example in the access log of a receiver, could send it back. The nonce therefore begins with a reserved prefix, and
//! the Server API refuses a signature over it. What is signed is the concatenation, so the check covers the
//! concatenation as well: characters moved from the nonce to the timestamp change nothing.

use uuid::Uuid;

/// Begins what an outgoing signature covers after the secret.
const PREFIX: &[u8] = b"rollcall.out.";

/// A nonce for one outgoing call.
#[must_use]
pub fn nonce() -> String {
    format!("{}{}", String::from_utf8_lossy(PREFIX), Uuid::new_v4().simple())
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
