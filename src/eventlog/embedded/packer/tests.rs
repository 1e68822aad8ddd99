//! What is unpacked is what was packed, and bytes that were never packed are refused.
#![allow(clippy::unwrap_used)]

use chrono::{DateTime, SecondsFormat};
use proptest::prelude::*;

use super::super::pack::{Context, unpack_blobs, unpack_core};
use super::super::stream_key::{self, Key, Name};
use super::*;

const AT: i64 = 1_700_000_000_123;

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("../schema.sql")).unwrap();
    connection
}

fn event(stream: &str, core: &[u8], blobs: Option<&[u8]>) -> RawEvent {
    RawEvent {
        position: 1,
        stream: stream.into(),
        revision: 1,
        id: uuid::Uuid::nil(),
        name: "user.registered".into(),
        version: 1,
        recorded_at: DateTime::from_timestamp_millis(AT).unwrap(),
        core: core.to_vec().into(),
        blobs: blobs.map(|blobs| blobs.to_vec().into()),
    }
}

/// Packs an event three times, so that what is wanted again comes to stand in the dictionary, and fails unless it is read
/// as it was each time; answers the bytes of each row.
fn round_trips(connection: &Connection, packer: &mut Packer, event: &RawEvent) -> [usize; 3] {
    [(); 3].map(|()| {
        let row = packer.row(connection, event).unwrap();
        let table = packer.dictionary.read();
        let key = match &row.stream {
            Key::Packed(bytes) => rusqlite::types::ValueRef::Blob(bytes),
            Key::Text(text) => rusqlite::types::ValueRef::Text(text.as_bytes()),
        };
        let (stream, uuids) = stream_key::read(&table, key).unwrap();
        assert_eq!(*stream, *event.stream);
        assert_eq!(Name::of(&stream).key(&table), row.stream, "it is looked up by the key it has");
        let context = Context { uuids: &uuids, recorded_at: AT };
        assert_eq!(unpack_core(&table, context, &row.core).as_deref(), Some(&event.core[..]));
        let blobs = row.blobs.as_deref().map(|packed| unpack_blobs(&table, packed).unwrap());
        assert_eq!(blobs.as_deref(), event.blobs.as_deref());
        row.core.len() + row.blobs.as_ref().map_or(0, Vec::len)
    })
}

