//! The keys of one subject, and the bounded memory of those used lately.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::{Class, DestroyedKey};
use zeroize::Zeroizing;

use super::page_key::{PageKey, PageRef};
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

/// The keys that a subject has.
#[derive(Clone)]
pub(super) enum HeldKeys {
    /// Written out.
    Own(Arc<SubjectKeys>),
    /// Derived from its page's, while every key of the page's subjects lives: so there is no second epoch.
    OfPage(Arc<PageKey>, SubjectRef),
}

impl HeldKeys {
    /// The newest epoch, its keys alive or not.
    pub(super) fn newest(&self) -> u32 {
        match self {
            Self::Own(keys) => keys.newest,
            Self::OfPage(..) => 0,
        }
    }

    /// Whether every key of the newest epoch lives: then there is no newer one.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Own(keys) => keys.is_whole(),
            Self::OfPage(..) => true,
        }
    }

    /// Whether there is a key of this epoch and class.
    pub(super) fn has(&self, epoch: u32, class: Class) -> bool {
        match self {
            Self::Own(keys) => keys.key(epoch, class).is_some(),
            Self::OfPage(..) => epoch == 0,
        }
    }

    /// Whether there is a key of one of these classes, of any epoch.
    pub(super) fn has_any(&self, classes: &[Class]) -> bool {
        match self {
            Self::Own(keys) => {
                keys.epochs.iter().any(|(_, keys)| classes.iter().any(|class| keys.key(*class).is_some()))
            }
            Self::OfPage(..) => !classes.is_empty(),
        }
    }

    /// Does something with the key of an epoch and class, which is wiped afterwards unless it is kept anyway.
    pub(super) fn with_key<T>(
        &self,
        epoch: u32,
        class: Class,
        work: impl FnOnce(&[u8; 32]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Own(keys) => work(keys.key(epoch, class).ok_or(Error::Erased)?),
            Self::OfPage(page, subject) if epoch == 0 => {
                let mut key = Zeroizing::new([0; 32]);
                page.derive(*subject, class, &mut key)?;
                work(&key)
            }
            Self::OfPage(..) => Err(Error::Erased),
        }
    }
}

const PARTS: usize = 16;
/// Subjects whose own keys are kept in memory, of one part: about 300 bytes each.
const SUBJECTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 12) - 1);
/// Pages whose keys are kept, of one part: together as much as 8 million subjects need, about 150 bytes each.
const PAGES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 11) - 1);

/// What was used lately, by what it belongs to.
struct Lately<K, V>([Mutex<LruCache<K, Arc<V>>>; PARTS]);

impl<K: Hash + Eq, V> Lately<K, V> {
    fn new(part_max: NonZeroUsize) -> Self {
        Self(std::array::from_fn(|_| Mutex::new(LruCache::new(part_max))))
    }

    fn part(&self, spread: usize) -> MutexGuard<'_, LruCache<K, Arc<V>>> {
        self.0[spread % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys used lately. What is evicted is wiped once nobody uses it.
pub(super) struct Cache {
    pages: Lately<PageRef, PageKey>,
    subjects: Lately<SubjectRef, SubjectKeys>,
}

/// The last byte: the first ones are alike within a page of new subjects.
fn spread(subject: SubjectRef) -> usize {
    usize::from(subject.0.as_bytes()[15])
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { pages: Lately::new(PAGES_MAX), subjects: Lately::new(SUBJECTS_MAX) }
    }

    pub(super) fn get(&self, subject: SubjectRef) -> Option<HeldKeys> {
        let page = PageRef::of(subject);
        if let Some(key) = self.pages.part(page.spread()).get(&page) {
            return Some(HeldKeys::OfPage(key.clone(), subject));
        }
        self.subjects.part(spread(subject)).get(&subject).cloned().map(HeldKeys::Own)
    }

    /// Whether the keys of a subject are in memory; they count as used.
    pub(super) fn holds(&self, subject: SubjectRef) -> bool {
        let page = PageRef::of(subject);
        self.pages.part(page.spread()).get(&page).is_some()
            || self.subjects.part(spread(subject)).get(&subject).is_some()
    }

    pub(super) fn put(&self, subject: SubjectRef, held: HeldKeys) {
        match held {
            HeldKeys::Own(keys) => drop(self.subjects.part(spread(subject)).put(subject, keys)),
            HeldKeys::OfPage(key, _) => self.put_page(PageRef::of(subject), key),
        }
    }

    pub(super) fn put_page(&self, page: PageRef, key: Arc<PageKey>) {
        self.pages.part(page.spread()).put(page, key);
    }

    /// Drops the keys of a subject, and the key of its page. Those of the page's other subjects stay in memory: where the new
    /// tree cannot be had for a while, they could not be read again.
    pub(super) fn remove(&self, subject: SubjectRef) {
        let page = PageRef::of(subject);
        let key = self.pages.part(page.spread()).pop(&page);
        if let Some(key) = key
            && let Err(error) = self.write_out(page, &key, subject)
        {
            tracing::warn!(%error, "keys were dropped with those of a neighbour; they are read again");
        }
        self.subjects.part(spread(subject)).pop(&subject);
    }

    fn write_out(&self, page: PageRef, key: &PageKey, but: SubjectRef) -> Result<(), Error> {
        for subject in key.subjects(page)?.into_iter().filter(|subject| *subject != but) {
            let epochs = vec![(0, key.written_out(subject)?)];
            self.put(subject, HeldKeys::Own(Arc::new(SubjectKeys { newest: 0, epochs })));
        }
        Ok(())
    }
}
