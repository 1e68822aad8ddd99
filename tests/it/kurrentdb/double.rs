//! A double of a `KurrentDB` server: appends and reads over the real protocol, kept in memory, with faults on demand.
//! It shows that the adapter does what it says, not that a server does.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::runtime::Runtime;
use tonic::codec::ProstCodec;
use tonic::codegen::{Service, http};
use tonic::server::{ClientStreamingService, Grpc, NamedService, ServerStreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming, body::Body};

use super::proto::{
    AppendReq, AppendResp, Empty, Id, NotFound, Proposed, ReadEvent, ReadReq, ReadResp, Recorded, Success,
    WrongExpectedVersion,
};

const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// What goes wrong with the next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is kept, and the answer is an error.
    AnswerLost,
    /// It is kept, and there is no answer.
    Silence,
    /// It is not kept, and the answer is an error.
    NotKept,
    /// The answer is an error, and it is kept some time later.
    KeptLater(Duration),
}

#[derive(Default)]
pub struct State {
    streams: HashMap<Vec<u8>, Vec<Proposed>>,
    pub faults: VecDeque<Fault>,
    /// Whether it forgot the ids of what it keeps, as a server may after a restart.
    pub forgets_ids: bool,
    /// How many appends were asked for.
    pub appends: usize,
    /// Bytes of the largest append that was kept.
    pub largest: usize,
}

impl State {
    /// Appends as the server does: what stands at its place already is there.
    fn append(&mut self, stream: &[u8], expected: Option<u64>, events: Vec<Proposed>) -> Result<u64, Option<u64>> {
        let log = self.streams.entry(stream.to_vec()).or_default();
        let current = (log.len() as u64).checked_sub(1);
        let at = usize::try_from(expected.map_or(0, |revision| revision + 1)).unwrap();
        if at == log.len() {
            let size = |event: &Proposed| event.data.len() + event.custom_metadata.len();
            self.largest = self.largest.max(events.iter().map(size).sum());
            log.extend(events);
            return Ok(log.len() as u64 - 1);
        }
        let there =
            log.get(at..at + events.len()).is_some_and(|kept| kept.iter().zip(&events).all(|(a, b)| a.id == b.id));
        if there && !self.forgets_ids { Ok((at + events.len()) as u64 - 1) } else { Err(current) }
    }

    /// Takes the last entries of a stream away, as a leader does that was deposed before they were copied.
    pub fn truncate(&mut self, stream: &str, entries: usize) {
        let log = self.streams.get_mut(stream.as_bytes()).unwrap();
        log.truncate(log.len() - entries);
    }

    /// Appends an entry that nobody of ours wrote.
    pub fn intrude(&mut self, stream: &str) {
        let id = Id { halves: None, string: Some("6f3a1f6e-1d1c-4a57-9a39-0d6e7d2b8c11".into()) };
        let metadata = HashMap::from([
            ("type".to_owned(), "theirs".to_owned()),
            ("content-type".to_owned(), "application/octet-stream".to_owned()),
        ]);
        let theirs = Proposed { id: Some(id), metadata, custom_metadata: b"{}".into(), data: b"{}".into() };
        self.streams.get_mut(stream.as_bytes()).unwrap().push(theirs);
    }

    /// Takes the last appended item of a stream away.
    pub fn lose_item(&mut self, stream: &str) {
        let log = self.streams.get_mut(stream.as_bytes()).unwrap();
        log.pop();
        while log.last().is_some_and(|entry| says(entry, "rest").is_some_and(|rest| rest > 0)) {
            log.pop();
        }
    }

    /// Position of the last event in a stream.
    pub fn head(&self, stream: &str) -> u64 {
        let entries = self.streams.get(stream.as_bytes()).map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter_map(|entry| says(entry, "position")).max().unwrap_or(0)
    }

    pub fn len(&self, stream: &str) -> usize {
        self.streams.get(stream.as_bytes()).map_or(0, Vec::len)
    }
}

/// A number in the metadata of an entry.
fn says(entry: &Proposed, name: &str) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(&entry.custom_metadata).ok()?[name].as_u64()
}

#[derive(Clone, Default)]
struct Streams(Arc<Mutex<State>>);

