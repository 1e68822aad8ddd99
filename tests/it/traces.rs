//! Traces, as a collector of OpenTelemetry receives them.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use otlp_prost::Message as _;
use serde_json::json;

use crate::support::{App, Service, rollcall};
use crate::webhooks::receiver::Receiver;

const APP: App = App::PRODUCTION;
/// In everything that a caller says.
const CANARY: &str = "Tn5VogelSpur";

/// A collector: it takes what comes, and keeps it.
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (received, spans) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(vec![])));
        let kept = (received.clone(), spans.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (received, spans) = kept.clone();
                std::thread::spawn(move || take(stream, &received, &spans));
            }
        });
        Self { address, received, spans }
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

/// Takes one request after the other of a connection.
fn take(mut stream: TcpStream, received: &Mutex<Vec<u8>>, spans: &Mutex<Vec<Span>>) {
    let mut unread = vec![];
    let mut buffer = [0; 64 * 1024];
    loop {
        let whole = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|end| {
            let head = String::from_utf8_lossy(&unread[..end]).to_lowercase();
            assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            (end + 4, end + 4 + length.unwrap_or_else(|| panic!("no length: {head}")))
        });
        if let Some((from, to)) = whole.filter(|(_, to)| unread.len() >= *to) {
            let body: Vec<u8> = unread.drain(..to).skip(from).collect();
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            received.lock().unwrap().extend(body);
            let new = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            spans.lock().unwrap().extend(new.flat_map(|scope| scope.spans));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            continue;
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => unread.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

/// Starts a service that exports to this address.
fn start(dir: &Path, collector: SocketAddr, args: &[&str]) -> Service {
    let endpoint = format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://{collector}");
    let settings = ["OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_BSP_MAX_QUEUE_SIZE=256", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=64"];
    let wrapper = [&["env", &endpoint, "ROLLCALL_LOG=info"], &settings[..]].concat();
    Service::launch_node(&dir.join("data"), &[APP], &wrapper, args).unwrap()
}

fn attributes(span: &Span) -> HashMap<&str, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pairs = span.attributes.iter();
    pairs.map(|pair| (pair.key.as_str(), text(pair.value.as_ref().unwrap().value.as_ref().unwrap()))).collect()
}

#[test]
fn a_request_is_a_span_of_its_callers_trace_and_its_command_a_span_within() {
    let (dir, collector) = (tempfile::tempdir().unwrap(), Collector::start());
    let mut service = start(dir.path(), collector.address, &[]);
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let headers = [
        ("Authorization", format!("Bearer {}:{}", APP.key, APP.secret)),
        ("traceparent", format!("00-{trace}-{parent}-01")),
        ("tracestate", format!("vendor={CANARY}")),
        ("X-Request-ID", CANARY.to_owned()),
        ("Idempotency-Key", CANARY.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let body = json!({"name": CANARY, "portrait_uri": format!("https://example.org/{CANARY}")}).to_string();
    let path = format!("/api/v1/users/{CANARY}?{CANARY}={CANARY}");
    assert_eq!(service.request("PUT", &path, &headers, body.as_bytes()).status, 201);
    service.request(CANARY, &path, &headers, body.as_bytes());
    service.request("GET", &format!("/api/v1/{CANARY}"), &headers, b"");
    service.post(APP, "/user/info.json", &[("userId", CANARY)]).ok();
    // What was not exported yet is, when it stops.
    service.stop();
    let spans = collector.spans();
    let of =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
    let request = of("rest registerUser");
    assert_eq!((hex::encode(&request.trace_id), hex::encode(&request.parent_span_id)), (trace.into(), parent.into()));
    assert_eq!(request.kind, 2, "server");
    let told = attributes(request);
    for (name, value) in [
        ("http.request.method", "PUT"),
        ("http.route", "/api/v1/users/{id}"),
        ("http.response.status_code", "201"),
        ("rollcall.face", "rest"),
        ("rollcall.app", APP.key),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}: {told:?}");
    }
    let command = of("user::register::Register");
    assert_eq!((&command.trace_id, &command.parent_span_id), (&request.trace_id, &request.span_id));
    let other = of("server_v1 info");
    assert_ne!(other.trace_id, request.trace_id);
    assert_eq!(attributes(other)["http.route"], "/user/info.json");
    assert!(of("apply").trace_id.iter().any(|byte| *byte != 0));
    let queries: Vec<_> = spans.iter().filter(|span| attributes(span).contains_key("rollcall.read_model")).collect();
    let within =
        queries.iter().find(|query| query.parent_span_id == other.span_id).unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!(within.trace_id, other.trace_id);
    assert!(within.name.starts_with("user_directory."), "{within:?}");
    assert_eq!(attributes(within), HashMap::from([("rollcall.read_model", "user_directory".to_owned())]));
    let alone = queries.iter().find(|query| query.parent_span_id.is_empty());
    assert!(alone.is_none(), "it is a trace of its own: {alone:#?}");
    let received = collector.received.lock().unwrap();
    let found = crate::canary::scanner::Scanner::of(&[CANARY]).found_in(&received);
    assert!(found.is_empty(), "{found:?}");
    assert!(!service.errors().contains("collector"), "{}", service.errors());
}

#[test]
fn a_collector_that_is_silent_or_gone_costs_spans_and_nothing_else() {
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for collector in [silent.local_addr().unwrap(), gone] {
        let dir = tempfile::tempdir().unwrap();
        let mut service = start(dir.path(), collector, &[]);
        service.register(APP, &["ada"]);
        // More spans than the queue of the exporter holds.
        for _ in 0..200 {
            service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
        }
        if collector == gone {
            service.eventually("it says that spans are lost", |service| {
                service.errors().contains("the collector of traces does not take spans")
            });
        }
        service.stop();
        assert!(!service.errors().contains("panicked"), "{}", service.errors());
    }
    for (name, value) in [("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1")]
    {
        let dir = tempfile::tempdir().unwrap();
        let setting = format!("{name}={value}");
        let refused = Service::launch_node(&dir.path().join("data"), &[APP], &["env", &setting], &[]).err().unwrap();
        assert!(refused.contains("traces cannot be exported"), "{refused}");
    }
}

#[test]
fn a_receiver_of_a_webhook_is_told_the_trace_of_its_delivery() {
    let (dir, collector, receiver) = (tempfile::tempdir().unwrap(), Collector::start(), Receiver::start());
    let mut service = start(dir.path(), collector.address, &[]);
    service.stop();
    let output = rollcall(&["apps", "add-key", APP.key, "--scope", "operator"], service.data());
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let mut service = start(dir.path(), collector.address, &["--webhook-allow", "127.0.0.0/8"]);
    let headers = [("Authorization".to_owned(), format!("Bearer {key}"))];
    let body = json!({"url": receiver.url(), "types": ["rollcall.user.*"]}).to_string();
    assert_eq!(service.request("POST", "/api/v1/webhooks", &headers, body.as_bytes()).status, 201);
    service.register(APP, &["ada"]);
    service.eventually("it is told", |_| !receiver.received().is_empty());
    let told = receiver.received()[0].header("traceparent").to_owned();
    service.stop();
    let deliveries: Vec<_> = collector.spans().into_iter().filter(|span| span.name == "deliver").collect();
    let named = |span: &Span| format!("00-{}-{}-01", hex::encode(&span.trace_id), hex::encode(&span.span_id));
    let delivery =
        deliveries.iter().find(|span| named(span) == told).unwrap_or_else(|| panic!("{told}: {deliveries:#?}"));
    assert_eq!(attributes(delivery)["http.response.status_code"], "200");
    assert_eq!(delivery.kind, 3, "client");
}
