//! A double of a `KurrentDB` server: appends and reads over the real protocol, kept in memory, with faults on demand.
//! It shows that the adapter does what it says, not that a server does.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tonic::codec::ProstCodec;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{ClientStreamingService, Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming, body::Body};

use super::proto::{
    AppendReq, AppendResp, ClusterInfo, DeleteReq, DeleteResp, Empty, Endpoint, Id, Member, NotFound, Proposed,
    ReadEvent, ReadReq, ReadResp, Recorded, Success, WrongExpectedVersion,
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
    /// There is no answer, and it arrives only with [`State::release`].
    HeldBack,
}

/// An append that is held back: to which stream, behind which revision, and what.
type Held = (Vec<u8>, Option<u64>, Vec<Proposed>);

/// States of a node, as `gossip.proto` numbers them.
const FOLLOWER: i32 = 6;
const LEADER: i32 = 8;

#[derive(Default)]
pub struct State {
    streams: HashMap<Vec<u8>, Vec<Proposed>>,
    pub faults: VecDeque<Fault>,
    /// Whether it forgot the ids of what it keeps, as a server may after a restart.
    pub forgets_ids: bool,
    /// How many appends were asked for.
    pub appends: usize,
    /// How many calls there were, let in or not.
    pub asked: usize,
    /// How many reads were asked for.
    pub reads: usize,
    /// Bytes of the largest append that was kept.
    pub largest: usize,
    /// Appends that were sent and did not arrive yet.
    pub held: Vec<Held>,
    /// The only user that is let in, as the header `authorization` has it.
    pub authorization: Option<String>,
    /// The ports of the nodes, and which of them leads.
    pub ports: Vec<u16>,
    pub leader: usize,
    /// The node that the others take for dead.
    pub dead: Option<usize>,
    /// How long an append takes to be kept, beside others.
    pub appends_take: Duration,
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

    /// Has the appends arrive that were held back; answers how many of them were kept.
    pub fn release(&mut self) -> usize {
        let held = std::mem::take(&mut self.held);
        held.into_iter().filter_map(|(stream, expected, events)| self.append(&stream, expected, events).ok()).count()
    }

    /// Sets the metadata of a stream, as an administrator does.
    pub fn set_metadata(&mut self, stream: &str, metadata: &str) {
        let id = Some(Id { halves: None, string: Some(uuid::Uuid::new_v4().to_string()) });
        let of_type = ("type".to_owned(), "$metadata".to_owned());
        let set = Proposed { id, metadata: [of_type].into(), custom_metadata: vec![], data: metadata.into() };
        self.streams.entry(format!("$${stream}").into_bytes()).or_default().push(set);
    }

    /// The metadata of a stream.
    pub fn metadata(&self, stream: &str) -> Option<String> {
        let set = self.streams.get(format!("$${stream}").as_bytes())?.last()?;
        Some(String::from_utf8(set.data.clone()).unwrap())
    }

    /// How many streams there are, without their metadata.
    pub fn streams(&self) -> usize {
        self.streams.keys().filter(|name| !name.starts_with(b"$$")).count()
    }

    /// The types of the entries of a stream.
    pub fn types(&self, stream: &str) -> Vec<String> {
        let log = self.streams.get(stream.as_bytes()).into_iter().flatten();
        log.map(|entry| entry.metadata.get("type").cloned().unwrap_or_default()).collect()
    }

