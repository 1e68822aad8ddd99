//! The upper part of the key tree: 1,024 shard keys and the key of the apps' keys, one page wrapped under the root.

use rollcall_schemas::ids::SubjectRef;
use zeroize::Zeroizing;

use super::wrapping::{self, Key, random};
use crate::privacy::Error;

/// How many shards there are: the first 10 bits of a subject name its shard.
pub(super) const SHARDS: usize = 1_024;

/// The shard of a subject.
pub(super) fn shard_of(subject: SubjectRef) -> usize {
    let [first, second, ..] = *subject.0.as_bytes();
    usize::from(first) << 2 | usize::from(second >> 6)
}

/// The lowest subject of a shard, and the lowest of the next one if there is one.
pub(super) fn range_of(shard: usize) -> ([u8; 16], Option<[u8; 16]>) {
    let lowest = |shard: usize| {
        let mut bytes = [0; 16];
        // 10 bits fit.
        bytes[..2].copy_from_slice(&u16::try_from(shard << 6).unwrap_or(u16::MAX).to_be_bytes());
        bytes
    };
    (lowest(shard), (shard + 1 < SHARDS).then(|| lowest(shard + 1)))
}

/// The keys that are in memory while the vault is open.
#[derive(Clone)]
pub(super) struct Tree {
    /// Which root wraps the page.
    pub(super) generation: u64,
    shards: Vec<Key>,
    apps: Key,
}

impl Tree {
    pub(super) fn fresh() -> Result<Self, Error> {
        let shards = (0..SHARDS).map(|_| random()).collect::<Result<_, _>>()?;
        Ok(Self { generation: 1, shards, apps: random()? })
    }

    pub(super) fn shard(&self, subject: SubjectRef) -> &Key {
        &self.shards[shard_of(subject)]
    }

    pub(super) fn shard_key(&self, shard: usize) -> &Key {
        &self.shards[shard]
    }

    pub(super) fn apps(&self) -> &Key {
        &self.apps
    }

    /// The tree of the next generation: these shards, and the apps if asked, have new keys.
    pub(super) fn next(&self, renewed: impl Iterator<Item = usize>, apps: bool) -> Result<Self, Error> {
        let mut shards = self.shards.clone();
        for shard in renewed {
            shards[shard] = random()?;
        }
        let apps = if apps { random()? } else { self.apps.clone() };
        Ok(Self { generation: self.generation + 1, shards, apps })
    }

    fn associated(vault: [u8; 16], generation: u64) -> [u8; 24] {
        let mut associated = [0; 24];
        associated[..16].copy_from_slice(&vault);
        associated[16..].copy_from_slice(&generation.to_be_bytes());
        associated
    }

    pub(super) fn wrap(&self, root: &Key, vault: [u8; 16]) -> Result<Vec<u8>, Error> {
        let mut page = Zeroizing::new(Vec::with_capacity(32 * (SHARDS + 1)));
        self.shards.iter().chain([&self.apps]).for_each(|key| page.extend_from_slice(key.as_slice()));
        wrapping::seal(root, &Self::associated(vault, self.generation), page)
    }

    pub(super) fn unwrap(root: &Key, vault: [u8; 16], generation: u64, page: &[u8]) -> Result<Self, Error> {
        let damaged = || {
            Error::Damaged(
                "the page of shard keys does not open under the root; was the vault made with another root cell?"
                    .into(),
            )
        };
        let page = wrapping::open(root, &Self::associated(vault, generation), page)?.ok_or_else(damaged)?;
        let (keys, rest) = page.as_chunks::<32>();
        let (Some((apps, shards)), true) = (keys.split_last(), rest.is_empty()) else { return Err(damaged()) };
        if shards.len() != SHARDS {
            return Err(damaged());
        }
        let shards = shards.iter().map(|key| Zeroizing::new(*key)).collect();
        Ok(Self { generation, shards, apps: Zeroizing::new(*apps) })
    }
}
