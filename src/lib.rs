//! Rollcall: event-sourced user management for chat and community apps.

pub mod domain;
pub mod eventlog;
pub mod privacy;
