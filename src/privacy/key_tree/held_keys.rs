//! The keys that a subject has, written out or derived, and the bounded memory of those used lately.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use zeroize::Zeroizing;

use super::page_key::{PageKey, PageRef};
use super::subject_keys::SubjectKeys;
use crate::privacy::Error;

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

/// Which part a subject is in, by its last byte: the first ones are alike within a page.
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
