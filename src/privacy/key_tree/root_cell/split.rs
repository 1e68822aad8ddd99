//! A root over two cells: each holds a share, the root is the exclusive or of both. A share alone is a random number
//! and says nothing about the root, and destroying either share destroys the root.
//!
//! Both cells go through the steps of a rotation in the same order. Wherever it is cut short, both hold the generation
//! that the vault's file needs: a share is put in both before the file moves on, and kept in both until it has.

use zeroize::Zeroizing;

use super::super::wrapping::random;
use super::{Root, RootCell};
use crate::privacy::{Error, Finality};

/// Two cells that hold one root.
pub(in crate::privacy::key_tree) struct SplitCell {
    first: Box<dyn RootCell>,
    second: Box<dyn RootCell>,
}

impl SplitCell {
    pub(in crate::privacy::key_tree) fn new(first: Box<dyn RootCell>, second: Box<dyn RootCell>) -> Self {
        Self { first, second }
    }
}

fn combine(one: &Root, other: &Root) -> Root {
    let mut combined = Zeroizing::new([0; 32]);
    for (to, (a, b)) in combined.iter_mut().zip(one.iter().zip(other.iter())) {
        *to = a ^ b;
    }
    combined
}

/// What is kept for both cells: the length of the first part, then both.
fn together(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), first, second].concat()
}

fn apart(kept: &[u8]) -> (&[u8], &[u8]) {
    let parts = kept.split_first_chunk::<4>().and_then(|(length, rest)| {
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX))
    });
    // What is not whole opens nothing.
    parts.unwrap_or_default()
}

impl RootCell for SplitCell {
    fn reach(&self) -> Result<(), Error> {
        self.first.reach()?;
        self.second.reach()
    }

    fn root(&self, vault: [u8; 16], generation: u64, kept: &[u8]) -> Result<Option<Root>, Error> {
        let (of_first, of_second) = apart(kept);
        let (first, second) =
            (self.first.root(vault, generation, of_first)?, self.second.root(vault, generation, of_second)?);
        Ok(first.zip(second).map(|(first, second)| combine(&first, &second)))
    }

    fn put(&self, vault: [u8; 16], generation: u64, root: &Root) -> Result<Vec<u8>, Error> {
        let share = random()?;
        let first = self.first.put(vault, generation, &share)?;
        Ok(together(&first, &self.second.put(vault, generation, &combine(root, &share))?))
    }

    fn keep_only(&self, vault: [u8; 16], generation: u64, kept: &[u8]) -> Result<(), Error> {
        let (of_first, of_second) = apart(kept);
        // The second one also when the first fails: one share less is a root less.
        let first = self.first.keep_only(vault, generation, of_first);
        self.second.keep_only(vault, generation, of_second)?;
        first
    }

    fn wipe(&self) -> Result<(), Error> {
        let first = self.first.wipe();
        self.second.wipe()?;
        first
    }

    fn is_shared(&self) -> bool {
        self.first.is_shared() && self.second.is_shared()
    }

    fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.first.is_empty()? && self.second.is_empty()?)
    }

    fn class(&self) -> Finality {
        // A root is as dead as its deadest share.
        self.first.class().min(self.second.class())
    }

    fn describe(&self) -> String {
        format!("split over two: {}; {}", self.first.describe(), self.second.describe())
    }

    fn kind(&self) -> String {
        format!("split over two: {}; {}", self.first.kind(), self.second.kind())
    }
}
