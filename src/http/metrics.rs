//! `/metrics`, for whoever operates the service.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, FORWARDED, HeaderMap, HeaderName, VIA};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::{Service, health, rest};
use crate::metrics::WebhookLag;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long the nodes are asked for.
const ANSWER_MAX: Duration = Duration::from_millis(500);
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Answers `/metrics` to a caller on this machine, or to one who shows an API key with the scope `operator`.
pub(super) async fn answer(service: &Service, request: &HttpRequest) -> HttpResponse {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "GET is the only method here\n");
    }
    if !is_local(request.peer_addr(), request.headers()) {
        match rest::is_operator(&service.engine, request.headers()) {
            Some(true) => {}
            Some(false) => return refused(StatusCode::FORBIDDEN, "the key lacks the scope operator\n"),
            None => {
                return refused(
                    StatusCode::UNAUTHORIZED,
                    "from another machine an API key with the scope operator is needed\n",
                );
            }
        }
    }
    let mut sampled = service.engine.sample().await;
    sampled.parked = service.parked.now(service.engine.read()).await;
    sampled.clients = service.live.registry.connected() as u64;
    let nodes = tokio::time::timeout(ANSWER_MAX, service.live.nodes()).await;
    sampled.nodes = nodes.ok().and_then(Result::ok).map(|(_, others)| others.len() as u64 + 1);
    sampled.waiting_replays = service.replays.waiting() as u64;
    sampled.ready = health::ready(service).await.0 == StatusCode::OK;
    if let Some(webhooks) = &service.webhooks {
        let lags = webhooks.lags().await.into_iter();
        sampled.webhooks = lags.map(|(id, events, age)| WebhookLag { webhook: id.0, events, age }).collect();
    }
    match service.engine.metrics().text(&sampled) {
        Ok(text) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, OPEN_METRICS))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(text),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
    }
}

/// Whether a process on this machine asks for itself: what a proxy on this machine passes on comes from elsewhere.
fn is_local(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    let is_passed_on = [&X_FORWARDED_FOR, &FORWARDED, &VIA].into_iter().any(|name| headers.contains_key(name));
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) && !is_passed_on
}

fn refused(status: StatusCode, text: &'static str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((ALLOW, "GET, HEAD"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header(("www-authenticate", "Bearer"));
    }
    response.insert_header((CONTENT_TYPE, "text/plain; charset=utf-8")).body(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn what_a_proxy_passes_on_is_not_local() {
        let peer = |text: &str| Some(text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for local in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(is_local(peer(local), &headers), "{local}");
        }
        assert!(!is_local(peer("10.0.0.1:1"), &headers) && !is_local(None, &headers));
        headers.insert(X_FORWARDED_FOR.clone(), HeaderValue::from_static("127.0.0.1"));
        assert!(!is_local(peer("127.0.0.1:1"), &headers));
    }
}
