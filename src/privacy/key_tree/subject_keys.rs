//! The keys of one subject, where they are written out.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::{Class, DestroyedKey};
use zeroize::Zeroizing;

use super::sealing;
use super::wrapping::{Wrapper, random};
use crate::privacy::Error;

const CLASSES: usize = Class::ALL.len();
const PACKED: usize = 1 + 32 * CLASSES;
/// One bit for each class.
const ALL_LIVE: u8 = (1 << CLASSES) - 1;

/// The keys of one epoch: one per class, as far as they live.
pub(super) struct EpochKeys(Zeroizing<[u8; PACKED]>);

impl EpochKeys {
    pub(super) fn fresh() -> Result<Self, Error> {
        let mut packed = random::<PACKED>()?;
        packed[0] = ALL_LIVE;
        Ok(Self(packed))
    }

    /// Keys of every class, which `derive` writes to where it is told.
    pub(super) fn of(derive: impl Fn(Class, &mut [u8; 32]) -> Result<(), Error>) -> Result<Self, Error> {
        let mut packed = Zeroizing::new([0; PACKED]);
        packed[0] = ALL_LIVE;
        let (keys, _) = packed[1..].as_chunks_mut::<32>();
        Class::ALL.into_iter().zip(keys).try_for_each(|(class, key)| derive(class, key))?;
        Ok(Self(packed))
    }

    pub(super) fn key(&self, class: Class) -> Option<&[u8; 32]> {
        let index = usize::from(class.number());
        let lives = self.0[0] & (1 << index) != 0;
        self.0.get(1 + 32 * index..).and_then(|rest| rest.first_chunk()).filter(|_| lives)
    }

    /// Wipes the keys of these classes; answers which there were.
    pub(super) fn destroy(&mut self, epoch: u32, classes: &[Class]) -> Result<Vec<DestroyedKey>, Error> {
        let mut destroyed = Vec::new();
        for class in Class::ALL.into_iter().filter(|class| classes.contains(class)) {
            if let Some(key) = self.key(class) {
                destroyed.push(DestroyedKey { epoch, class, commitment: hex::encode(sealing::commitment(key)?) });
            }
            let index = usize::from(class.number());
            self.0[0] &= !(1 << index);
            self.0[1 + 32 * index..][..32].fill(0);
        }
        Ok(destroyed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    fn is_whole(&self) -> bool {
        self.0[0] == ALL_LIVE
    }

    fn associated(subject: SubjectRef, epoch: u32) -> [u8; 20] {
        let mut associated = [0; 20];
        associated[..16].copy_from_slice(subject.0.as_bytes());
        associated[16..].copy_from_slice(&epoch.to_be_bytes());
        associated
    }

    pub(super) fn wrap(&self, shard: &Wrapper, subject: SubjectRef, epoch: u32) -> Result<Vec<u8>, Error> {
        shard.seal(&Self::associated(subject, epoch), Zeroizing::new(self.0.to_vec()))
    }

    pub(super) fn unwrap(shard: &Wrapper, subject: SubjectRef, epoch: u32, wrapped: &[u8]) -> Result<Self, Error> {
        let damaged = || Error::Damaged(format!("the keys of subject {subject} do not open"));
        let opened = shard.open(&Self::associated(subject, epoch), wrapped).ok_or_else(damaged)?;
        let mut packed = Zeroizing::new([0; PACKED]);
        if opened.len() != PACKED {
            return Err(damaged());
        }
        packed.copy_from_slice(&opened);
        Ok(Self(packed))
    }
}

/// All keys of a subject, by epoch.
pub(super) struct SubjectKeys {
    /// The newest epoch, its keys alive or not.
    pub(super) newest: u32,
    /// The epochs that have a key left.
    pub(super) epochs: Vec<(u32, EpochKeys)>,
}

impl SubjectKeys {
    /// Whether every key of the newest epoch lives: then there is no newer one.
    pub(super) fn is_whole(&self) -> bool {
        self.epochs.iter().any(|(of, keys)| *of == self.newest && keys.is_whole())
    }

    pub(super) fn key(&self, epoch: u32, class: Class) -> Option<&[u8; 32]> {
        self.epochs.iter().find(|(of, _)| *of == epoch).and_then(|(_, keys)| keys.key(class))
    }
}
