//! The log on a real `PostgreSQL`: its order under adversaries, and what becomes of it when something breaks.

mod between;
mod disk;
mod failover;
mod faults;
mod hanging;
pub mod history;
mod late;
mod search;
mod silence;
mod statements;
mod suite;
mod torture;
mod webhooks;
mod writers;
