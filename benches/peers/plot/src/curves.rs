//! What the bench writes, as far as it is drawn.

use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Curves {
    pub(crate) build: String,
    pub(crate) store: String,
    pub(crate) cores: u32,
    pub(crate) seconds: u32,
    pub(crate) connections: Vec<OverConnections>,
    pub(crate) users: Vec<OverUsers>,
}

#[derive(Deserialize)]
pub(crate) struct OverConnections {
    pub(crate) connections: f64,
    pub(crate) register: Point,
    pub(crate) query: Point,
}

#[derive(Deserialize)]
pub(crate) struct OverUsers {
    pub(crate) users: f64,
    pub(crate) connections: f64,
    pub(crate) register: Point,
    pub(crate) query: Point,
}

#[derive(Deserialize)]
pub(crate) struct Point {
    pub(crate) per_second: f64,
    pub(crate) p99_ms: f64,
    pub(crate) service_cpu_micros: f64,
}
