//! Which userIds may have a subject: a Bloom filter over their tags (B. H. Bloom, 1970). Of nearly every new userId it says
//! that nobody has it, without the read model being asked.
//!
//! It must hold every tag of the read model and every one that is reserved; one that it holds in vain costs a look into the
//! read model. Tags are keyed digests, so a part of one is as good as a hash of it.

use crate::privacy::Tag;

/// Bits kept for each tag there is room for. With four of them set for a tag, one of 400 unknown tags is looked up in vain.
const BITS_EACH: usize = 16;
/// Least room.
const ROOM_MIN: usize = 1 << 16;
/// Most room: its bits are numbered with 32 bits.
const ROOM_MAX: usize = 1 << 27;

/// The filter.
pub(super) struct KnownTags {
    words: Vec<u64>,
    room: usize,
    added: usize,
}

impl KnownTags {
    /// A filter with room for so many tags and as many again.
    pub(super) fn with_room_for(tags: usize) -> Self {
        let room = tags.saturating_mul(2).clamp(ROOM_MIN, ROOM_MAX);
        Self { words: vec![0; (room * BITS_EACH).div_ceil(64)], room, added: 0 }
    }

    /// The words and bits of a tag.
    fn bits(&self, tag: &Tag) -> impl Iterator<Item = (usize, u64)> + use<> {
        let bits = self.words.len() as u64 * 64;
        let (parts, _) = tag.as_chunks::<4>();
        let parts: [u32; 4] = std::array::from_fn(|at| parts.get(at).copied().map_or(0, u32::from_le_bytes));
        // Multiplied and shifted, 32 random bits are spread evenly over any number of bits.
        let bit = move |part: u32| (u64::from(part) * bits) >> 32;
        parts.into_iter().map(bit).map(|bit| (usize::try_from(bit / 64).unwrap_or_default(), 1 << (bit % 64)))
    }

    pub(super) fn add(&mut self, tag: &Tag) {
        for (word, bit) in self.bits(tag) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
        self.added += 1;
    }

    /// Whether somebody may have the userId; `false`: nobody has it.
    pub(super) fn may_hold(&self, tag: &Tag) -> bool {
        self.bits(tag).all(|(word, bit)| self.words.get(word).is_none_or(|word| word & bit != 0))
    }

    /// Whether more was added than there is room for, so that more and more is looked up in vain.
    pub(super) fn is_full(&self) -> bool {
        self.added > self.room && self.room < ROOM_MAX
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::{KnownTags, ROOM_MIN};

    proptest! {
        #[test]
        fn what_was_added_may_be_there(tags: Vec<[u8; 16]>, room in 0..100_000_usize) {
            let mut known = KnownTags::with_room_for(room);
            tags.iter().for_each(|tag| known.add(tag));
            prop_assert!(tags.iter().all(|tag| known.may_hold(tag)));
        }
    }

    #[test]
    fn with_as_many_as_it_has_room_for_few_others_are_taken_for_known() {
        let mut known = KnownTags::with_room_for(0);
        let next = || *uuid::Uuid::new_v4().as_bytes();
        (0..ROOM_MIN).for_each(|_| known.add(&digest(next())));
        assert!(!known.is_full());
        let in_vain = (0..100_000).filter(|_| known.may_hold(&digest(next()))).count();
        assert!((50..1_000).contains(&in_vain), "{in_vain} of 100,000");
        known.add(&digest(next()));
        assert!(known.is_full());
    }

    /// As random as a tag: a UUID has bits that are always the same.
    fn digest(bytes: [u8; 16]) -> [u8; 16] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        digest.as_ref()[..16].try_into().unwrap()
    }
}
