//! The faces. An adapter translates; it decides nothing. The faces never import each other, and none knows the log.
//!
//! Paths are matched by one handler and not by the router of the web server, because every answer has to be in the
//! face's own JSON (also 404, 405 and 413), and because official SDKs ask for `//user/…`.

// A future carries those that it awaits, whether it comes to them or not; with each request it is moved to the heap and cleared.
#![deny(clippy::large_futures)]

use std::borrow::Cow;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory as _, Service as _, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::dev::AppConfig;
use actix_web::http::ConnectionType;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, web};

use tokio::sync::Semaphore;

use crate::audit::replays::Replays;
use crate::audit::tree::Keeper;
use crate::delivery::feed::Feed;
use crate::delivery::webhooks::Webhooks;
use crate::engine::Engine;
use crate::live::Live;
use crate::telemetry::request::RequestContext;

pub(crate) mod at_most;
mod bodies;
mod client;
mod cors;
mod cursor;
mod docs;
mod drain;
mod exchange;
mod export;
mod failures;
mod friend_list;
mod friend_requests;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod metrics;
mod peer;
mod platform;
mod rates;
mod request_log;
mod rest;
mod router;
mod served;
mod server_v1;
mod server_v4;
mod shape;
mod socket_place;
mod terms;
mod tls;
mod transparency;
mod upload;
mod write_deadline;

use bodies::Bodies;
pub use client::Options as SocketOptions;
use cors::Cors;
pub use cors::Origin;
pub use drain::Drain;
use exchange::{Incoming, RequestName};
use failures::Failures;
use platform::replay_guard::ReplayGuard;
use rates::Rates;
use request_log::{Ended, RequestLog};
use served::{Cause, Served};
use socket_place::SocketPlace;
use tls::Transport;
pub use tls::{Error as TlsError, Tls};
use write_deadline::WriteDeadline;

/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long a client may take to send the head of a request.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// How long a client may take to send the body of a request.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// How long a request may take to be answered, once its body is there, where an operator chooses nothing else.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);
/// From when on a request is logged as slow, where an operator chooses nothing else.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);
/// How long a client may take to close a connection.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Connections with requests that the process serves at the same time; more wait. The web server buffers up to 128 KiB of an
/// unfinished head, so this also limits the memory that unauthenticated callers can use. Sockets are counted apart: see
/// [`socket_place`].
const CONNECTIONS_MAX: usize = 2_048;
/// Connections that wait for a place among those, before others wait in the backlog of the listener.
const WAITING_MAX: usize = 1_024;
/// How long a stop waits for requests under way once it accepts no new ones, in seconds.
const FINISH_SECONDS: u64 = 15;

/// What an operator can choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that answer requests.
    pub workers: usize,
    /// Whether the process is ready while streams are parked.
    pub ready_with_parked: bool,
    /// How long a request may take to be answered, once its body is there.
    pub answer_max: Duration,
    /// From when on a request is logged as slow.
    pub slow_after: Duration,
    /// What is chosen of the clients' sockets.
    pub sockets: SocketOptions,
    /// The origins whose pages may call the client face.
    pub cors_origins: Vec<Origin>,
    /// The certificate; `None`: connections are not protected.
    pub tls: Option<Arc<Tls>>,
}

/// The parts of the running service that the faces translate for.
#[derive(Clone)]
pub struct Parts {
    /// Decides and answers.
    pub engine: Arc<Engine>,
    /// The tree over the log.
    pub keeper: Arc<Keeper>,
    /// Where the past is replayed.
    pub replays: Arc<Replays>,
    /// Who is connected.
    pub live: Arc<Live>,
    /// What apps are told in order.
    pub feed: Arc<Feed>,
    /// Deliveries to webhooks; `None`: there are none, where nothing but requests is measured.
    pub webhooks: Option<Arc<Webhooks>>,
}

