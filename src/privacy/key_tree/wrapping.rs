//! One key under another, and the randomness they are made of.

use std::cell::RefCell;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::privacy::Error;

/// A key; wiped when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    fill_randomly(bytes.as_mut_slice())?;
    Ok(bytes)
}

pub(super) fn fill_randomly(bytes: &mut [u8]) -> Result<(), Error> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| Error::Unavailable("the system gives no random numbers".into()))
}

/// Bytes that are drawn together: to draw them for each nonce costs more than to seal a name.
const DRAWN: usize = 64 * NONCE_LEN;

thread_local! {
    /// Random bytes, and how many of them were used.
    static NONCES: RefCell<([u8; DRAWN], usize)> = const { RefCell::new(([0; DRAWN], DRAWN)) };
}

/// A random nonce. Nonces are no secret: they stand beside what they seal.
fn nonce() -> Result<[u8; NONCE_LEN], Error> {
    NONCES.with_borrow_mut(|(drawn, used)| {
        if *used >= DRAWN {
            *drawn = *random()?;
            *used = 0;
        }
        let nonce = drawn.get(*used..).and_then(|unused| unused.first_chunk()).copied();
        *used += NONCE_LEN;
        nonce.ok_or_else(|| Error::Unavailable("no random number was left".into()))
    })
}

/// A key that is made ready once to wrap many others: that takes longer than wrapping one.
pub(super) struct Wrapper(LessSafeKey);

impl Wrapper {
    pub(super) fn of(key: &[u8; 32]) -> Result<Self, Error> {
        let damaged = |_| Error::Damaged("a key has the wrong length".into());
        UnboundKey::new(&AES_256_GCM_SIV, key).map(LessSafeKey::new).map(Self).map_err(damaged)
    }

    /// Seals bytes: a random nonce, then the ciphertext with its tag.
    pub(super) fn seal(&self, associated: &[u8], mut plaintext: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let nonce = nonce()?;
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut plaintext)
            .map_err(|_| Error::Damaged("a value is too long to be sealed".into()))?;
        // In place: what was plaintext is ciphertext now.
        let mut out = Vec::with_capacity(NONCE_LEN + plaintext.len() + tag.as_ref().len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&plaintext);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Opens what [`Wrapper::seal`] made; `None` when the key or the associated data are others.
    pub(super) fn open(&self, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(associated), &mut buffer).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }
}

/// Seals bytes under a key that is used once.
pub(super) fn seal(key: &[u8; 32], associated: &[u8], plaintext: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, Error> {
    Wrapper::of(key)?.seal(associated, plaintext)
}

/// Opens what [`seal`] made; `None` when the key or the associated data are others.
pub(super) fn open(key: &[u8; 32], associated: &[u8], sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    Ok(Wrapper::of(key)?.open(associated, sealed))
}
