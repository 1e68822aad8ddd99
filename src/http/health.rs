//! Whether the process lives, and whether it should be given requests.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use rollcall_projections::store::ReadStore;
use tokio::sync::Mutex;

use super::Service;
use crate::engine::BrokenLog;
use crate::supervision;

/// How long a count of parked streams is taken for the current one: probes are frequent, and anybody may send them.
const COUNTED_FOR: Duration = Duration::from_secs(1);
/// How long the read store may take to count.
const COUNT_MAX: Duration = Duration::from_millis(500);

/// How many streams are parked, as it was counted a moment ago.
#[derive(Default)]
pub(super) struct ParkedCount(Mutex<Option<(Instant, u64)>>);

impl ParkedCount {
    /// If the store does not answer in time, the last count is used: whether the node can serve is checked elsewhere.
    pub(super) async fn now(&self, read: &ReadStore) -> u64 {
        let mut counted = self.0.lock().await;
        let before = match *counted {
            Some((at, count)) if at.elapsed() < COUNTED_FOR => return count,
            Some((_, count)) => count,
            None => 0,
        };
        let count = match tokio::time::timeout(COUNT_MAX, read.parked_count()).await {
            Ok(Ok(count)) => count,
            Ok(Err(_)) | Err(_) => before,
        };
        *counted = Some((Instant::now(), count));
        count
    }
}

/// Answers `/health/{probe}`.
pub(super) async fn answer(service: &Service, probe: &str) -> HttpResponse {
    let (status, body) = match probe {
        "live" => (StatusCode::OK, r#"{"status":"live"}"#.into()),
        "ready" => ready(service).await,
        _ => (StatusCode::NOT_FOUND, r#"{"status":"no such probe"}"#.into()),
    };
    HttpResponse::build(status).insert_header(("content-type", "application/json")).body(body)
}

pub(super) async fn ready(service: &Service) -> (StatusCode, String) {
    if supervision::ended().is_some() {
        return (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"failed"}"#.into());
    }
    if let Some(broken) = service.engine.broken_log() {
        return broken_log(&broken);
    }
    if service.drain.has_begun() {
        return (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#.into());
    }
    // The read models or the tree have not caught up.
    if !service.engine.is_ready() || !service.keeper.is_proven() {
        return (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"catching up"}"#.into());
    }
    readiness(service.parked.now(service.engine.read()).await, service.ready_with_parked)
}

/// Nothing is answered from a log that is broken; `reason` is a stable code.
fn broken_log(broken: &BrokenLog) -> (StatusCode, String) {
    let BrokenLog { code, position, reason } = broken;
    let body = serde_json::json!({"status": "log broken", "reason": code, "position": position, "message": reason});
    (StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

/// Read models leave out what is parked: their answers are not whole.
fn readiness(parked: u64, ready_with_parked: bool) -> (StatusCode, String) {
    match parked {
        0 => (StatusCode::OK, r#"{"status":"ready"}"#.into()),
        parked if ready_with_parked => (StatusCode::OK, format!(r#"{{"status":"ready","parked":{parked}}}"#)),
        parked => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                r#"{{"status":"parked","parked":{parked},"message":"read models could not apply events of {parked} streams and leave them out; see `rollcall parked list`, or serve with --ready-with-parked"}}"#
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parked_streams_make_a_node_not_ready_unless_the_operator_says_otherwise() {
        assert_eq!(readiness(0, false), (StatusCode::OK, r#"{"status":"ready"}"#.into()));
        let (status, body) = readiness(2, false);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["parked"]), (StatusCode::SERVICE_UNAVAILABLE, &2.into()));
        assert!(body["message"].as_str().unwrap().contains("rollcall parked list"), "{body}");
        assert_eq!(readiness(2, true), (StatusCode::OK, r#"{"status":"ready","parked":2}"#.into()));
    }
}
