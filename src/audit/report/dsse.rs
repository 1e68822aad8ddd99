//! The envelope around a report: DSSE (github.com/secure-systems-lab/dsse, v1), signed with Ed25519.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::audit::tree::note::Verifier;
use crate::audit::tree::origin;
use crate::privacy::Vault;

/// What the payload is.
pub const PAYLOAD_TYPE: &str = "application/vnd.rollcall.erasure-report+json";

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// The payload in base64.
    pub payload: String,
    /// One signature or, while keys overlap, several.
    pub signatures: Vec<Signature>,
}

/// A signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Name and id of the key, as in its verifier key.
    pub keyid: String,
    /// The signature in base64.
    pub sig: String,
}

/// Why an envelope is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its bytes are not those of an envelope of a report.
    #[error("it does not have the form of a signed erasure report")]
    Malformed,
    /// No signature is of a key that was given.
    #[error("it is not signed by the given key; fetch the key of the service that issued it")]
    UnknownKey,
    /// A signature of a key that was given is wrong.
    #[error("its signature is wrong: it is not what was issued")]
    BadSignature,
}

/// What is signed.
fn authenticated(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

fn keyid(verifier: &Verifier) -> String {
    format!("{}+{}", verifier.name, hex::encode(verifier.id()))
}

/// Signs a payload with every key of the vault that signs.
#[must_use]
pub fn sign(vault: &dyn Vault, payload: &[u8]) -> Envelope {
    let name = origin(vault);
    let signatures = vault.sign(&authenticated(payload)).into_iter().map(|(signer, signature)| Signature {
        keyid: keyid(&Verifier { name: name.clone(), public: signer.public }),
        sig: BASE64_STANDARD.encode(signature),
    });
    Envelope {
        payload_type: PAYLOAD_TYPE.into(),
        payload: BASE64_STANDARD.encode(payload),
        signatures: signatures.collect(),
    }
}

/// SHA-256 of an envelope's bytes, in hexadecimal digits.
#[must_use]
pub fn sha256(envelope: &[u8]) -> String {
    hex::encode(digest(&SHA256, envelope))
}

/// The payload of an envelope that one of the trusted keys has signed, and none of them wrongly. There is one way of
/// writing an envelope: other bytes are another envelope.
///
/// # Errors
/// Why it is not to be believed.
pub fn open(envelope: &[u8], trusted: &[Verifier]) -> Result<Vec<u8>, Error> {
    // A line break at the end is what editors and shells leave.
    let envelope = envelope.strip_suffix(b"\n").unwrap_or(envelope);
    let parsed: Envelope = serde_json::from_slice(envelope).map_err(|_| Error::Malformed)?;
    if serde_json::to_vec(&parsed).ok().as_deref() != Some(envelope) || parsed.payload_type != PAYLOAD_TYPE {
        return Err(Error::Malformed);
    }
    let payload = BASE64_STANDARD.decode(&parsed.payload).map_err(|_| Error::Malformed)?;
    let signed = authenticated(&payload);
    let mut known = false;
    for Signature { keyid: id, sig } in &parsed.signatures {
        let sig = BASE64_STANDARD.decode(sig).map_err(|_| Error::Malformed)?;
        if let Some(verifier) = trusted.iter().find(|verifier| keyid(verifier) == *id) {
            if !verifier.verifies(&signed, &sig) {
                return Err(Error::BadSignature);
            }
            known = true;
        }
    }
    if known { Ok(payload) } else { Err(Error::UnknownKey) }
}
