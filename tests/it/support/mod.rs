//! What the tests share: the service as a process of its own, and callers that sign.

pub mod cluster;
pub mod files;
pub mod haproxy;
pub mod log_layer;
pub mod openbao;
pub mod relay;
pub mod second_subject;
pub mod service;
pub mod shape;
pub mod small_disk;
pub mod soundness;
pub mod transit;
pub mod wire;

pub use cluster::Cluster;
pub use files::copy_dir;
pub use service::{App, Reply, Service, place, rollcall};
