//! Rollcall: event-sourced user management for chat and community apps.

pub mod eventlog;
pub mod privacy;