/// What every face works with.
struct Service {
    engine: Arc<Engine>,
    keeper: Arc<Keeper>,
    replays: Arc<Replays>,
    live: Arc<Live>,
    sockets: SocketOptions,
    feed: Arc<Feed>,
    webhooks: Option<Arc<Webhooks>>,
    cors: Cors,
    bodies: Bodies,
    /// Signatures that are not accepted again, of the apps that ask for it.
    replay_guard: ReplayGuard,
    /// How often endpoints are called.
    rates: Rates,
    /// Wrong credentials, by address.
    failures: Failures,
    parked: health::ParkedCount,
    ready_with_parked: bool,
    answer_max: Duration,
    request_log: RequestLog,
    drain: Drain,
}

impl Service {
    /// Whether the log says by itself why requests fail with this status: that the event log is broken, which every request is
    /// answered until an operator acts.
    fn tells_of_failure(&self, status: u16) -> bool {
        status == 503 && self.engine.broken_log().is_some()
    }

    /// Looks at credentials that a request shows, unless too many from its address were wrong lately. `refused` is what is told
    /// then; `is_wrong` tells wrong credentials from whatever else stands against the request.
    fn authenticated<T, E>(
        &self,
        request: &HttpRequest,
        look: impl FnOnce() -> Result<T, E>,
        refused: impl FnOnce(failures::Slowed) -> E,
        is_wrong: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let (address, now) = (peer::address(request, &self.sockets.trusted_proxies), Instant::now());
        self.failures.admit(address, now).map_err(refused)?;
        let looked = look();
        match &looked {
            Ok(_) => self.failures.note(address, true, now),
            Err(error) if is_wrong(error) => self.failures.note(address, false, now),
            Err(_) => {}
        }
        looked
    }
}

/// Serves every face on `listener`, until `drain` stops the returned server by its handle. Signals are left to the caller.
///
/// # Errors
/// The listener cannot be used.
pub fn run(parts: Parts, listener: TcpListener, options: Options, drain: &Drain) -> std::io::Result<Server> {
    let Parts { engine, keeper, replays, live, feed, webhooks } = parts;
    let service = Service {
        engine,
        keeper,
        replays,
        live,
        sockets: options.sockets,
        feed,
        webhooks,
        cors: Cors::new(options.cors_origins),
        bodies: Bodies::default(),
        replay_guard: ReplayGuard::default(),
        rates: Rates::default(),
        failures: Failures::default(),
        parked: health::ParkedCount::default(),
        ready_with_parked: options.ready_with_parked,
        answer_max: options.answer_max,
        request_log: RequestLog::new(options.slow_after),
        drain: drain.clone(),
    };
    let tls = options.tls;
    let (service, address) = (web::Data::new(service), listener.local_addr()?);
    let workers = options.workers.max(1);
    let connections_max = CONNECTIONS_MAX + WAITING_MAX + service.live.registry.limits().node;
    let requests = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections((connections_max / workers).max(1))
        .shutdown_timeout(FINISH_SECONDS)
        .disable_signals();
    let drain = drain.clone();
    // What `HttpServer` builds, over connections of our own. They end by themselves when the server closes: the web server's
    // own signal for it drops a request that has arrived and was not begun.
    let server = server.listen("http", listener, move || {
        let (drain, requests, tls) = (drain.clone(), requests.clone(), tls.clone());
        let app = App::new().app_data(service.clone()).default_service(web::to(answer));
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_WAIT)
            .client_disconnect_timeout(CLOSE_WAIT)
            .local_addr(address)
            .on_connect_ext(|io: &Io, extensions: &mut Extensions| {
                extensions.insert(io.connection().place().clone());
            })
            .h1(map_config(app, |()| AppConfig::default()));
        let http = apply_fn_factory(http, |(io, peer): (Io, Option<SocketAddr>), http| {
            let place = io.connection().place().clone();
            // On the heap, so that a socket does without it.
            let requests = Box::pin(http.call((io, peer)));
            async move {
                let ended = requests.await;
                place.socket_ended().await;
                ended
            }
        });
        fn_service(move |io: TcpStream| {
            let (drain, requests, tls) = (drain.clone(), requests.clone(), tls.clone());
            async move {
                let peer = io.peer_addr().ok();
                let permit = tokio::select! {
                    permit = requests.acquire_owned() => permit.ok(),
                    // It is given the time that every new connection is given then.
                    () = drain.closes() => None,
                };
                let io = match &tls {
                    None => Transport::Plain(io),
                    // On the heap, too.
                    Some(tls) => Box::pin(tls.accept(io)).await.map_err(DispatchError::Io)?,
                };
                Ok((WriteDeadline::new(drain.connection(io, SocketPlace::new(permit))), peer))
            }
        })
        .and_then(http)
    })?;
    Ok(server.run())
}

