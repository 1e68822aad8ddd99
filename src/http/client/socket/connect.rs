//! The first frame: who connects, and what it has missed.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix_web::web;
use rollcall_schemas::plain::TokenScope;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::ToSchema;
use uuid::Uuid;

use super::frames::{self, Request};
use super::wire::{Received, Wire};
use crate::domain::values::{Invalid, UserId};
use crate::engine;
use crate::engine::tokens::{Bearer, Unadmitted};
use crate::http::Service;
use crate::http::client::problem::{Problem, Topic};
use crate::http::client::{Call, admit_shown, caller};
use crate::http::exchange;
use crate::live::Online;
use crate::live::change::Notice;
use crate::live::close::Close;
use crate::live::gap;
use crate::live::presence::Platform;
use crate::live::registry::{Newcomer, Push};

const METHOD: &str = "connect";
/// Characters that the name of a device may have.
const DEVICE_MAX: usize = 64;

/// What a client says first.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::client) struct ConnectParams {
    /// An access token; one that has scopes needs `connect`.
    token: String,
    /// ios, android, harmonyos, web, desktop or mini_program.
    platform: String,
    /// What the device is called, at most 64 characters.
    device: Option<String>,
    /// The newest `position` that the client has seen: what it missed since is told.
    since: Option<u64>,
}

/// What it is answered.
#[derive(Serialize, ToSchema)]
pub(in crate::http::client) struct Connected {
    user_id: String,
    #[schema(value_type = String)]
    connection_id: Uuid,
    /// How often the service asks for a sign of life.
    heartbeat_seconds: f64,
    /// Up to where the client knows what has changed, once it has read what it missed.
    position: u64,
    /// Whether everything since `since` follows as notifications; otherwise everything is to be read again.
    resumed: bool,
}

/// A client that was let in.
pub(super) struct Client {
    pub(super) service: web::Data<Service>,
    pub(super) online: Online,
    pub(super) bearer: Bearer,
    pub(super) me: UserId,
}

/// What a client is told.
pub(super) struct Telling {
    /// What it has missed.
    pub(super) missed: Vec<Notice>,
    /// Up to where it knows what has changed, once it has been told that.
    pub(super) position: u64,
    /// What comes from then on.
    pub(super) pushes: mpsc::Receiver<Push>,
}

impl Client {
    /// A call in its name.
    pub(super) fn call(&self) -> Call<'_> {
        Call {
            engine: &self.service.engine,
            replays: &self.service.replays,
            live: &self.service.live,
            app: self.bearer.app.clone(),
            caller: caller(&self.bearer, Uuid::new_v4(), None),
            subject: self.bearer.token.subject,
            me: self.me.clone(),
        }
    }
}

/// Why a client is not let in: what it is answered, and how it is closed.
struct Refused(Problem, Close);

impl From<Unadmitted> for Refused {
    fn from(error: Unadmitted) -> Self {
        let close = match &error {
            Unadmitted::Refused(refusal) => Close::refused(*refusal),
            Unadmitted::Unavailable(_) => Close::UNAVAILABLE,
        };
        Self(error.into(), close)
    }
}

impl From<engine::Error> for Refused {
    fn from(error: engine::Error) -> Self {
        Self(error.into(), Close::UNAVAILABLE)
    }
}

/// Waits for the first frame and lets its client in; answers how the socket is to be closed otherwise, `None`: the client has
/// ended it.
pub(super) async fn connect(
    service: &web::Data<Service>,
    wire: &mut Wire,
    address: Option<IpAddr>,
) -> Result<(Client, Telling), Option<Close>> {
    let text = tokio::select! {
        first = tokio::time::timeout(service.sockets.connect_wait, first(wire)) => {
            first.map_err(|_| Some(Close::SILENT))??
        }
        _ = service.drain.begun() => return Err(Some(Close::NODE_STOPS)),
    };
    let request = match Request::read(&text) {
        Ok(request) if request.method == METHOD => request,
        Ok(Request { id, .. }) => return refuse(wire, id, Refused(Problem::NoToken, Close::MALFORMED_CONNECT)).await,
        Err(fault) => {
            wire.send(frames::fault(&Value::Null, fault)).await.map_err(Some)?;
            return Err(Some(Close::MALFORMED_CONNECT));
        }
    };
    let id = request.id.clone();
    let admitted = tokio::select! {
        admitted = exchange::in_time(service.answer_max, admit(service, request.params, address)) => admitted,
        _ = service.drain.begun() => return Err(Some(Close::NODE_STOPS)),
    };
    // Nothing was asked of it but to look: it may be asked again.
    let late = |_| Err(engine::Error::Unavailable("the token could not be checked in time".into()).into());
    match admitted.unwrap_or_else(late) {
        Ok((client, connected, telling)) => {
            if let Some(id) = id {
                let answer = crate::http::client::problem::Answer::query(&connected);
                wire.send(frames::answer(&id, Topic::Others, answer)).await.map_err(Some)?;
            }
            Ok((client, telling))
        }
        Err(refused) => refuse(wire, id, refused).await,
    }
}

