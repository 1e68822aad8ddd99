//! How often may the endpoints of an app be called? An app that has no row has no limit.

mod projector;
mod queries;

pub use projector::RateLimits;
pub use queries::of;
