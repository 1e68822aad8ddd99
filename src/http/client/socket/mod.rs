//! `GET /client/v1/connect`: JSON-RPC 2.0 in text frames over a WebSocket.

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use ipnet::IpNet;

use super::problem::Problem;
use super::{Incoming, Service};
use crate::http::peer;
use crate::http::socket_place::SocketPlace;
use crate::http::tls::Transport;
use crate::tasks;
use wire::Wire;

mod connect;
mod decoder;
mod frames;
mod pace;
mod session;
mod timers;
mod wire;

pub(in crate::http::client) use connect::{ConnectParams, Connected};
#[cfg(feature = "fuzzing")]
pub(in crate::http::client) use frames::fuzz as fuzz_frame;
pub(in crate::http::client) use session::TokenExpiring;

/// Bytes that a frame may have, and a message of several frames.
const FRAME_MAX: usize = 32 * 1024;

/// What an operator can choose of sockets.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often a client is asked for a sign of life; it has a third of that to give one.
    pub heartbeat: Duration,
    /// How long a client may take for its first frame.
    pub connect_wait: Duration,
    /// Requests that a client may send in a second, on average; twice as many at once.
    pub requests_per_second: u32,
    /// Proxies that say for whom they ask, in `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(25),
            connect_wait: Duration::from_secs(10),
            requests_per_second: 20,
            trusted_proxies: vec![],
        }
    }
}

/// Makes a WebSocket of the connection of a request.
pub(super) fn open(
    service: &web::Data<Service>,
    request: &HttpRequest,
    incoming: &mut Incoming,
) -> Result<HttpResponse, Problem> {
    if service.drain.has_begun() {
        return Err(Problem::NoPlace);
    }
    let address = peer::address(request, &service.sockets.trusted_proxies);
    service.failures.admit(address, Instant::now()).map_err(Problem::Slowed)?;
    let early = incoming.take().ok_or(Problem::NoSocket)?;
    let mut response = actix_http::ws::handshake(request.head()).map_err(|_| Problem::NoSocket)?;
    let connection = request.conn_data::<SocketPlace<Transport>>().ok_or(Problem::NoSocket)?;
    let place = service.live.registry.place(address).ok_or(Problem::NoPlace)?;
    let handover = connection.become_socket();
    let service = service.clone();
    tasks::spawn_local(async move {
        if let Some(wire) = Wire::take(handover, early).await {
            session::run(service, wire, address).await;
        }
        drop(place);
    });
    Ok(response.finish().map_into_boxed_body().into())
}
