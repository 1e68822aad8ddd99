//! What is promised: every test name is a sentence that can be false.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod architecture;
mod as_of;
mod audit;
mod backup;
mod broken_log;
mod browser;
mod canary;
mod clean_stop;
mod cli;
mod client;
mod crash;
mod disk_full;
mod documents;
mod domain;
mod edge;
mod engine;
mod eventlog_contract;
mod eventlog_damage;
mod first_sessions;
mod foreign_exports;
mod http;
#[cfg(feature = "kurrentdb")]
mod kurrentdb;
mod logs;
mod nodes;
mod postgres;
mod presence_contract;
mod schemas_are_published;
mod sdk;
mod support;
#[cfg(feature = "otel")]
mod traces;
mod transfer;
mod webhooks;
