//! Erasure as a process, and what proves it.

pub mod erasure;
