//! Erasure as a process, what proves it, and the tree over the log that makes any change of the past visible; the past,
//! as far as it may still be known.

pub mod as_of;
pub mod data_map;
pub mod erasure;
pub mod estate;
pub mod export;
pub mod incident;
pub mod merkle;
pub mod moving;
pub mod proof;
pub mod recovery;
pub mod replays;
pub mod report;
pub mod tree;