    fn members(&self) -> ClusterInfo {
        let members = self.ports.iter().enumerate().map(|(node, port)| Member {
            state: if node == self.leader { LEADER } else { FOLLOWER },
            is_alive: self.dead != Some(node),
            endpoint: Some(Endpoint { address: "127.0.0.1".into(), port: (*port).into() }),
        });
        ClusterInfo { members: members.collect() }
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

/// What the nodes of a server hold together, as one of them answers for it.
#[derive(Clone, Default)]
pub struct Streams {
    pub state: Arc<Mutex<State>>,
    pub node: usize,
}

impl Streams {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Whether this node answers whoever asks so.
    fn admits(&self, asked: &MetadataMap) -> Result<(), Box<Status>> {
        let mut state = self.state();
        state.asked += 1;
        let authorization = asked.get("authorization").map(|header| header.to_str().unwrap());
        if state.authorization.is_some() && state.authorization.as_deref() != authorization {
            return Err(Box::new(Status::unauthenticated("not authenticated")));
        }
        if state.leader != self.node && asked.contains_key("requires-leader") {
            let mut status = Status::not_found("Leader info available");
            let leader = state.ports[state.leader].to_string();
            for (name, value) in
                [("exception", "not-leader"), ("leader-endpoint-host", "127.0.0.1"), ("leader-endpoint-port", &leader)]
            {
                status.metadata_mut().insert(name, value.parse().unwrap());
            }
            return Err(Box::new(status));
        }
        Ok(())
    }

    async fn append(self, request: Request<Streaming<AppendReq>>) -> Result<Response<AppendResp>, Status> {
        self.admits(request.metadata()).map_err(|status| *status)?;
        let mut messages = request.into_inner();
        let (mut options, mut events) = (None, Vec::new());
        while let Some(message) = messages.message().await? {
            options = options.or(message.options);
            events.extend(message.proposed);
        }
        let options = options.ok_or_else(|| Status::invalid_argument("no options"))?;
        if events.iter().map(|event| event.data.len() + event.custom_metadata.len()).sum::<usize>() > APPEND_BYTES_MAX {
            return Err(Status::invalid_argument("Maximum Append Size of 1048576 Exceeded."));
        }
        let stream = options.stream.unwrap_or_default().name;
        let expected = match (options.any, options.no_stream) {
            (Some(_), _) => self.state().streams.get(&stream).and_then(|log| (log.len() as u64).checked_sub(1)),
            (None, Some(_)) => None,
            (None, None) => options.revision,
        };
        let fault = {
            let mut state = self.state();
            state.appends += 1;
            state.faults.pop_front()
        };
        match fault {
            Some(Fault::HeldBack) => {
                self.state().held.push((stream, expected, events));
                return std::future::pending().await;
            }
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
        let takes = self.state().appends_take;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
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
        let wanted = options.stream.unwrap_or_default();
        let stream = wanted.stream.clone().unwrap_or_default();
        let mut state = self.state();
        state.reads += 1;
        let Some(log) = state.streams.get(&stream.name).filter(|log| !log.is_empty()) else {
            return vec![ReadResp { not_found: Some(NotFound { stream: wanted.stream }), event: None }];
        };
        let count = usize::try_from(options.count.unwrap_or(u64::MAX)).unwrap();
        // Backwards it reads the last one only.
        assert!(options.direction == 0 || wanted.end.is_some() && count == 1, "the double does not read so");
        let forwards = usize::try_from(wanted.revision.unwrap_or(0)).unwrap();
        let first = if options.direction == 0 { forwards } else { log.len() - 1 };
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
        let admitted = self.admits(request.metadata()).map_err(|status| *status);
        let read = admitted.map(|()| self.read(request.into_inner()).into_iter().map(Ok));
        Box::pin(async { Ok(Response::new(Box::pin(futures_util::stream::iter(read?)) as Events)) })
    }
}

impl UnaryService<Empty> for Streams {
    type Response = ClusterInfo;
    type Future = Answer<ClusterInfo>;

    fn call(&mut self, _: Request<Empty>) -> Self::Future {
        let members = self.state().members();
        Box::pin(async { Ok(Response::new(members)) })
    }
}

impl UnaryService<DeleteReq> for Streams {
    type Response = DeleteResp;
    type Future = Answer<DeleteResp>;

    fn call(&mut self, request: Request<DeleteReq>) -> Self::Future {
        let stream = request.into_inner().options.unwrap_or_default().stream.unwrap_or_default();
        self.state().streams.remove(&stream.name);
        Box::pin(async { Ok(Response::new(DeleteResp { no_position: Some(Empty {}) })) })
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
                "/event_store.client.streams.Streams/Delete" => {
                    Grpc::new(ProstCodec::<DeleteResp, DeleteReq>::default()).unary(streams, request).await
                }
                "/event_store.client.gossip.Gossip/Read" => {
                    Grpc::new(ProstCodec::<ClusterInfo, Empty>::default()).unary(streams, request).await
                }
                path => Status::unimplemented(path.to_owned()).into_http(),
            })
        })
    }
}
