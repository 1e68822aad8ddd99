//! Which webhooks are there, what is each told and where, and does its receiver acknowledge?

mod projector;
mod queries;

pub use projector::Webhooks;
pub use queries::{Webhook, by_id, enabled_after, page};
