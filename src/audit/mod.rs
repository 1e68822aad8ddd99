//! Erasure as a process, and what proves it; the past, as far as it may still be known.

pub mod as_of;
pub mod erasure;
