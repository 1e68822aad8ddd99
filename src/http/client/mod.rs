//! The users' own face: `/client/v1`, REST and WebSocket over one table of methods. Who calls shows an access token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SubjectRef;
use uuid::Uuid;

use super::Service;
use super::exchange::{self, Incoming};
use super::served::Served;
use super::{peer, request_log};
use crate::audit::replays::Replays;
use crate::domain::values::UserId;
use crate::engine::standing::TokenRefusal;
use crate::engine::tokens::{Bearer, Unadmitted};
use crate::engine::{App, Caller, Engine, IdempotencyKey};
use crate::live::Live;

mod changes;
pub(super) mod documents;
mod examples;
mod export;
mod friend_groups;
mod friend_requests;
mod friends;
mod lists;
mod me;
mod methods;
mod people;
mod problem;
mod socket;
mod subscriptions;
mod users;

use methods::{InPath, Method};
use problem::{Answer, Problem, Topic};
pub use socket::Options;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FACE: &str = "client";
const CONNECT: &str = "connect";

/// One call of a user.
struct Call<'s> {
    engine: &'s Arc<Engine>,
    replays: &'s Arc<Replays>,
    live: &'s Live,
    app: Arc<App>,
    caller: Caller,
    /// Who calls.
    subject: SubjectRef,
    /// Its userId.
    me: UserId,
}

/// The engine's caller for a user.
fn caller(bearer: &Bearer, correlation: Uuid, idempotency: Option<IdempotencyKey>) -> Caller {
    let (app, actor) = (bearer.app.id.clone(), Actor::User(bearer.token.subject));
    Caller { app, actor, correlation, idempotency, overrides_brake: false }
}

/// The access token of a call.
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let shown = headers.get(&AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    let (_, token) = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or(Problem::NoToken)?;
    Ok(token.trim())
}

/// The `Idempotency-Key`, bare or quoted; of this user, and bound to method and parameters of the call.
fn idempotency(
    headers: &HeaderMap,
    subject: SubjectRef,
    method: &Method,
    params: &serde_json::Value,
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::MalformedKey)?.trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if !(1..=255).contains(&key.len()) {
        return Err(Problem::MalformedKey);
    }
    let content = format!("{} {params}", method.name).into_bytes();
    Ok(Some(IdempotencyKey { key: format!("user {subject} {key}"), content }))
}

/// Finds the method of a path.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz_path(verb: &actix_web::http::Method, path: &str) {
    let _ = methods::find(verb, path);
}

/// Reads a text frame as a socket does, with the parameters of the method that it asks for. What is answered is JSON with the
/// id of the request, or with none where it is no request.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz_frame(text: &str) {
    socket::fuzz_frame(text, |method, params| {
        if let Some(method) = methods::named(method) {
            let _ = (method.read)(params);
        }
    });
}

/// Answers whatever was asked of `/client/v1/{path}`.
pub(super) async fn answer(
    service: &web::Data<Service>,
    request: &HttpRequest,
    incoming: &mut Incoming,
    path: &str,
) -> HttpResponse {
    if path == CONNECT {
        return connect(service, request, incoming);
    }
    let found = methods::find(request.method(), path);
    let method = found.as_ref().ok().map(|(method, _)| *method);
    let mut served = Served::by(FACE, method.map(|method| (method.name, method.path)));
    served.may_wait = method.is_some_and(|method| !method.on_socket);
    request_log::routed(served);
    let outcome = match found {
        Ok((method, parameters)) => serve(service, request, incoming, (method, parameters)).await,
        // Strangers are not told what there is.
        Err(problem) => match admit(service, request).await {
            Ok(_) => Err(problem),
            Err(refused) => Err(refused),
        },
    };
    let topic = method.map_or(Topic::Others, |method| Topic::of(method.name));
    let mut response = problem::respond(request, topic, outcome);
    served.note(&mut response);
    response
}

async fn admit(service: &Service, request: &HttpRequest) -> Result<Bearer, Problem> {
    let address = peer::address(request, &service.sockets.trusted_proxies);
    service.failures.admit(address, Instant::now()).map_err(Problem::Slowed)?;
    let bearer = admit_shown(service, address, token(request.headers())?).await?;
    request_log::of_app(&bearer.app.id);
    let per_second = service.sockets.requests_per_second;
    service.rates.take_of_user(&bearer.app, bearer.token.subject, per_second).map_err(|_| Problem::TooOften)?;
    Ok(bearer)
}

/// Who shows a token; whether it was a good one is noted of the address that it came from.
async fn admit_shown(service: &Service, address: Option<IpAddr>, token: &str) -> Result<Bearer, Unadmitted> {
    let admitted = service.engine.admit(token).await;
    match &admitted {
        Ok(_) => service.failures.note(address, true, Instant::now()),
        // Tokens that expire, and users who are banned, are nobody's guess.
        Err(Unadmitted::Refused(TokenRefusal::NotValid)) => service.failures.note(address, false, Instant::now()),
        Err(_) => {}
    }
    admitted
}

async fn serve(
    service: &Service,
    request: &HttpRequest,
    incoming: &mut Incoming,
    (method, parameters): (&'static Method, InPath),
) -> Result<Answer, Problem> {
    let engine = &service.engine;
    // The body is read only of whoever may call, so that strangers cannot make the service hold it in memory.
    let bearer = admit(service, request).await?;
    let permitted = method.permit(&bearer.token)?;
    let body = incoming.read(&service.bodies, &bearer.app.id).await.map_err(Problem::Unread)?;
    let params = methods::params(method, parameters, request.query_string(), &body)?;
    let subject = bearer.token.subject;
    let idempotency = idempotency(request.headers(), subject, method, &params)?;
    let correlation = exchange::correlation(request);
    let me = engine.id_of_bearer(&bearer).await?.ok_or(Problem::NoSuchUser)?;
    let caller = caller(&bearer, correlation, idempotency);
    let live = &*service.live;
    let call = Call { engine, replays: &service.replays, live, app: bearer.app, caller, subject, me };
    let max = if method.on_socket { service.answer_max } else { exchange::REPLAY_MAX };
    exchange::in_time(max, permitted.answer(&call, params)).await?
}

/// Makes a WebSocket of the connection.
fn connect(service: &web::Data<Service>, request: &HttpRequest, incoming: &mut Incoming) -> HttpResponse {
    let served = Served::by(FACE, Some((CONNECT, CONNECT)));
    request_log::routed(served);
    let opened = socket::open(service, request, incoming);
    let mut response = opened.unwrap_or_else(|problem| problem::respond(request, Topic::Others, Err(problem)));
    served.note(&mut response);
    response
}
