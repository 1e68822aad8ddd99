//! What the tests share: the service as a process of its own, and callers that sign.

pub mod service;
pub mod soundness;

pub use service::{App, Reply, Service};
