//! `GET /client/v1/connect`: JSON-RPC 2.0 in text frames over a WebSocket.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use ipnet::IpNet;

use super::problem::Problem;
use super::{Incoming, Service};
use crate::http::socket_place::SocketPlace;

mod connect;
mod frames;
mod pace;
mod session;
mod wire;

pub(in crate::http::client) use connect::{ConnectParams, Connected};
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

/// Whose connections are counted together: the address of the client. `None`: a proxy that is trusted does not say it.
fn address(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let peer = request.peer_addr()?.ip().to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    // The last one that is not a trusted proxy: whatever stands before it, the client may have written itself.
    let named = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let named: Vec<_> = named.flat_map(|value| value.split(',')).map(|text| text.trim().parse::<IpAddr>()).collect();
    named.into_iter().rev().map_while(Result::ok).map(|address| address.to_canonical()).find(|a| !is_trusted(a))
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
    let payload = incoming.take().ok_or(Problem::NoSocket)?;
    let (response, sink, stream) = actix_ws::handle(request, payload).map_err(|_| Problem::NoSocket)?;
    let address = address(request, &service.sockets.trusted_proxies);
    let place = service.live.registry.place(address).ok_or(Problem::NoPlace)?;
    let connection = request.conn_data::<SocketPlace>().cloned().unwrap_or_default();
    connection.become_socket();
    let stream = stream.max_frame_size(FRAME_MAX).aggregate_continuations().max_continuation_size(FRAME_MAX);
    let wire = wire::Wire::new(sink, stream, connection);
    let service = service.clone();
    actix_web::rt::spawn(async move {
        session::run(service, wire).await;
        drop(place);
    });
    Ok(response)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use actix_web::test::TestRequest;

    use super::*;

    fn of(peer: &str, forwarded: Option<&str>) -> Option<String> {
        let mut request = TestRequest::default().peer_addr(format!("{peer}:1").parse().unwrap());
        if let Some(forwarded) = forwarded {
            request = request.insert_header(("X-Forwarded-For", forwarded));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        address(&request.to_http_request(), &trusted).map(|address| address.to_string())
    }

    #[test]
    fn a_client_is_counted_by_its_own_address_and_cannot_say_another_one() {
        assert_eq!(of("192.0.2.1", Some("198.51.100.7")).unwrap(), "192.0.2.1");
        assert_eq!(of("10.0.0.1", Some("198.51.100.7")).unwrap(), "198.51.100.7");
        assert_eq!(of("10.0.0.1", Some("203.0.113.9, 198.51.100.7, 10.0.0.2")).unwrap(), "198.51.100.7");
        assert_eq!(of("10.0.0.1", Some("198.51.100.7, nonsense")), None);
        assert_eq!(of("10.0.0.1", None), None);
        assert_eq!(of("[::ffff:192.0.2.1]", None).unwrap(), "192.0.2.1");
    }
}
