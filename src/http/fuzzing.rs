//! What takes bytes from strangers, each as a function that takes any bytes at all: for `fuzz/` and for the tests, which run the
//! same over a kept corpus. A function panics where a property does not hold.

use actix_web::http::Method;
use rollcall_projections::data_requests::DueCursor;
use rollcall_schemas::Event;

use super::cursor::{Cursor, FeedCursor, Followed, GroupMember, IssuedCursor, MutualFriend, decode_seek, encode_seek};
use super::{client, platform, rest, server_v1, server_v4};
use crate::audit::report::{dsse, verify};
use crate::audit::tree::note::Checkpoint;
use crate::delivery::event_type::TypePattern;
use crate::engine::graph::SuggestionCursor;
use crate::engine::tokens;
use crate::transfer;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("form", form),
    ("json", json),
    ("signature", signature),
    ("cursor", cursor),
    ("token", token),
    ("report", report),
    ("event", event),
    ("path", path),
    ("frame", frame),
    ("records", records),
];

/// A body of the Server API v1.
pub fn form(bytes: &[u8]) {
    server_v1::fuzz_form(bytes);
}

/// A body of the Server API v4.
pub fn json(bytes: &[u8]) {
    server_v4::fuzz_params(bytes);
}

/// Nonce, timestamp and signature, a line each.
pub fn signature(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    platform::signature::fuzz(next(), next(), next());
}

fn is_written_as_it_was_read<C: Cursor>(text: &str) {
    if let Some(place) = C::decode(text) {
        assert_eq!(place.encode(), text, "two texts are one cursor");
    }
    if let Some(seek) = decode_seek::<C>(text) {
        assert_eq!(encode_seek(&seek).as_deref(), Some(text), "two texts are one cursor");
    }
}

/// A cursor of each kind.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    is_written_as_it_was_read::<u64>(text);
    is_written_as_it_was_read::<FeedCursor>(text);
    is_written_as_it_was_read::<DueCursor>(text);
    is_written_as_it_was_read::<IssuedCursor>(text);
    is_written_as_it_was_read::<MutualFriend>(text);
    is_written_as_it_was_read::<SuggestionCursor>(text);
    is_written_as_it_was_read::<Followed>(text);
    is_written_as_it_was_read::<GroupMember>(text);
}

/// An access token, before it is verified.
pub fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = tokens::has_form_of_token(text);
    }
}

/// An erasure report, and a checkpoint of the log. Without anybody to trust, nothing is believed.
pub fn report(bytes: &[u8]) {
    assert!(dsse::open(bytes, &[]).is_err(), "a report that nobody signed is opened");
    assert_ne!(verify::verify(bytes, &[]).exit_code(), 0, "a report that nobody signed is believed");
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(Checkpoint::read(text, &[]).is_err(), "a checkpoint that nobody signed is believed");
    }
}

/// An event as the log has it: name, version and JSON, a line each.
pub fn event(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (name, version, json) = (next(), next(), next());
    let (Ok(name), Ok(version)) = (std::str::from_utf8(name), std::str::from_utf8(version)) else { return };
    let Ok(event) = Event::decode(name, version.parse().unwrap_or(1), json) else { return };
    let declared = event.declaration();
    // What is not sealed is not written.
    if let Ok(json) = event.encode() {
        let again = Event::decode(declared.name, declared.version, &json);
        assert_eq!(again.ok(), Some(event), "what is written is another event");
    }
}

/// A path of REST and of the client face, and a pattern of types.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
        rest::fuzz_path(&method, text);
        client::fuzz_path(&method, text);
    }
    if let Ok(pattern) = text.parse::<TypePattern>() {
        assert_eq!(pattern.to_string(), text, "a pattern is written as it was read");
    }
}

/// A text frame of the client face.
pub fn frame(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        client::fuzz_frame(text);
    }
}

/// The body of an import.
pub fn records(bytes: &[u8]) {
    transfer::fuzzing::read(bytes);
}
