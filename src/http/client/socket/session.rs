//! A socket from its first frame to its last.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use actix_web::web;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::connect::{self, Client, Telling};
use super::frames::{self, Fault, Request};
use super::pace::{Bucket, Pace};
use super::timers::{Due, Timers};
use super::wire::{Received, Wire};
use crate::http::Service;
use crate::http::client::changes;
use crate::http::client::methods;
use crate::http::client::problem::{Problem, Topic};
use crate::http::exchange;
use crate::http::request_log::{self, Ended};
use crate::http::served::Served;
use crate::live::change::Notice;
use crate::live::close::Close;
use crate::live::registry::Push;

const FACE: &str = "client_socket";
/// Requests of a client that wait for the one before them.
const WAITING_MAX: usize = 16;
/// Notifications that are made together.
const TOGETHER_MAX: usize = 32;

/// The token of the connection expires soon.
#[derive(Serialize, ToSchema)]
pub(in crate::http::client) struct TokenExpiring {
    /// When; the connection is closed then, unless the client has connected with another token.
    expires_at: String,
}

/// Serves a socket until it ends.
pub(super) async fn run(service: web::Data<Service>, mut wire: Wire, address: Option<IpAddr>) {
    // On the heap: while a socket is idle, it does not keep the room that letting it in takes.
    let close = match Box::pin(connect::connect(&service, &mut wire, address)).await {
        Ok((client, Telling { missed, position, pushes })) => {
            let mut session = Session::new(client, position, pushes);
            let ended = session.serve(&mut wire, missed).await;
            ended.err().flatten()
        }
        Err(close) => close,
    };
    if let Some(close) = close {
        service.engine.metrics().client_closed(close.code);
    }
    wire.close(close).await;
}

type Answering = Pin<Box<dyn Future<Output = Option<String>>>>;

struct Session {
    client: Rc<Client>,
    pushes: mpsc::Receiver<Push>,
    /// Up to where the client was told what has changed.
    told: u64,
    bucket: Bucket,
    running: Option<Answering>,
    waiting: VecDeque<Request>,
    timers: Timers,
}

impl Session {
    fn new(client: Client, told: u64, pushes: mpsc::Receiver<Push>) -> Self {
        let now = Instant::now();
        let left = client.bearer.token.expires_at.map(|at| (at - client.service.engine.now()).to_std());
        let heartbeat = client.service.sockets.heartbeat;
        // The first one at a moment of its own, so that those who came together are not all asked together.
        let first = client.online.connection.share_of(heartbeat);
        let timers = Timers::new(heartbeat, first, left.map(Result::unwrap_or_default), now);
        let bucket = Bucket::new(client.service.sockets.requests_per_second, now);
        let (running, waiting) = (None, VecDeque::new());
        Self { client: Rc::new(client), pushes, told, bucket, running, waiting, timers }
    }

    /// Serves until the end; the error says how it is to be closed, `None`: the client has ended it.
    async fn serve(&mut self, wire: &mut Wire, missed: Vec<Notice>) -> Result<(), Option<Close>> {
        let client = self.client.clone();
        let connection = &client.online.connection;
        let (mut is_closing, mut is_draining) = (false, false);
        self.tell(wire, &missed).await.map_err(Some)?;
        loop {
            let due = tokio::time::Instant::from_std(self.timers.next());
            tokio::select! {
                biased;
                (close, spread) = connection.to_be_closed(), if !is_closing => {
                    if spread.is_zero() {
                        return Err(Some(close));
                    }
                    is_closing = true;
                    self.timers.end_after(connection.share_of(spread), close, Instant::now());
                }
                spread = client.service.drain.begun(), if !is_draining => {
                    is_draining = true;
                    self.timers.end_after(connection.share_of(spread), Close::NODE_STOPS, Instant::now());
                }
                answer = answered(&mut self.running) => self.answered(wire, answer).await.map_err(Some)?,
                received = wire.receive() => self.received(wire, received).await?,
                push = self.pushes.recv() => {
                    // The registry holds the sender for as long as the client is in it.
                    let Some(push) = push else { return Err(Some(Close::NODE_STOPS)) };
                    self.push(wire, push).await.map_err(Some)?;
                }
                () = tokio::time::sleep_until(due) => self.due(wire).await.map_err(Some)?,
            }
        }
    }

