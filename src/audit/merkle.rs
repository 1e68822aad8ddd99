//! Merkle trees as RFC 6962 and RFC 9162 define them: hashes, proofs and their verification. Pure; it knows nothing of
//! where the hashes are kept.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

fn digest(prefix: u8, parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The hash of a leaf whose bytes come in parts (RFC 6962, 2.1).
#[must_use]
pub fn leaf(parts: &[&[u8]]) -> Hash {
    digest(0, parts)
}

/// The hash of the node above two others (RFC 6962, 2.1).
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    digest(1, &[left, right])
}

/// The root of no leaf at all.
#[must_use]
pub fn empty() -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, &[]).as_ref());
    hash
}

/// The root over hashes of one level, at most as many as a tile has.
#[must_use]
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => empty(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(half(many.len() as u64) as usize);
            node(&root_of(left), &root_of(right))
        }
    }
}

/// The largest power of two below `size`; `size` is at least 2.
fn half(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Where hashes of whole subtrees come from.
pub trait Nodes {
    /// Why a hash cannot be had.
    type Error;

    /// The hash of the subtree over the leaves from `index << level` to `(index + 1) << level`, all of which exist.
    ///
    /// # Errors
    /// The hash cannot be read.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;

    /// The root over the leaves from `from` to `to`, as a part of a tree.
    ///
    /// # Errors
    /// A hash cannot be read.
    fn range(&self, from: u64, to: u64) -> Result<Hash, Self::Error> {
        let size = to - from;
        if size == 0 {
            return Ok(empty());
        }
        if size.is_power_of_two() && from.is_multiple_of(size) {
            let level = size.trailing_zeros();
            return self.node(level, from >> level);
        }
        let middle = from + half(size);
        Ok(node(&self.range(from, middle)?, &self.range(middle, to)?))
    }

    /// The root of the tree of the first `size` leaves.
    ///
    /// # Errors
    /// A hash cannot be read.
    fn root(&self, size: u64) -> Result<Hash, Self::Error> {
        self.range(0, size)
    }

    /// The proof that the leaf of that index is in the tree of that size (RFC 6962, 2.1.1).
    ///
    /// # Errors
    /// A hash cannot be read.
    fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, Self::Error> {
        let (mut from, mut to) = (0, size);
        let mut proof = Vec::new();
        while to - from > 1 {
            let middle = from + half(to - from);
            if index < middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// The proof that the tree of size `old` is the beginning of the tree of size `new` (RFC 6962, 2.1.2).
    ///
    /// # Errors
    /// A hash cannot be read.
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Self::Error> {
        let (mut from, mut to) = (0, new);
        let mut proof = Vec::new();
        if old == 0 || old >= new {
            return Ok(proof);
        }
        while to != old {
            let middle = from + half(to - from);
            if old <= middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
            }
        }
        if from > 0 {
            proof.push(self.range(from, to)?);
        }
        proof.reverse();
        Ok(proof)
    }
}

/// The tree over leaves that come one after the other: it keeps a hash per level only.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the full subtrees, the largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right)).unwrap_or_else(empty)
    }
}

/// Whether the proof shows a leaf at `index` of the tree of `size` leaves with that root (RFC 9162, 2.1.3.2).
#[must_use]
pub fn includes(root: &Hash, size: u64, index: u64, leaf: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for beside in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(beside, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether the proof shows that the tree of the new size begins with the tree of the old one (RFC 9162, 2.1.4.2).
#[must_use]
pub fn extends((old, old_root): (u64, &Hash), (new, new_root): (u64, &Hash), proof: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty();
    }
    let whole = old.is_power_of_two();
    let (first, rest) = match (whole, proof.split_first()) {
        (true, _) => (old_root, proof),
        (false, Some((first, rest))) => (first, rest),
        (false, None) => return false,
    };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut of_old, mut of_new) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            of_old = node(beside, &of_old);
            of_new = node(beside, &of_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node(&of_new, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    struct InMemory(Vec<Hash>);

    impl Nodes for InMemory {
        type Error = Infallible;
        fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
            let from = (index << level) as usize;
            Ok(root_of(&self.0[from..from + (1 << level)]))
        }
    }

    fn of(size: u64) -> InMemory {
        InMemory((0..size).map(|n| leaf(&[&n.to_be_bytes()])).collect())
    }

    /// The vectors of certificate-transparency-go (merkle_verifier_test): eight leaves.
    #[test]
    fn roots_are_those_of_the_published_vectors() {
        let leaves =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let tree = InMemory(leaves.iter().map(|hexed| leaf(&[&hex::decode(hexed).unwrap()])).collect());
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, root) in (1..).zip(roots) {
            assert_eq!(hex::encode(tree.root(size).unwrap()), root, "of {size} leaves");
        }
        assert_eq!(hex::encode(empty()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    proptest! {
        #[test]
        fn a_proof_shows_its_own_leaf_and_no_other(size in 1_u64..600, index in 0_u64..600, flip in 0_usize..256) {
            let index = index % size;
            let tree = of(size);
            let (root, proof) = (tree.root(size).unwrap(), tree.inclusion(index, size).unwrap());
            prop_assert!(includes(&root, size, index, &tree.0[index as usize], &proof));
            if size > 1 {
                let other = (index + 1) % size;
                prop_assert!(!includes(&root, size, other, &tree.0[index as usize], &proof));
                prop_assert!(!includes(&root, size, index, &tree.0[other as usize], &proof));
                let mut bent = proof.clone();
                let which = flip % bent.len();
                bent[which][flip % 32] ^= 1;
                prop_assert!(!includes(&root, size, index, &tree.0[index as usize], &bent));
                prop_assert!(!includes(&root, size, index, &tree.0[index as usize], &proof[1..]));
            }
        }

        #[test]
        fn a_tree_extends_its_beginnings_and_no_other_tree(new in 1_u64..600, old in 1_u64..600, flip in 0_usize..256) {
            let old = old % new + u64::from(old % new == 0);
            let tree = of(new);
            let (before, after) = (tree.root(old).unwrap(), tree.root(new).unwrap());
            let proof = tree.consistency(old, new).unwrap();
            prop_assert!(extends((old, &before), (new, &after), &proof));
            let mut forged = of(new);
            forged.0[flip % old as usize] = leaf(&[b"another"]);
            prop_assert!(!extends((old, &forged.root(old).unwrap()), (new, &after), &proof));
            prop_assert!(!extends((old, &before), (new, &forged.root(new).unwrap()), &proof));
            if let Some(which) = flip.checked_rem(proof.len()) {
                let mut bent = proof.clone();
                bent[which][flip % 32] ^= 1;
                prop_assert!(!extends((old, &before), (new, &after), &bent));
            }
        }
    }
}