fn time_text(at: i64) -> String {
    format!("\"{}\"", DateTime::from_timestamp_millis(at).unwrap().to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Pieces of which cores are made, and of what looks nearly like them.
fn piece() -> impl Strategy<Value = String> {
    let id = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    prop_oneof![
        id.prop_map(|id| format!("\"{id}\"")),
        id.prop_map(|id| format!("\"{}\"", id.to_uppercase())),
        "\"[0-9a-f]{0,70}\"",
        "\"[0-9a-f]{64}\"",
        "\"[0-9A-F]{16,18}\"",
        "\"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z\"",
        Just("\"2026-11-29T12:00:60Z\"".to_owned()),
        (0_i64..4_102_444_800_000).prop_map(time_text),
        any::<u64>().prop_map(|number| number.to_string()),
        "-?[0-9]{0,25}(\\.[0-9]{1,3})?(e[0-9])?",
        "\"[a-zé漢\\\\\"/ ]{0,12}\"",
        "\"[a-z]{3}\":",
        Just("\"11111111-1111-1111-1111-111111111111\"".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        "[\\[\\]{},:]{1,3}",
        "[\\x00-\\x1f]",
    ]
}

fn stream() -> impl Strategy<Value = String> {
    let id = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    prop_oneof![
        Just("user-11111111-1111-1111-1111-111111111111".to_owned()),
        Just("friendship-11111111-1111-1111-1111-111111111111.22222222-2222-2222-2222-222222222222".to_owned()),
        id.prop_map(|id| format!("user-{id}")),
        id.prop_map(|id| format!("{id}{id}{id}")),
        "[a-z]{0,6}-[\\x00-\\x7f]{0,40}",
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_looks_like_a_core_is_read_as_it_was_packed(
        pieces in prop::collection::vec(prop::collection::vec(piece(), 0..14), 1..4),
        streams in prop::collection::vec(stream(), 1..4),
        opened in any::<bool>(),
    ) {
        let connection = database();
        let mut packer = Packer::new(Arc::new(Dictionary::default()));
        for stream in &streams {
            for pieces in &pieces {
                let core = format!("{}{}", if opened { "{" } else { "" }, pieces.concat());
                round_trips(&connection, &mut packer, &event(stream, core.as_bytes(), None));
            }
        }
        // Whoever opens the file anew reads the same.
        let again = Dictionary::default();
        again.reload(&connection).unwrap();
        let (again, written) = (again.read(), packer.dictionary.read());
        for kind in [Kind::EventName, Kind::StreamShape, Kind::Skeleton, Kind::Word] {
            for number in 1..50 {
                prop_assert_eq!(again.term(kind, number), written.term(kind, number));
            }
        }
    }

    #[test]
    fn any_bytes_at_all_are_read_as_they_were_packed(
        core in prop::collection::vec(any::<u8>(), 0..300),
        blobs in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
        pairs in prop::collection::vec(("[a-z_.]{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 0..4),
        stream in stream(),
    ) {
        let connection = database();
        let mut packer = Packer::new(Arc::new(Dictionary::default()));
        round_trips(&connection, &mut packer, &event(&stream, &core, blobs.as_deref()));
        let mut sequence = vec![];
        for (path, ciphertext) in &pairs {
            sequence.extend_from_slice(&u16::try_from(path.len()).unwrap().to_be_bytes());
            sequence.extend_from_slice(path.as_bytes());
            sequence.extend_from_slice(&u32::try_from(ciphertext.len()).unwrap().to_be_bytes());
            sequence.extend_from_slice(ciphertext);
        }
        round_trips(&connection, &mut packer, &event(&stream, &core, Some(&sequence)));
    }

    #[test]
    fn bytes_that_nobody_packed_are_refused_or_read_without_a_panic(
        packed in prop::collection::vec(any::<u8>(), 0..120),
        tag in 0_u8..4,
    ) {
        let dictionary = Dictionary::default();
        let packed = [&[tag][..], &packed].concat();
        let table = dictionary.read();
        let _ = unpack_core(&table, Context { uuids: &[[7; 16]], recorded_at: i64::MAX }, &packed);
        let _ = unpack_blobs(&table, &packed);
        let _ = stream_key::read(&table, rusqlite::types::ValueRef::Blob(&packed));
    }
}

#[test]
fn a_registration_takes_a_quarter_of_its_json() {
    let (own, digest) = ("11111111-1111-1111-1111-111111111111", "ab".repeat(32));
    let sealed = |class: &str| {
        format!(r#"{{"class":"{class}","subject":"{own}","epoch":0,"commitment":"{digest}","sha256":"{digest}"}}"#)
    };
    let core = format!(
        r#"{{"meta":{{"app":"testkey","actor":{{"server":1}},"correlation":"01890a5d-ac96-774b-bcce-b302099a8057"}},"data":{{"subject":"{own}","user_id":{},"name":{},"portrait":{}}}}}"#,
        sealed("identity"),
        sealed("profile"),
        sealed("profile")
    );
    let connection = database();
    let mut packer = Packer::new(Arc::new(Dictionary::default()));
    let sizes = round_trips(&connection, &mut packer, &event(&format!("user-{own}"), core.as_bytes(), None));
    assert!(core.len() > 870 && sizes[2] < 220, "{} → {sizes:?}", core.len());
}

#[test]
fn a_term_is_added_the_second_time_it_is_wanted_and_none_is_once_there_is_no_room() {
    let connection = database();
    let mut packer = Packer::new(Arc::new(Dictionary::default()));
    let core = |word: usize| format!(r#"{{"word":"word{word}"}}"#);
    for word in 0..20_000 {
        packer.row(&connection, &event("s", core(word).as_bytes(), None)).unwrap();
    }
    assert!(packer.dictionary.read().term(Kind::Word, 1).is_none(), "each was wanted once");
    for word in 0..20_000 {
        for _ in 0..2 {
            packer.row(&connection, &event("s", core(word).as_bytes(), None)).unwrap();
        }
    }
    let words: u32 = connection.query_row("select count(*) from term where kind = 4", [], |row| row.get(0)).unwrap();
    assert_eq!(words, 16_384);
    round_trips(&connection, &mut packer, &event("s", core(19_999).as_bytes(), None));
    round_trips(&connection, &mut packer, &event("s", core(7).as_bytes(), None));
}

#[test]
fn a_stream_keeps_its_key_when_there_is_no_room_for_its_shape() {
    let connection = database();
    let mut packer = Packer::new(Arc::new(Dictionary::default()));
    let id = "11111111-1111-1111-1111-111111111111";
    for shape in 0..300 {
        round_trips(&connection, &mut packer, &event(&format!("kind{shape}-{id}"), b"{}", None));
    }
    let key = |stream: &str| Name::of(stream).key(&packer.dictionary.read());
    assert!(matches!(key(&format!("kind254-{id}")), Key::Packed(bytes) if bytes.len() == 17));
    assert_eq!(key(&format!("kind255-{id}")), Key::Text(format!("kind255-{id}")));
}