async fn refuse<T>(wire: &mut Wire, id: Option<Value>, refused: Refused) -> Result<T, Option<Close>> {
    let Refused(problem, close) = refused;
    wire.send(frames::refusal(&id.unwrap_or_default(), Topic::Others, &problem)).await.map_err(Some)?;
    Err(Some(close))
}

/// The first text.
async fn first(wire: &mut Wire) -> Result<String, Option<Close>> {
    loop {
        match wire.receive().await {
            Received::Text(text) => return Ok(text),
            Received::Sign => {}
            Received::Ping(bytes) => wire.pong(&bytes).await.map_err(Some)?,
            Received::End => return Err(None),
            Received::Fault(close) => return Err(Some(close)),
        }
    }
}

async fn admit(
    service: &web::Data<Service>,
    params: Value,
    address: Option<IpAddr>,
) -> Result<(Client, Connected, Telling), Refused> {
    let malformed = |problem| Refused(problem, Close::MALFORMED_CONNECT);
    let asked: ConnectParams = serde_json::from_value(params)
        .map_err(|error| malformed(Problem::Params(error.to_string().chars().take(200).collect())))?;
    let platform = Platform::parse(&asked.platform).ok_or_else(|| {
        let expected = "ios, android, harmonyos, web, desktop or mini_program";
        malformed(Invalid::malformed("platform", expected).into())
    })?;
    if asked.device.as_ref().is_some_and(|device| device.chars().count() > DEVICE_MAX) {
        return Err(malformed(Invalid::malformed("device", "at most 64 characters").into()));
    }
    let (engine, live) = (&service.engine, &service.live);
    // Again: many sockets may have been opened before the first guess.
    let admitted = service.failures.admit(address, Instant::now());
    admitted.map_err(|slowed| Refused(Problem::Slowed(slowed), Close::GUESSING))?;
    let bearer = admit_shown(service, address, &asked.token).await?;
    if !bearer.token.allows(TokenScope::Connect) {
        return Err(Refused(Problem::Scope(TokenScope::Connect), Close::SCOPE_MISSING));
    }
    let me = engine.id_of_bearer(&bearer).await?;
    let not_valid = || Unadmitted::Refused(crate::engine::standing::TokenRefusal::NotValid);
    let me = me.ok_or_else(not_valid)?;
    let (app, token) = (bearer.app.clone(), bearer.token.clone());
    let newcomer = Newcomer { app, token, platform, since: engine.now() };
    let (online, pushes) = live.enter(newcomer).await.map_err(|close| Refused(Problem::NoPlace, close))?;
    // Whoever is banned while it connects is either cut, because it has entered, or found here.
    engine.check_token(&bearer.app, &bearer.token).await?;
    let position = *engine.watch_applied().borrow();
    let missed = match asked.since {
        Some(since) => gap::between(engine, &bearer.app.id, bearer.token.subject, since, position).await?,
        None => None,
    };
    let connected = Connected {
        user_id: me.as_str().to_owned(),
        connection_id: online.connection.id.0,
        heartbeat_seconds: seconds(service.sockets.heartbeat),
        position,
        resumed: missed.is_some(),
    };
    let client = Client { service: service.clone(), online, bearer, me };
    Ok((client, connected, Telling { missed: missed.unwrap_or_default(), position, pushes }))
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
