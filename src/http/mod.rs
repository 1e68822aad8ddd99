//! The faces. An adapter translates; it decides nothing. The faces never import each other, and none knows the log.
//!
//! Paths are matched by one handler and not by the router of the web server, because every answer has to be in the
//! face's own JSON (also 404, 405 and 413), and because official SDKs ask for `//user/…`.

use std::borrow::Cow;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use crate::audit::replays::Replays;
use crate::audit::tree::Keeper;
use crate::engine::Engine;

mod exchange;
mod health;
mod rest;
mod server_v1;
mod transparency;

/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long a client may take to send the head of a request.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// How long a client may take to send the body of a request.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// How long a client may take to close a connection.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Connections one worker holds at the same time; more wait in the backlog of the listener.
const CONNECTIONS_MAX: usize = 10_000;
/// How long a stop waits for requests under way, in seconds.
const DRAIN_SECONDS: u64 = 15;

/// What an operator can choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that answer requests.
    pub workers: usize,
    /// Whether the process is ready while streams are parked.
    pub ready_with_parked: bool,
}

/// What every face works with.
struct Service {
    engine: Arc<Engine>,
    keeper: Arc<Keeper>,
    replays: Arc<Replays>,
    parked: health::ParkedCount,
    ready_with_parked: bool,
}

/// Serves every face on `listener`, until the handle of the returned server stops it. Signals are left to the caller.
///
/// # Errors
/// The listener cannot be used.
pub fn run(
    engine: Arc<Engine>,
    keeper: Arc<Keeper>,
    replays: Arc<Replays>,
    listener: TcpListener,
    options: Options,
) -> std::io::Result<Server> {
    let service = web::Data::new(Service {
        engine,
        keeper,
        replays,
        parked: health::ParkedCount::default(),
        ready_with_parked: options.ready_with_parked,
    });
    let server = HttpServer::new(move || App::new().app_data(service.clone()).default_service(web::to(answer)))
        .workers(options.workers.max(1))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_WAIT)
        .client_disconnect_timeout(CLOSE_WAIT)
        .max_connections(CONNECTIONS_MAX)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

async fn answer(service: web::Data<Service>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let path = collapsed(request.path());
    if let Some(rest) = path.strip_prefix("/api/v1/") {
        rest::answer(&service, &request, payload, rest).await
    } else if let Some(probe) = path.strip_prefix("/health/") {
        health::answer(&service, probe).await
    } else if path == "/openapi.json" {
        HttpResponse::Ok().insert_header(("content-type", "application/json")).body(openapi())
    } else if let Some(response) = transparency::answer(&service, &path) {
        response
    } else {
        server_v1::answer(&service, &request, payload, &path).await
    }
}

/// The OpenAPI 3.1 document of the REST face, as it is checked in under `schemas/api/openapi.json`.
#[must_use]
pub fn openapi() -> String {
    rest::openapi::document().to_pretty_json().unwrap_or_default() + "\n"
}

/// The path with each run of slashes made one.
fn collapsed(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::collapsed;

    #[test]
    fn runs_of_slashes_in_a_path_count_as_one() {
        assert_eq!(collapsed("//user///deactivate/query.json"), "/user/deactivate/query.json");
        assert_eq!(collapsed("/user/info.json"), "/user/info.json");
    }
}
