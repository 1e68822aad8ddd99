//! The feed as a stream of server-sent events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{APP, all, get, load, logged, told};
use crate::support::{App, Service, rollcall};

/// A reader of a stream, as a browser is one.
struct Reader {
    lines: BufReader<TcpStream>,
    /// The last cursor that it was told.
    cursor: String,
}

impl Reader {
    /// Connects; `None`: it was refused.
    fn connect(service: &Service, bearer: &str, query: &str, last: &str) -> Option<Self> {
        let mut stream = TcpStream::connect(service.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let last_id = if last.is_empty() { String::new() } else { format!("Last-Event-ID: {last}\r\n") };
        let head = format!(
            "GET /api/v1/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\
             Accept: text/event-stream\r\n{last_id}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = Self { lines: BufReader::new(stream), cursor: last.to_owned() };
        let status = reader.line().unwrap();
        while !reader.line().unwrap().is_empty() {}
        status.contains(" 200 ").then_some(reader)
    }

    fn of(service: &Service, app: App, query: &str, last: &str) -> Self {
        Self::connect(service, &format!("{}:{}", app.key, app.secret), query, last).expect("it was refused")
    }

    /// The next line, also of the transfer coding; `None`: the stream has ended.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => None,
            // The last chunk has no bytes.
            Ok(_) => Some(line.trim_end().to_owned()).filter(|line| line != "0"),
            Err(error) => panic!("nothing comes and it does not end: {error}"),
        }
    }

    /// The next event; `None`: the stream has ended.
    fn event(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            if let Some(cursor) = line.strip_prefix("id: ") {
                self.cursor = cursor.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    fn events(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.event().expect("the stream has ended")).collect()
    }
}

#[test]
fn a_stream_that_breaks_off_goes_on_behind_the_last_event_that_was_read() {
    let mut service = Service::start(&[APP]);
    let end = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        for prefix in ["a", "b"] {
            let (service, end) = (&service, &end);
            scope.spawn(move || load(service, APP, prefix, end));
        }
        let (mut read, mut cursor) = (vec![], String::new());
        for round in 0..8 {
            let mut reader = Reader::of(&service, APP, "", &cursor);
            read.extend(reader.events(5 + round));
            cursor = reader.cursor;
        }
        end.store(true, Ordering::SeqCst);
        read
    });
    let whole = all(&service, APP, "limit=500");
    assert_eq!(read, whole[..read.len()]);
    service.stop();
    assert_eq!(told(&whole), logged(&service, APP));
}

#[test]
fn a_stream_tells_what_happens_and_its_filter_moves_the_cursor_on() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let mut reader = Reader::of(&service, APP, "?type=rollcall.user.banned.v1", "");
    service.register(APP, &["bob", "eve"]);
    service.post(APP, "/user/block.json", &[("userId", "eve"), ("minute", "60")]).ok();
    let banned = reader.event().unwrap();
    assert_eq!(banned["type"], "rollcall.user.banned.v1");
    let json = get(&service, APP, &format!("?cursor={}", reader.cursor)).json();
    let after: Vec<_> = json["events"].as_array().unwrap().iter().map(|event| &event["sequence"]).collect();
    assert!(after.iter().all(|sequence| sequence.as_str() > banned["sequence"].as_str()), "{after:?}");
}

#[test]
fn a_stop_ends_streams_well() {
    let mut service = Service::start(&[APP]);
    let mut readers: Vec<_> = (0..3).map(|_| Reader::of(&service, APP, "", "")).collect();
    readers.iter_mut().for_each(|reader| drop(reader.events(1)));
    std::thread::scope(|scope| {
        let rest: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                scope.spawn(move || {
                    let mut rest = String::new();
                    reader.lines.read_to_string(&mut rest).map(|_| rest)
                })
            })
            .collect();
        service.stop();
        for rest in rest {
            assert!(rest.join().unwrap().expect("it was cut off").ends_with("0\r\n\r\n"), "it does not end well");
        }
    });
}

#[test]
fn so_many_streams_of_an_app_are_open_at_a_time_and_their_places_come_back() {
    let service = Service::start(&[APP, App::OTHER]);
    let bearer = format!("{}:{}", APP.key, APP.secret);
    let mut open = vec![];
    // On two nodes each has its own bound.
    while let Some(reader) = Reader::connect(&service, &bearer, "", "") {
        open.push(reader);
        assert!(open.len() <= 200, "there is no bound");
    }
    assert!(open.len() >= 64, "{}", open.len());
    Reader::of(&service, App::OTHER, "", "");
    drop(open);
    // Behind a proxy that a reader has gone is seen only when it is written to.
    let mut number = 0;
    service.eventually("a place is free", |service| {
        number += 1;
        service.register(APP, &[&*format!("ada{number}")]);
        Reader::connect(service, &bearer, "", "").is_some()
    });
}

#[test]
fn a_stream_ends_when_its_key_is_retired() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let add = |scope: &str| {
        let output = rollcall(&["apps", "add-key", APP.key, "--scope", scope], service.data());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (operator, key) = (add("operator"), add("server"));
    service.restart();
    let mut reader = Reader::connect(&service, &key, "", "").expect("it was refused");
    reader.events(1);
    let reading = std::thread::spawn(move || while reader.event().is_some() {});
    let headers = [("Authorization".to_owned(), format!("Bearer {operator}"))];
    assert_eq!(service.request("DELETE", "/api/v1/api-keys/2", &headers, b"").status, 204);
    let mut number = 0;
    service.eventually("the stream ends", |service| {
        number += 1;
        service.register(APP, &[&*format!("ada{number}")]);
        reading.is_finished()
    });
    reading.join().unwrap();
    assert!(Reader::connect(&service, &key, "", "").is_none());
}
