//! The nodes of the double: they can be stopped and started again, and be frozen as SIGSTOP freezes a process.

use std::net::TcpListener;
use std::sync::{Arc, MutexGuard, mpsc};

use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;

use super::double::{State, Streams};

/// One node: while it is frozen, its only thread waits, so that it accepts connections as the kernel does, and answers
/// nothing.
struct Node {
    port: u16,
    runtime: Option<Runtime>,
    frozen: Option<mpsc::Sender<()>>,
}

/// Another name under which the same node answers.
#[derive(Clone)]
struct Gossip(Streams);

impl NamedService for Gossip {
    const NAME: &'static str = "event_store.client.gossip.Gossip";
}

impl Service<http::Request<Body>> for Gossip {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = <Streams as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Service::<http::Request<Body>>::call(&mut self.0, request)
    }
}

impl Node {
    fn start(streams: Streams, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            let server = tonic::transport::Server::builder().add_service(streams.clone()).add_service(Gossip(streams));
            server.serve_with_incoming(incoming.with_nodelay(Some(true))).await.unwrap();
        });
        Self { port, runtime: Some(runtime), frozen: None }
    }

    fn stop(&mut self) {
        self.frozen = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Nodes on this machine that keep what they have when they are stopped.
pub struct Double {
    streams: Streams,
    nodes: Vec<Node>,
}

impl Double {
    pub fn start() -> Self {
        Self::cluster(1)
    }

    /// So many nodes, of which the first leads.
    pub fn cluster(nodes: usize) -> Self {
        let mut double = Self { streams: Streams::default(), nodes: vec![] };
        for node in 0..nodes {
            let node = Node::start(double.of_node(node), 0);
            double.state().ports.push(node.port);
            double.nodes.push(node);
        }
        double
    }

    fn of_node(&self, node: usize) -> Streams {
        Streams { state: Arc::clone(&self.streams.state), node }
    }

    pub fn start_again(&mut self) {
        for node in 0..self.nodes.len() {
            self.nodes[node] = Node::start(self.of_node(node), self.nodes[node].port);
        }
    }

    /// Goes away at once, with all its connections.
    pub fn stop(&mut self) {
        self.nodes.iter_mut().for_each(Node::stop);
    }

    /// Has a node answer nothing any more, on connections that are open and on new ones.
    pub fn freeze(&mut self, node: usize) {
        let (thaw, thawed) = mpsc::channel::<()>();
        let (freezes, is_frozen) = mpsc::channel();
        let node = &mut self.nodes[node];
        node.runtime.as_ref().unwrap().spawn(async move {
            freezes.send(()).unwrap();
            let _ = thawed.recv();
        });
        is_frozen.recv().unwrap();
        node.frozen = Some(thaw);
    }

    /// Has a frozen node go on where it was.
    pub fn thaw(&mut self, node: usize) {
        self.nodes[node].frozen = None;
    }

    /// The others take a node for dead, and another one leads.
    pub fn elect(&self, leader: usize, dead: usize) {
        let mut state = self.state();
        (state.leader, state.dead) = (leader, Some(dead));
    }

    pub fn url(&self) -> String {
        self.url_of("")
    }

    /// The address with a user, as `ada:secret@`.
    pub fn url_of(&self, user: &str) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("esdb://{user}{}?tls=false&discoveryInterval=10", hosts.join(","))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.streams.state.lock().unwrap()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stop();
    }
}
