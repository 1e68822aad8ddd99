//! From which address a request comes.

use std::net::IpAddr;

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The address of the client: where its connections and its failed authentications are counted. `None`: a proxy that is trusted does not say it.
pub(super) fn address(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
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
