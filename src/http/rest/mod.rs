//! REST: users, erasures, and what a data-protection officer asks.
//!
//! A caller shows an API key with scopes, or `<app key>:<app secret>`, which may do everything but what overrides a
//! safeguard.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::constant_time;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::plain::ApiScope;
use serde::de::DeserializeOwned;

use super::bodies::Bodies;
use super::exchange::{Body, Incoming, Unread};
use super::rates::Left;
use super::served::Served;
use super::upload::Upload;
use super::{Drain, Service, exchange, request_log};
use crate::audit::replays::Replays;
use crate::audit::tree::Keeper;
use crate::delivery::feed::Feed;
use crate::delivery::webhooks::Webhooks;
use crate::engine::{App, Caller, Engine, IdempotencyKey, api_keys};
use crate::live::Live;

mod admission;
mod answer;
mod app;
mod ban_lists;
mod bans;
mod compliance;
mod credentials;
mod deactivated;
mod endpoint;
mod erasures;
mod events;
mod examples;
mod export;
mod friend_groups;
mod friends;
mod graph;
mod groups;
mod imports;
mod links;
mod lists;
mod mutes;
pub(super) mod openapi;
mod operating;
mod operations;
mod paging;
mod past;
mod patch;
mod presence;
mod problem;
mod profile;
mod profile_lists;
mod remarks;
mod requests;
mod routes;
mod tokens;
mod user_batches;
mod user_lists;
mod users;
mod version;
mod webhooks;

use endpoint::Endpoint;
use problem::{Answer, Problem};
use routes::Found;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a caller may do.
enum Rights {
    /// Everything but what overrides a safeguard.
    Server,
    /// What its API key says.
    Of(BTreeSet<ApiScope>),
}

impl Rights {
    fn contains(&self, scope: ApiScope) -> bool {
        match self {
            Self::Server => scope != ApiScope::Operator,
            Self::Of(scopes) => scopes.contains(&scope),
        }
    }
}

/// One authenticated call.
struct Call<'s> {
    engine: &'s Arc<Engine>,
    keeper: &'s Keeper,
    replays: &'s Arc<Replays>,
    live: &'s Live,
    feed: &'s Arc<Feed>,
    drain: &'s Drain,
    webhooks: &'s Option<Arc<Webhooks>>,
    app: Arc<App>,
    rights: Rights,
    caller: Caller,
    headers: &'s HeaderMap,
    body: Body,
    /// The body, where whoever answers reads it while it arrives.
    upload: Option<Rc<Upload>>,
    bodies: &'s Bodies,
    query: &'s str,
    parameters: Vec<String>,
}

impl Call<'_> {
    /// A parameter of the path.
    fn parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }

    /// A parameter of the query; the last one where it is given twice.
    fn value(&self, name: &str) -> Option<String> {
        let given = form_urlencoded::parse(self.query.as_bytes()).filter(|(given, _)| given == name);
        given.last().map(|(_, value)| value.into_owned())
    }

    /// The body.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::Json(json_fault(&error)))
    }

    fn needs(&self, scope: ApiScope) -> Result<(), Problem> {
        if self.rights.contains(scope) { Ok(()) } else { Err(Problem::Scope(scope)) }
    }
}

