//! Which access tokens does a user have? How many were issued, the last one, and what was made invalid.
//!
//! Reads `token.issued`, `token.invalidated_before` and `user.forgotten`. That a token counts is decided from its
//! stream, the user's epoch and the app's secrets; this read model is for looking.

mod projector;
mod queries;

pub use projector::AccessTokens;
pub use queries::{Issued, Tokens, of};