impl Streams {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn append(self, request: Request<Streaming<AppendReq>>) -> Result<Response<AppendResp>, Status> {
        let mut messages = request.into_inner();
        let (mut options, mut events) = (None, Vec::new());
        while let Some(message) = messages.message().await? {
            options = options.or(message.options);
            events.extend(message.proposed);
        }
        let options = options.ok_or_else(|| Status::invalid_argument("no options"))?;
        if options.revision.is_none() && options.no_stream.is_none() {
            return Err(Status::invalid_argument("the double only knows exact revisions"));
        }
        if events.iter().map(|event| event.data.len() + event.custom_metadata.len()).sum::<usize>() > APPEND_BYTES_MAX {
            return Err(Status::invalid_argument("Maximum Append Size of 1048576 Exceeded."));
        }
        let (stream, expected) = (options.stream.unwrap_or_default().name, options.revision);
        let fault = {
            let mut state = self.state();
            state.appends += 1;
            state.faults.pop_front()
        };
        match fault {
            Some(Fault::NotKept) => return Err(Status::unavailable("not kept")),
            Some(Fault::KeptLater(after)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    let _ = self.state().append(&stream, expected, events);
                });
                return Err(Status::unavailable("kept later"));
            }
            _ => {}
        }
        let appended = self.state().append(&stream, expected, events);
        match fault {
            Some(Fault::AnswerLost) => return Err(Status::unavailable("the answer is lost")),
            Some(Fault::Silence) => std::future::pending::<()>().await,
            _ => {}
        }
        let (success, wrong) = match appended {
            Ok(revision) => (Some(Success { current_revision: Some(revision), no_position: Some(Empty {}) }), None),
            Err(current) => {
                let wrong = WrongExpectedVersion {
                    current_revision: current,
                    current_no_stream: current.is_none().then_some(Empty {}),
                    expected_revision: expected,
                    expected_no_stream: expected.is_none().then_some(Empty {}),
                };
                (None, Some(wrong))
            }
        };
        Ok(Response::new(AppendResp { success, wrong }))
    }

    fn read(&self, request: ReadReq) -> Vec<ReadResp> {
        let options = request.options.unwrap_or_default();
        assert_eq!(options.direction, 0, "the double only reads forwards");
        let wanted = options.stream.unwrap_or_default();
        let stream = wanted.stream.clone().unwrap_or_default();
        let state = self.state();
        let Some(log) = state.streams.get(&stream.name).filter(|log| !log.is_empty()) else {
            return vec![ReadResp { not_found: Some(NotFound { stream: wanted.stream }), event: None }];
        };
        let first = usize::try_from(wanted.revision.unwrap_or(0)).unwrap();
        let count = usize::try_from(options.count.unwrap_or(u64::MAX)).unwrap();
        let events = log.iter().cloned().enumerate().skip(first).take(count).map(|(at, event)| {
            let Proposed { id, metadata, custom_metadata, data } = event;
            let (stream, revision) = (Some(stream.clone()), at as u64);
            let event = Recorded { id, stream, revision, metadata, custom_metadata, data };
            ReadResp { event: Some(ReadEvent { event: Some(event), no_position: Some(Empty {}) }), not_found: None }
        });
        events.collect()
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;
type Events = Pin<Box<dyn Stream<Item = Result<ReadResp, Status>> + Send>>;

impl ClientStreamingService<AppendReq> for Streams {
    type Response = AppendResp;
    type Future = Answer<AppendResp>;

    fn call(&mut self, request: Request<Streaming<AppendReq>>) -> Self::Future {
        Box::pin(self.clone().append(request))
    }
}

impl ServerStreamingService<ReadReq> for Streams {
    type Response = ReadResp;
    type ResponseStream = Events;
    type Future = Answer<Events>;

    fn call(&mut self, request: Request<ReadReq>) -> Self::Future {
        let events = self.read(request.into_inner()).into_iter().map(Ok);
        Box::pin(async { Ok(Response::new(Box::pin(futures_util::stream::iter(events)) as Events)) })
    }
}

impl NamedService for Streams {
    const NAME: &'static str = "event_store.client.streams.Streams";
}

impl Service<http::Request<Body>> for Streams {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let streams = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/event_store.client.streams.Streams/Append" => {
                    Grpc::new(ProstCodec::default()).client_streaming(streams, request).await
                }
                "/event_store.client.streams.Streams/Read" => {
                    Grpc::new(ProstCodec::default()).server_streaming(streams, request).await
                }
                path => Status::unimplemented(path.to_owned()).into_http(),
            })
        })
    }
}

/// A server on this machine that can be stopped and started again, and keeps what it has.
pub struct Double {
    streams: Streams,
    port: u16,
    runtime: Option<Runtime>,
}

impl Double {
    pub fn start() -> Self {
        let mut double = Self { streams: Streams::default(), port: 0, runtime: None };
        double.start_again();
        double
    }

    pub fn start_again(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.port = listener.local_addr().unwrap().port();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let streams = self.streams.clone();
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            let server = tonic::transport::Server::builder().add_service(streams);
            server.serve_with_incoming(incoming.with_nodelay(Some(true))).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// Goes away at once, with all its connections.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn url(&self) -> String {
        format!("esdb://127.0.0.1:{}?tls=false&discoveryInterval=10", self.port)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.streams.state()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stop();
    }
}