/// What is wrong with a body, without any of its content.
fn json_fault(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a member is missing, unknown or of another type",
        _ => "it is not JSON",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// The app a caller speaks for, who it is, and what it may do.
type Authenticated = (Arc<App>, Actor, Rights);

fn authenticate(engine: &Engine, headers: &HeaderMap) -> Result<Authenticated, Problem> {
    let shown = headers.get(&AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    let (_, shown) =
        shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or(Problem::Unauthenticated)?;
    let shown = shown.trim();
    if let Some((app, key)) = api_keys::find(engine, shown)? {
        return Ok((app, Actor::ApiKey(key.id), Rights::Of(key.scopes)));
    }
    let by_secret = || {
        let (key, given) = shown.split_once(':')?;
        let app = engine.app(key)?;
        let is_given =
            |secret: &str| constant_time::verify_slices_are_equal(secret.as_bytes(), given.as_bytes()).is_ok();
        let secret = app.secrets.iter().find(|(_, secret)| is_given(secret)).map(|(id, _)| *id)?;
        Some((app, Actor::Server(secret), Rights::Server))
    };
    by_secret().ok_or(Problem::Unauthenticated)
}

/// Whether a caller shows an API key with the scope `operator`; `None`: it shows nothing that is known.
pub(super) fn is_operator(engine: &Engine, headers: &HeaderMap) -> Option<bool> {
    authenticate(engine, headers).ok().map(|(_, _, rights)| rights.contains(ApiScope::Operator))
}

/// The `Idempotency-Key`, bare or quoted; bound to method, path and body of the call.
fn idempotency(request: &HttpRequest, path: &str, body: &[u8]) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = request.headers().get(&IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::MalformedKey)?.trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if !(1..=255).contains(&key.len()) {
        return Err(Problem::MalformedKey);
    }
    let content = [request.method().as_str().as_bytes(), b" ", path.as_bytes(), b"\n", body].concat();
    Ok(Some(IdempotencyKey { key: key.into(), content }))
}

/// Finds the endpoint of a path.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz_path(method: &actix_web::http::Method, path: &str) {
    let _ = routes::find(method, path);
}

/// Answers whatever was asked of `/api/v1/{path}`.
pub(super) async fn answer(
    service: &Service,
    request: &HttpRequest,
    incoming: &mut Incoming,
    path: &str,
) -> HttpResponse {
    let mut left = None;
    let found = routes::find(request.method(), path);
    let endpoint = found.as_ref().ok().map(|(endpoint, _)| *endpoint);
    let mut served = Served::by("rest", endpoint.map(|endpoint| (endpoint.operation, endpoint.path)));
    served.may_wait = endpoint.is_some_and(Endpoint::may_wait);
    request_log::routed(served);
    let outcome = serve(service, request, incoming, (path, found), &mut left).await;
    let mut response = answer::respond(request, outcome);
    if let Some(left) = left {
        answer::tell_limit(&mut response, left.quota, left.calls, 1);
    }
    served.note(&mut response);
    response
}

async fn serve(
    service: &Service,
    request: &HttpRequest,
    incoming: &mut Incoming,
    (path, found): (&str, Result<Found, Problem>),
    left: &mut Option<Left>,
) -> Result<Answer, Problem> {
    let engine = &service.engine;
    let (app, actor, rights) = service.authenticated(
        request,
        || authenticate(engine, request.headers()),
        Problem::Slowed,
        |problem| matches!(problem, Problem::Unauthenticated) && request.headers().contains_key(&AUTHORIZATION),
    )?;
    request_log::of_app(&app.id);
    let (endpoint, parameters) = found?;
    *left = service.rates.take(&app, ("rest", endpoint.operation), 1).map_err(Problem::TooOften)?;
    if !rights.contains(endpoint.scope) {
        return Err(Problem::Scope(endpoint.scope));
    }
    if let Actor::ApiKey(key) = actor {
        service.live.key_uses.note(&app.id, key, engine.now());
    }
    // The body is read only after authentication, so that strangers cannot make the service hold it in memory.
    let (body, upload) = if endpoint.uploads() {
        let none = Body::none(&service.bodies, &app.id).ok_or(Problem::Unread(Unread::NoSpace))?;
        (none, Some(incoming.upload()))
    } else {
        (incoming.read(&service.bodies, &app.id).await.map_err(Problem::Unread)?, None)
    };
    let caller = Caller {
        app: app.id.clone(),
        actor,
        correlation: exchange::correlation(request),
        idempotency: idempotency(request, path, &body)?,
        overrides_brake: false,
    };
    let (headers, query) = (request.headers(), request.query_string());
    let (keeper, replays, feed, drain) = (&*service.keeper, &service.replays, &service.feed, &service.drain);
    let (live, webhooks) = (&*service.live, &service.webhooks);
    let call = Call {
        engine,
        keeper,
        replays,
        feed,
        live,
        drain,
        webhooks,
        app,
        rights,
        caller,
        headers,
        body,
        upload,
        bodies: &service.bodies,
        query,
        parameters,
    };
    let max = endpoint.answer_max(service.answer_max);
    let answered = exchange::in_time(max, (endpoint.handler)(&call)).await.map_err(|late| endpoint.late(late))?;
    answered.map(|answer| answer.telling_secret(endpoint.tells_secret()))
}
