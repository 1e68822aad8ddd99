//! Read models in `PostgreSQL`, shared by every node.
//!
//! Three schemas hold them: the live one, the one beside it in which a read model is built anew, and what was live
//! before, for queries of nodes of the version before and for a way back.

mod apply;
mod before;
mod bulk;
mod claims;
mod connection;
mod deadline;
mod failure;
mod lanes;
mod lease;
mod lifecycle;
mod parking;
mod pipeline;
mod query_coalescer;
mod readers;
mod reading;
mod rebuilds;
mod retrying;
mod rows;
mod schema;
mod shadow;
mod store;
mod unnest;
mod value;

pub use before::{drop_before, go_back};
pub use claims::{ClaimVersion, Claimed, Claims, UnusedClaim};
pub use connection::prepare_connection;
pub use failure::describe;
pub(super) use lanes::Lanes;
pub use lease::{Lease, LeaseHolder};
pub use rebuilds::RebuildNote;
pub(super) use schema::LIVE;
pub use shadow::{BuildLock, Shadow};
pub(super) use store::Postgres;
