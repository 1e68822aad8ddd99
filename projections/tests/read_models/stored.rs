//! A sealed value in a row holds what the row does not say, and is bound to the row nevertheless.

use rollcall_schemas::ids::EventId;
use rollcall_schemas::personal::{Class, Header, Stored};
use uuid::Uuid;

use crate::support::{app, subject};

fn header(stream: &str, path: &str) -> Header {
    Header {
        app: app("app-one"),
        stream: stream.into(),
        event: EventId(Uuid::from_u128(7)),
        name: "user.registered".into(),
        version: 3,
        path: path.into(),
        subject: subject(1),
        class: Class::Profile,
        epoch: 5,
    }
}

#[test]
fn a_stored_value_has_the_associated_data_of_its_event_in_its_own_row_alone() {
    let own = format!("user-{}", subject(1));
    let streams = [own.clone(), format!("user-{}", subject(2)), format!("remarks-{}", subject(1)), format!("{own}x")];
    for header in streams.iter().map(|stream| header(stream, "fields.email")) {
        let bytes = header.store(b"ciphertext");
        let stored = Stored::from_bytes(&bytes).unwrap();
        assert_eq!((stored.path, stored.class, stored.epoch), ("fields.email", Class::Profile, 5));
        assert_eq!((stored.event, stored.ciphertext), (header.event, &b"ciphertext"[..]));
        assert_eq!(stored.associated(&header.app, header.subject), header.to_bytes(), "{}", header.stream);
        assert_ne!(stored.associated(&app("app-two"), header.subject), header.to_bytes());
        assert_ne!(stored.associated(&header.app, subject(2)), header.to_bytes());
    }
}

#[test]
fn a_stored_value_says_nothing_of_what_its_row_says() {
    let bytes = header(&format!("user-{}", subject(1)), "name").store(&[0; 92]);
    assert!(bytes.len() <= 140, "{} bytes", bytes.len());
    let says = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(!says(b"app-one") && !says(subject(1).0.as_bytes()) && !says(subject(1).to_string().as_bytes()));
}

#[test]
fn bytes_that_are_cut_short_or_of_another_format_are_no_stored_value() {
    let bytes = header("user-x", "name").store(b"");
    for length in 0..bytes.len() {
        assert!(Stored::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
    let mut other = bytes;
    other[0] = 1;
    assert!(Stored::from_bytes(&other).is_err());
}
