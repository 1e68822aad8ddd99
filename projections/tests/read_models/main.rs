//! What the read models promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod erasing;
mod histories;
mod matrix;
mod modules;
mod paging;
mod parking;
mod portable_sql;
mod postgres;
mod projecting;
mod rebuilding;
mod shape;
mod silence;
mod support;
mod taking_over;
