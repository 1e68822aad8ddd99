//! Checkpoints as C2SP signed notes: a few lines of text that name the log, its size and its root, and Ed25519
//! signatures below (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::merkle::Hash;

/// Ed25519 in a verifier key and in the id of a key.
const ALGORITHM: u8 = 1;

/// The public half of a signing key, as it is published: `<name>+<id>+<key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Name of the key: the origin of the log.
    pub name: String,
    /// The Ed25519 public key.
    pub public: [u8; 32],
}

/// Why a note is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not have the form of a note or a checkpoint.
    #[error("this is not a signed checkpoint")]
    Malformed,
    /// No signature is of a key that was given.
    #[error("the checkpoint is not signed by the given key")]
    UnknownKey,
    /// A signature of a key that was given is wrong.
    #[error("the signature of the checkpoint is wrong")]
    BadSignature,
}

/// Size and root of a log at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many events.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Verifier {
    /// The id of the key: tells the keys of a name apart.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut named = self.name.clone().into_bytes();
        named.extend_from_slice(&[b'\n', ALGORITHM]);
        named.extend_from_slice(&self.public);
        let hash = digest(&SHA256, &named);
        let mut id = [0; 4];
        id.copy_from_slice(hash.as_ref().split_at(4).0);
        id
    }

    /// Whether a signature is the key's.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = [&[ALGORITHM][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), BASE64_STANDARD.encode(key))
    }
}

impl std::str::FromStr for Verifier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // The key may itself hold a `+`: the name and the id may not.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::Malformed);
        };
        let key = BASE64_STANDARD.decode(key).map_err(|_| Error::Malformed)?;
        let public = key.split_first().filter(|(algorithm, _)| **algorithm == ALGORITHM).map(|(_, key)| key);
        let public = public.and_then(|key| key.try_into().ok()).ok_or(Error::Malformed)?;
        let verifier = Self { name: name.into(), public };
        (hex::encode(verifier.id()) == id).then_some(verifier).ok_or(Error::Malformed)
    }
}

/// A signature below a note: name and id of the key, and what it signed with.
type Signature<'n> = (&'n str, [u8; 4], Vec<u8>);

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root))
    }

    /// The note with these signatures below.
    #[must_use]
    pub fn note(&self, signatures: &[(Verifier, [u8; 64])]) -> String {
        let mut note = self.text();
        note.push('\n');
        for (verifier, signature) in signatures {
            let signature = BASE64_STANDARD.encode([&verifier.id()[..], signature].concat());
            note.push_str(&format!("\u{2014} {} {signature}\n", verifier.name));
        }
        note
    }

    /// Reads a note and checks it against the keys that are trusted: one of them must have signed it, and none of them
    /// wrongly.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub fn read(note: &str, trusted: &[Verifier]) -> Result<Self, Error> {
        let (checkpoint, signatures) = Self::parse(note)?;
        let mut signed = false;
        for (name, id, signature) in signatures {
            if let Some(verifier) = trusted.iter().find(|verifier| verifier.name == name && verifier.id() == id) {
                if !verifier.verifies(checkpoint.text().as_bytes(), &signature) {
                    return Err(Error::BadSignature);
                }
                signed = true;
            }
        }
        if signed { Ok(checkpoint) } else { Err(Error::UnknownKey) }
    }

    /// What a note says, without believing it: for a tool that has no key to check it with.
    ///
    /// # Errors
    /// It is no note.
    pub fn claimed(note: &str) -> Result<Self, Error> {
        Self::parse(note).map(|(checkpoint, _)| checkpoint)
    }

    /// Reads a note without believing it.
    fn parse(note: &str) -> Result<(Self, Vec<Signature<'_>>), Error> {
        let (text, below) = note.split_once("\n\n").ok_or(Error::Malformed)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(Error::Malformed);
        };
        let root = BASE64_STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(Error::Malformed)?;
        let parsed = size.parse().map_err(|_| Error::Malformed)?;
        let checkpoint = Self { origin: origin.into(), size: parsed, root };
        // Only one spelling is accepted, so that what is read is exactly what was signed.
        if checkpoint.text().strip_suffix('\n') != Some(text) || origin.is_empty() || below.is_empty() {
            return Err(Error::Malformed);
        }
        let below = below.strip_suffix('\n').ok_or(Error::Malformed)?;
        let signatures = below.split('\n').map(|line| {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let signature = BASE64_STANDARD.decode(signature).ok()?;
            let (id, signature) = signature.split_first_chunk::<4>()?;
            Some((name, *id, signature.to_vec()))
        });
        Ok((checkpoint, signatures.collect::<Option<_>>().ok_or(Error::Malformed)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn signed(seed: u8) -> (Verifier, String) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let name = "rollcall/00".to_owned();
        let verifier = Verifier { name: name.clone(), public: pair.public_key().as_ref().try_into().unwrap() };
        let checkpoint = Checkpoint { origin: name, size: 7, root: [9; 32] };
        let signature = pair.sign(checkpoint.text().as_bytes()).as_ref().try_into().unwrap();
        let note = checkpoint.note(&[(verifier.clone(), signature)]);
        (verifier, note)
    }

    #[test]
    fn a_verifier_key_reads_as_it_was_written_and_not_under_another_name() {
        let (verifier, _) = signed(1);
        assert_eq!(verifier.to_string().parse::<Verifier>().unwrap(), verifier);
        assert!(verifier.to_string().replace("rollcall/00", "rollcall/01").parse::<Verifier>().is_err());
    }

    #[test]
    fn a_checkpoint_is_believed_only_as_it_was_signed() {
        let (verifier, note) = signed(1);
        let trusted = std::slice::from_ref(&verifier);
        let checkpoint = Checkpoint::read(&note, trusted).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (7, [9; 32]));
        assert_eq!(Checkpoint::read(&note.replace("\n7\n", "\n8\n"), trusted), Err(Error::BadSignature));
        assert_eq!(Checkpoint::read(&note.replace("\n7\n", "\n07\n"), trusted), Err(Error::Malformed));
        assert_eq!(Checkpoint::read(&note, &[signed(2).0]), Err(Error::UnknownKey));
        for end in 0..note.len() - 1 {
            if note.is_char_boundary(end) {
                assert!(Checkpoint::read(&note[..end], trusted).is_err(), "cut at {end}");
            }
        }
    }
}