/// A connection as the web server has it.
type Io = WriteDeadline<drain::Connection<Transport>>;

async fn answer(service: web::Data<Service>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let mut incoming = Incoming::new(&request, payload);
    let since = Instant::now();
    let name = RequestName::give(&request);
    let context = request_log::of_http(&request, name.correlation);
    let response = context.around(dispatch(&service, &request, &mut incoming)).await;
    ended(&service, &context, &response, since.elapsed());
    let mut response = incoming.settle(response).await;
    name.tell(&request, &mut response);
    if is_of_clients(request.path()) {
        service.cors.allow(&request, &mut response);
    }
    if service.drain.has_begun() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Counts and logs an answer.
fn ended(service: &Service, context: &RequestContext, response: &HttpResponse, took: Duration) {
    let (served, status) = (Served::of(response), response.status().as_u16());
    let (face, route) = served.map_or(("operations", "none"), |served| (served.face, served.route()));
    service.engine.metrics().answered(face, route, status, took);
    let extensions = response.extensions();
    let cause = extensions.get::<Cause>().map(|Cause(cause)| cause.as_str());
    let is_told = service.tells_of_failure(status);
    service.request_log.ended(context, &Ended { status, took, served, cause, is_told });
}

/// Whether a path is one that the pages of an app's users call.
fn is_of_clients(path: &str) -> bool {
    path.starts_with("/client/")
}

async fn dispatch(service: &web::Data<Service>, request: &HttpRequest, incoming: &mut Incoming) -> HttpResponse {
    let path = collapsed(request.path());
    if is_of_clients(&path)
        && let Some(response) = service.cors.preflight(request)
    {
        return response;
    }
    if let Some(rest) = path.strip_prefix("/client/v1/") {
        Box::pin(client::answer(service, request, incoming, rest)).await
    } else if let Some(rest) = path.strip_prefix("/api/v1/") {
        Box::pin(rest::answer(service, request, incoming, rest)).await
    } else if path.starts_with("/v4/") {
        Box::pin(server_v4::answer(service, request, incoming, &path)).await
    } else if let Some(probe) = path.strip_prefix("/health/") {
        Box::pin(health::answer(service, probe)).await
    } else if path == "/openapi.json" {
        HttpResponse::Ok().insert_header(("content-type", "application/json")).body(openapi())
    } else if path == "/client/openapi.json" {
        HttpResponse::Ok().insert_header(("content-type", "application/json")).body(client_openapi())
    } else if path == "/client/asyncapi.json" {
        HttpResponse::Ok().insert_header(("content-type", "application/json")).body(client_asyncapi())
    } else if path == "/metrics" {
        Box::pin(metrics::answer(service, request)).await
    } else if let Some(response) = docs::answer(request, &path) {
        response
    } else if let Some(response) = transparency::answer(service, &path) {
        response
    } else {
        Box::pin(server_v1::answer(service, request, incoming, &path)).await
    }
}

/// The OpenAPI 3.1 document of the REST face, as it is checked in under `schemas/api/openapi.json`.
#[must_use]
pub fn openapi() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| written(&rest::openapi::document()));
    &DOCUMENT
}

/// The OpenAPI 3.1 document of the client face, as it is checked in under `schemas/api/client-openapi.json`.
#[must_use]
pub fn client_openapi() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| written(&client::documents::openapi()));
    &DOCUMENT
}

/// The AsyncAPI 3.0 document of the clients' socket, as it is checked in under `schemas/api/client-asyncapi.json`.
#[must_use]
pub fn client_asyncapi() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| written(&client::documents::asyncapi()));
    &DOCUMENT
}

fn written(document: &serde_json::Value) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
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
