//! Whether the process lives, and whether it should be given requests.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::Service;
use crate::supervision;

/// Answers `/health/{probe}`.
pub(super) fn answer(service: &Service, probe: &str) -> HttpResponse {
    let (status, body) = match probe {
        "live" => (StatusCode::OK, r#"{"status":"live"}"#),
        "ready" if supervision::ended().is_some() => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"failed"}"#),
        "ready" if service.engine.is_ready() && service.keeper.is_proven() => (StatusCode::OK, r#"{"status":"ready"}"#),
        // Not ready until the read models and the tree have caught up, and not any more once a stop has begun.
        "ready" => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"catching up"}"#),
        _ => (StatusCode::NOT_FOUND, r#"{"status":"no such probe"}"#),
    };
    HttpResponse::build(status).insert_header(("content-type", "application/json")).body(body)
}
