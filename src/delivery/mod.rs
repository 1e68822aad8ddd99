//! What leaves the service by itself: the events of the log as CloudEvents, told to the app they belong to.
//!
//! There is no queue. Whoever is told of events is a cursor on the log.

pub mod cloud_event;
pub mod event_type;
pub mod feed;
pub mod webhooks;
