//! What the read models promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod beside;
mod claims;
mod erasing;
mod flushing;
mod growth;
mod histories;
mod lapsing;
mod matrix;
mod modules;
mod paging;
mod parking;
mod plans;
mod portable_sql;
mod postgres;
mod projecting;
mod rebuilding;
mod seeds;
mod several_subjects;
mod shape;
mod silence;
mod stored;
mod support;
mod taking_over;
mod tallying;
