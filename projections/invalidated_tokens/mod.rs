//! Which access tokens were made invalid? All of a user that were issued before a time.
//!
//! How many were issued, and when, is told by [`crate::access_tokens`], which nobody asks about the present: a row written with
//! each login would be the dearest part of it.

mod projector;
mod queries;

pub use projector::InvalidatedTokens;
pub use queries::before;
