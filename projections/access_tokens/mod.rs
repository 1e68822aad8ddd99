//! Which access tokens does a user have? How many were issued, the last one, and what was made invalid.
//!
//! Whether a token is valid is decided from its stream, the user's epoch and the app's secrets; this read model only shows.

mod projector;
mod queries;

pub use projector::AccessTokens;
pub use queries::{Issued, Tokens, of};
