//! Rollcall: event-sourced user management for chat and community apps.
//!
//! `cli → bench → wiring → http → { audit | delivery | live } → engine → { domain | eventlog | privacy }`: see `ARCHITECTURE.md`.

pub mod audit;
mod background;
pub mod bench;
pub mod cli;
pub mod crash_point;
pub mod database;
pub mod delivery;
pub mod domain;
pub mod engine;
pub mod eventlog;
pub(crate) mod file_lock;
pub mod http;
pub mod live;
pub mod metrics;
pub(crate) mod open_files;
pub(crate) mod out;
pub mod privacy;
pub(crate) mod progress;
pub mod supervision;
mod tasks;
pub mod telemetry;
pub mod transfer;
pub mod wiring;
