//! Decisions. Pure: time, ids and randomness arrive as data; nothing here is async or does I/O.
//!
//! Each aggregate is one file with its state, its commands, why they may be refused, and `evolve`; a larger command is a
//! file in the aggregate's folder. A command declares which streams it reads ([`Reads`]) and is decided over a
//! [`UnitOfWork`], which shows it those streams and no others.

// A new event, state or command must be decided upon wherever the others are.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod access;
pub mod allowlist;
pub mod app;
pub mod ban;
pub mod blocklist;
mod command;
pub mod data_request;
pub mod erasure;
pub mod friend_groups;
pub mod friendship;
pub mod import;
pub mod operation;
mod refusal;
pub mod remarks;
mod reply;
pub mod roster;
mod state;
mod targets;
pub mod token;
pub mod user;
pub mod values;
pub mod webhook;
mod work;

pub use command::{
    Command, Decide, DynCommand, DynDecide, ErasureOwner, Found, FriendRequest, Lookup, Person, ReplyOf, TokenTimes,
};
pub use refusal::{Defect, Error, LIST_MAX, ListKind, RECEIVED_REQUESTS_MAX, Refusal, SENT_REQUESTS_MAX};
pub use reply::{Befriended, IssuedToken, Registration, Reply, TypedReply};
pub use state::{Aggregate, Misplaced, Snapshot, State, belongs};
pub use work::{Context, Decision, Expected, Reads, UnitOfWork, World, decide};
