//! The keys of the subjects that are made together: one random key for the page, from which theirs are derived while all of
//! them live. Before one of them is destroyed, the others are written out and the page's key is destroyed with it
//! (docs/decisions/0052-keys-of-a-page.md).

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::sealing;
use super::subject_keys::EpochKeys;
use super::tree::range_of;
use super::wrapping::{Key, Wrapper, fill_randomly, random};
use crate::privacy::Error;

/// Subjects of one page.
pub(super) const SUBJECTS: u16 = 256;
/// How many bytes the references of its subjects have in common: no two pages have the same.
const SHARED: usize = 6;
/// What is behind them in a page's own reference, which no subject has: a UUID names its version there.
pub(super) const NOBODY: [u8; 16 - SHARED] = [0; 16 - SHARED];

/// Names a page: what the references of its subjects begin with, and nothing behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PageRef([u8; SHARED]);

impl PageRef {
    /// A new page of this shard.
    pub(super) fn fresh(shard: usize) -> Result<Self, Error> {
        let (prefix, _) = range_of(shard);
        let mut bytes = *random::<SHARED>()?;
        bytes[0] = prefix[0];
        bytes[1] = prefix[1] | bytes[1] & 0b0011_1111;
        Ok(Self(bytes))
    }

    /// The page that a subject is of, if it is of one.
    pub(super) fn of(subject: SubjectRef) -> Self {
        let mut shared = [0; SHARED];
        shared.copy_from_slice(&subject.0.as_bytes()[..SHARED]);
        Self(shared)
    }

    /// The page whose row this is; `None`: it is a subject's.
    pub(super) fn of_row(reference: [u8; 16]) -> Option<Self> {
        let (shared, rest) = reference.split_first_chunk::<SHARED>()?;
        (*rest == NOBODY).then_some(Self(*shared))
    }

    /// What its row is found by.
    pub(super) fn row(self) -> [u8; 16] {
        self.before(NOBODY)
    }

    /// Any of the last bytes that differ from page to page.
    pub(super) fn spread(self) -> usize {
        usize::from(self.0[SHARED - 1])
    }

    fn before(self, rest: [u8; 16 - SHARED]) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..SHARED].copy_from_slice(&self.0);
        bytes[SHARED..].copy_from_slice(&rest);
        bytes
    }
}

/// The key of a page. It stays where it was made: what is moved leaves a copy behind.
pub(super) struct PageKey(Box<Key>);

impl PageKey {
    pub(super) fn fresh() -> Result<Self, Error> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        fill_randomly(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The references of its subjects, in order.
    pub(super) fn subjects(&self, page: PageRef) -> Result<Vec<SubjectRef>, Error> {
        let one = |number: u16| {
            let mut rest = NOBODY;
            sealing::expand_into(&self.0, &[b"rollcall subject reference", &number.to_be_bytes()], &mut rest)?;
            Ok(SubjectRef(uuid::Builder::from_random_bytes(page.before(rest)).into_uuid()))
        };
        let mut subjects = (0..SUBJECTS).map(one).collect::<Result<Vec<_>, Error>>()?;
        subjects.sort_unstable_by_key(|subject: &SubjectRef| Uuid::into_bytes(subject.0));
        Ok(subjects)
    }

    /// Writes the key of one of its subjects there.
    pub(super) fn derive(&self, subject: SubjectRef, class: Class, key: &mut [u8; 32]) -> Result<(), Error> {
        let info: [&[u8]; 3] = [b"rollcall subject key", subject.0.as_bytes(), &[class.number()]];
        sealing::expand_into(&self.0, &info, key)
    }

    /// All keys of one of its subjects.
    pub(super) fn written_out(&self, subject: SubjectRef) -> Result<EpochKeys, Error> {
        EpochKeys::of(|class, key| self.derive(subject, class, key))
    }

    pub(super) fn wrap(&self, shard: &Wrapper, page: PageRef) -> Result<Vec<u8>, Error> {
        shard.seal(&page.row(), Zeroizing::new(self.0.to_vec()))
    }

    pub(super) fn unwrap(shard: &Wrapper, page: PageRef, wrapped: &[u8]) -> Result<Self, Error> {
        let opened = shard.open(&page.row(), wrapped);
        let key: Option<&[u8; 32]> = opened.as_ref().and_then(|opened| opened.as_slice().try_into().ok());
        let key = key.ok_or_else(|| Error::Damaged("the key of a page of subjects does not open".into()))?;
        let mut own = Box::new(Zeroizing::new([0; 32]));
        own.copy_from_slice(key);
        Ok(Self(own))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;
    use crate::privacy::key_tree::tree::shard_of;

    #[test]
    fn the_subjects_of_a_page_are_in_order_in_its_shard_and_the_same_each_time() {
        for shard in [0, 1, 512, 1_023] {
            let (page, key) = (PageRef::fresh(shard).unwrap(), PageKey::fresh().unwrap());
            let subjects = key.subjects(page).unwrap();
            assert_eq!(subjects, key.subjects(page).unwrap());
            assert_eq!(subjects.iter().collect::<HashSet<_>>().len(), usize::from(SUBJECTS));
            assert!(subjects.is_sorted_by_key(|subject| *subject.0.as_bytes()));
            for subject in subjects {
                assert_eq!((shard_of(subject), PageRef::of(subject)), (shard, page));
                assert_eq!(PageRef::of_row(*subject.0.as_bytes()), None, "a subject is taken for a page");
                assert_eq!(subject.0.get_version_num(), 4);
            }
            assert_eq!(PageRef::of_row(page.row()), Some(page));
        }
    }

    fn derived(key: &PageKey, subject: SubjectRef, class: Class) -> [u8; 32] {
        let mut derived = [0; 32];
        key.derive(subject, class, &mut derived).unwrap();
        derived
    }

    #[test]
    fn what_is_written_out_is_what_was_derived_and_no_two_keys_are_alike() {
        let (page, key) = (PageRef::fresh(7).unwrap(), PageKey::fresh().unwrap());
        let mut seen = HashSet::new();
        for subject in key.subjects(page).unwrap() {
            let written = key.written_out(subject).unwrap();
            for class in Class::ALL {
                assert_eq!(written.key(class), Some(&derived(&key, subject, class)));
                assert!(seen.insert(derived(&key, subject, class)));
            }
        }
    }

    #[test]
    fn the_key_of_a_page_opens_in_its_own_row_under_its_own_shard_only() {
        let (page, key) = (PageRef::fresh(7).unwrap(), PageKey::fresh().unwrap());
        let [shard, other] = [(); 2].map(|()| Wrapper::of(&random().unwrap()).unwrap());
        let wrapped = key.wrap(&shard, page).unwrap();
        let subject = key.subjects(page).unwrap()[0];
        let opened = PageKey::unwrap(&shard, page, &wrapped).unwrap();
        assert_eq!(derived(&opened, subject, Class::Profile), derived(&key, subject, Class::Profile));
        assert!(PageKey::unwrap(&other, page, &wrapped).is_err());
        assert!(PageKey::unwrap(&shard, PageRef::fresh(7).unwrap(), &wrapped).is_err());
        assert!(PageKey::unwrap(&shard, page, &wrapped[1..]).is_err());
        let keys = EpochKeys::fresh().unwrap();
        let packed = keys.wrap(&shard, SubjectRef(Uuid::from_bytes(page.row())), 0).unwrap();
        assert!(PageKey::unwrap(&shard, page, &packed).is_err(), "the keys of a subject are no page's");
    }
}
