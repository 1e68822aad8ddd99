//! REST: the smallest part of it, users.
//!
//! A caller shows `Authorization: Bearer <app key>:<app secret>`. Keys of their own with scopes (`server`,
//! `moderator`, `compliance`, `operator`) come with the compliance work; this face then takes those instead.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use aws_lc_rs::constant_time;
use bytes::Bytes;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SecretId;

use super::{Service, exchange};
use crate::engine::{App, Caller, Engine, IdempotencyKey};

mod problem;
mod users;

use problem::{Answer, Problem};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One authenticated call.
struct Call<'s> {
    engine: &'s Engine,
    app: Arc<App>,
    caller: Caller,
    body: Bytes,
    query: &'s str,
}

/// An endpoint, its path parameters read.
enum Route {
    /// `PUT /users/{id}`
    Register(String),
    /// `GET /users/{id}`
    Show(String),
    /// `POST /users/{id}/deactivation`
    Deactivate(String),
    /// `GET /users`
    List,
}

impl Route {
    /// The whole route table, below `/api/v1/`.
    fn of(method: &Method, path: &str) -> Result<Self, Problem> {
        let segments: Vec<&str> = path.split('/').collect();
        Ok(match (segments.as_slice(), method.as_str()) {
            (["users"], "GET" | "HEAD") => Self::List,
            (["users"], _) => return Err(Problem::Method("GET, HEAD")),
            (["users", id], "PUT") => Self::Register(segment(id)?),
            (["users", id], "GET" | "HEAD") => Self::Show(segment(id)?),
            (["users", _], _) => return Err(Problem::Method("GET, HEAD, PUT")),
            (["users", id, "deactivation"], "POST") => Self::Deactivate(segment(id)?),
            (["users", _, "deactivation"], _) => return Err(Problem::Method("POST")),
            _ => return Err(Problem::NoSuchEndpoint),
        })
    }

    async fn answer(self, call: &Call<'_>) -> Result<Answer, Problem> {
        match self {
            Self::Register(id) => users::register(call, &id).await,
            Self::Show(id) => users::show(call, &id).await,
            Self::Deactivate(id) => users::deactivate(call, &id).await,
            Self::List => users::list(call).await,
        }
    }
}

/// A path segment without its percent encoding.
fn segment(text: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or(Problem::NoSuchEndpoint)?;
        let mut decoded = [0];
        hex::decode_to_slice(digits, &mut decoded).map_err(|_| Problem::NoSuchEndpoint)?;
        bytes.extend(decoded);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| Problem::NoSuchEndpoint)
}

fn authenticate(engine: &Engine, headers: &HeaderMap) -> Option<(Arc<App>, SecretId)> {
    let (scheme, credentials) = headers.get(&AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let (key, given) = credentials.trim().split_once(':')?;
    let app = engine.app(key).filter(|_| scheme.eq_ignore_ascii_case("bearer"))?;
    let is_given = |secret: &str| constant_time::verify_slices_are_equal(secret.as_bytes(), given.as_bytes()).is_ok();
    let secret = app.secrets.iter().find(|(_, secret)| is_given(secret)).map(|(id, _)| *id)?;
    Some((app, secret))
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

/// Answers whatever was asked of `/api/v1/{path}`.
pub(super) async fn answer(
    service: &Service,
    request: &HttpRequest,
    payload: web::Payload,
    path: &str,
) -> HttpResponse {
    let outcome = serve(service, request, payload, path).await;
    problem::respond(request, outcome)
}

async fn serve(service: &Service, request: &HttpRequest, payload: web::Payload, path: &str) -> Result<Answer, Problem> {
    let body = exchange::body(request, payload).await.map_err(Problem::Unread)?;
    let engine = service.engine.as_ref();
    let (app, secret) = authenticate(engine, request.headers()).ok_or(Problem::Unauthenticated)?;
    let route = Route::of(request.method(), path)?;
    let caller = Caller {
        app: app.id.clone(),
        actor: Actor::Server(secret),
        correlation: exchange::correlation(exchange::request_id(request.headers())),
        idempotency: idempotency(request, path, &body)?,
        overrides_brake: false,
    };
    route.answer(&Call { engine, app, caller, body, query: request.query_string() }).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_user_id_in_a_path_is_read_with_or_without_percent_encoding() {
        assert_eq!(segment("a+b%2Bc%3D").unwrap(), "a+b+c=");
        for bad in ["%", "%2", "%zz", "%FF"] {
            assert!(segment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_method_is_told_which_ones_there_are() {
        assert!(matches!(Route::of(&Method::GET, "users/a"), Ok(Route::Show(id)) if id == "a"));
        assert!(matches!(Route::of(&Method::DELETE, "users/a"), Err(Problem::Method("GET, HEAD, PUT"))));
        assert!(matches!(Route::of(&Method::GET, "nothing"), Err(Problem::NoSuchEndpoint)));
    }
}
