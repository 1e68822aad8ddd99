//! Personal values under their own keys.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{constant_time, hkdf};
use rollcall_schemas::ids::EventId;
use rollcall_schemas::personal::{Header, Sealed};
use zeroize::Zeroizing;

use super::wrapping;
use crate::privacy::Error;

/// The smallest sealed length: a length must not identify a name.
const PADDED_MIN: usize = 64;

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Derives bytes from a key that is uniformly random, so that HKDF's extract step is skipped (RFC 5869, 3.3). They are written
/// to where they are used: what is moved leaves a copy behind.
pub(super) fn expand_into(key: &[u8; 32], info: &[&[u8]], out: &mut [u8]) -> Result<(), Error> {
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key)
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| Error::Damaged("a key cannot be derived".into()))
}

fn expand<const N: usize>(key: &[u8; 32], info: &[&[u8]]) -> Result<Zeroizing<[u8; N]>, Error> {
    let mut out = Zeroizing::new([0; N]);
    expand_into(key, info, out.as_mut_slice())?;
    Ok(out)
}

/// What is published of a key that is destroyed.
pub(super) fn commitment(subject_key: &[u8; 32]) -> Result<[u8; 32], Error> {
    Ok(*expand::<32>(subject_key, &[b"rollcall key commitment"])?)
}

/// One key and its commitment per event and field.
fn derive(subject_key: &[u8; 32], event: EventId, path: &str) -> Result<(wrapping::Key, [u8; 32]), Error> {
    let out = expand::<64>(subject_key, &[event.0.as_bytes(), path.as_bytes()])?;
    let (mut key, mut commitment) = (Zeroizing::new([0; 32]), [0; 32]);
    key.copy_from_slice(&out[..32]);
    commitment.copy_from_slice(&out[32..]);
    Ok((key, commitment))
}

fn pad(plaintext: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = (4 + plaintext.len()).next_power_of_two().max(PADDED_MIN);
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.extend_from_slice(&u32::try_from(plaintext.len()).unwrap_or(u32::MAX).to_be_bytes());
    padded.extend_from_slice(plaintext);
    padded.resize(length, 0);
    padded
}

fn unpad(mut padded: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    let length = u32::from_be_bytes(*padded.first_chunk()?) as usize;
    if 4 + length > padded.len() {
        return None;
    }
    padded.drain(..4);
    padded.truncate(length);
    Some(padded)
}

pub(super) fn seal(subject_key: &[u8; 32], header: &Header, plaintext: &[u8]) -> Result<Sealed, Error> {
    let (key, commitment) = derive(subject_key, header.event, &header.path)?;
    let ciphertext = wrapping::seal(&key, &header.to_bytes(), pad(plaintext))?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, &ciphertext).as_ref());
    Ok(Sealed {
        class: header.class,
        subject: header.subject,
        epoch: header.epoch,
        commitment,
        digest: sha256,
        ciphertext: Some(ciphertext),
    })
}

/// Whether a ciphertext is the one an event recorded.
pub(super) fn is_recorded(sealed: &Sealed, ciphertext: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(digest(&SHA256, ciphertext).as_ref(), &sealed.digest).is_ok()
}

pub(super) fn open(
    subject_key: &[u8; 32],
    (event, path): (EventId, &str),
    associated: &[u8],
    commitment: &[u8; 32],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (key, expected) = derive(subject_key, event, path)?;
    constant_time::verify_slices_are_equal(&expected, commitment)
        .map_err(|_| Error::Tampered("it was sealed under another key"))?;
    open_under(&key, associated, ciphertext)
}

/// Opens a value of a read model, which holds no commitment: subject, class, epoch, event and path name one key, and the
/// seal covers them all.
pub(super) fn open_stored(
    subject_key: &[u8; 32],
    (event, path): (EventId, &str),
    associated: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    // The key alone: what HKDF expands to begins with the same bytes, however long it is.
    let key = expand::<32>(subject_key, &[event.0.as_bytes(), path.as_bytes()])?;
    open_under(&key, associated, ciphertext)
}

fn open_under(key: &wrapping::Key, associated: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    wrapping::open(key, associated, ciphertext)?
        .and_then(unpad)
        .ok_or(Error::Tampered("it was changed or belongs elsewhere"))
}