    async fn received(&mut self, wire: &mut Wire, received: Received) -> Result<(), Option<Close>> {
        self.timers.lives();
        let text = match received {
            Received::Text(text) => text,
            Received::Sign => return Ok(()),
            Received::Ping(bytes) => {
                return match self.bucket.take(Instant::now()) {
                    Pace::Fine => wire.pong(&bytes).await.map_err(Some),
                    Pace::TooFast => Ok(()),
                    Pace::Hopeless => Err(Some(Close::TOO_OFTEN)),
                };
            }
            Received::End => return Err(None),
            Received::Fault(close) => return Err(Some(close)),
        };
        let request = match Request::read(&text) {
            Ok(request) => request,
            Err(fault) => return wire.send(frames::fault(&Value::Null, fault)).await.map_err(Some),
        };
        let pace = self.bucket.take(Instant::now());
        if pace == Pace::Hopeless {
            return Err(Some(Close::TOO_OFTEN));
        }
        if pace == Pace::TooFast || self.waiting.len() >= WAITING_MAX {
            let Some(id) = request.id else { return Ok(()) };
            return wire.send(frames::refusal(&id, Topic::Others, &Problem::TooOften)).await.map_err(Some);
        }
        self.waiting.push_back(request);
        self.begin();
        Ok(())
    }

    /// Begins the next request, if none runs: they are answered in their order.
    fn begin(&mut self) {
        if self.running.is_none()
            && let Some(request) = self.waiting.pop_front()
        {
            self.running = Some(Box::pin(answer(self.client.clone(), request)));
        }
    }

    async fn answered(&mut self, wire: &mut Wire, answer: Option<String>) -> Result<(), Close> {
        self.running = None;
        self.begin();
        match answer {
            Some(text) => wire.send(text).await,
            None => Ok(()),
        }
    }

    async fn push(&mut self, wire: &mut Wire, push: Push) -> Result<(), Close> {
        let mut notices = vec![];
        let mut next = Some(push);
        while let Some(push) = next {
            match push {
                Push::Notice(notice) => notices.push((*notice).clone()),
                Push::Message(method, params) => {
                    self.tell(wire, &std::mem::take(&mut notices)).await?;
                    wire.send(frames::notification(method, &*params)).await?;
                }
            }
            next = if notices.len() < TOGETHER_MAX { self.pushes.try_recv().ok() } else { None };
        }
        // What it was told when it connected may be pushed once more.
        notices.retain(|notice| notice.position > self.told);
        self.tell(wire, &notices).await
    }

    /// Tells the client what has changed. Where that cannot be done, it has to come back and ask.
    async fn tell(&mut self, wire: &mut Wire, notices: &[Notice]) -> Result<(), Close> {
        if notices.is_empty() {
            return Ok(());
        }
        let told = Box::pin(changes::told(&self.client.call(), notices)).await.map_err(|problem| {
            tracing::debug!(?problem, "a client cannot be told what has changed");
            Close::UNAVAILABLE
        })?;
        wire.send_all(told.iter().map(|one| frames::notification(one.method, &one.params))).await?;
        self.told = self.told.max(notices.last().map_or(0, |last| last.position));
        Ok(())
    }

    async fn due(&mut self, wire: &mut Wire) -> Result<(), Close> {
        let now = Instant::now();
        while let Some(due) = self.timers.due(now) {
            match due {
                Due::Close(close) => return Err(close),
                Due::Ping => wire.ping().await?,
                Due::Warn => {
                    if let Some(at) = self.client.bearer.token.expires_at {
                        let expires_at = at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                        wire.send(frames::notification("token.expiring", &TokenExpiring { expires_at })).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The answer of the request that runs; never, where none does.
async fn answered(running: &mut Option<Answering>) -> Option<String> {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

/// Answers a request; `None`: no answer is wanted.
async fn answer(client: Rc<Client>, request: Request) -> Option<String> {
    let Request { id, method: name, params } = request;
    let since = Instant::now();
    let metrics = client.service.engine.metrics();
    let Some(method) = methods::named(&name) else {
        metrics.answered(FACE, "none", 404, since.elapsed());
        return id.map(|id| frames::fault(&id, Fault::Method));
    };
    let call = client.call();
    let served = Served::by(FACE, Some((method.name, method.path)));
    let context = request_log::of_socket(call.caller.correlation, served, &call.app.id);
    let answering = async { method.permit(&client.bearer.token)?.answer(&call, params).await };
    let answered = context.around(exchange::in_time(client.service.answer_max, answering)).await;
    let outcome = answered.unwrap_or_else(|late| Err(late.into()));
    let topic = Topic::of(method.name);
    let (status, cause) = match &outcome {
        Ok(_) => (200, None),
        Err(problem) => (problem.status(topic), problem.cause(topic)),
    };
    let took = since.elapsed();
    metrics.answered(FACE, method.name, status, took);
    let is_told = client.service.tells_of_failure(status);
    let ended = Ended { status, took, served: Some(served), cause: cause.as_deref(), is_told };
    client.service.request_log.ended(&context, &ended);
    id.map(|id| frames::answer(&id, topic, outcome))
}
