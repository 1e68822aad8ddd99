//! Who outside was sent personal data of a subject (GDPR, Article 19)?

mod projector;
mod queries;

pub use projector::Recipients;
pub use queries::{Recipient, of};
