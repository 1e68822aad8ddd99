//! The edge of the service: limits, TLS, pages of other origins.

mod answers;
mod cors;
mod fuzzing;
mod limits;
mod schemathesis;
mod tls;
