//! Which access tokens were made invalid? All of a user or of an app that were issued before a time, and single ones.
//!
//! A single one is kept while it would be good otherwise: until another one of the user is revoked after it has expired.
//!
//! How many were issued, and when, is told by [`crate::access_tokens`], which nobody asks about the present: a row written with
//! each login would be the dearest part of it.

mod projector;
mod queries;

pub use projector::InvalidatedTokens;
pub use queries::{before, before_of_app, revoked_of};
