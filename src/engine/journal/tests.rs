//! What is encoded decodes to the same, and what is damaged is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rollcall_schemas::envelope::{Actor, Metadata, Recorded};
use rollcall_schemas::ids::{AppId, ErasureId, FieldName, OperationId, Pair, SecretId, SubjectRef};
use rollcall_schemas::personal::{Class, Personal};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, blocklist, friendship, user};
use serde_json::Value;
use uuid::Uuid;

use super::{ReadError, decode, detach, encode};
use crate::eventlog::{NewEvent, RawEvent};
use crate::privacy::{KeysToDestroy, Vault, key_tree::KeyTree};

struct Given {
    _dir: tempfile::TempDir,
    vault: KeyTree,
    ada: SubjectRef,
    bob: SubjectRef,
}

thread_local!(static GIVEN: Given = {
    let dir = tempfile::tempdir().unwrap();
    let vault = KeyTree::open(dir.path(), &Default::default()).unwrap();
    let (ada, bob) = (crate::privacy::key_tree::allocated(&vault), crate::privacy::key_tree::allocated(&vault));
    Given { _dir: dir, vault, ada, bob }
});

fn metadata() -> Metadata {
    let app: AppId = "chat".parse().unwrap();
    Metadata { app, actor: Actor::Server(SecretId(1)), correlation: Uuid::from_u128(9), causation: None }
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_123).unwrap()
}

/// An event without its subjects.
#[derive(Debug, Clone)]
enum Draft {
    Registered(Option<String>, String, Option<String>),
    ProfileSet(BTreeMap<String, String>, BTreeSet<String>),
    Tagged(Option<Vec<String>>),
    Described(Option<String>, BTreeMap<String, String>),
    Blocked,
}

fn draft() -> impl Strategy<Value = Draft> {
    let text = || "[a-zé漢\"\\\\ ]{0,80}";
    let key = || "ext_[a-z]{1,6}";
    prop_oneof![
        (prop::option::of(text()), text(), prop::option::of(text())).prop_map(|(u, n, p)| Draft::Registered(u, n, p)),
        (prop::collection::btree_map(key(), text(), 0..5), prop::collection::btree_set(key(), 0..3))
            .prop_map(|(set, cleared)| Draft::ProfileSet(set, cleared)),
        prop::option::of(prop::collection::vec(text(), 0..5)).prop_map(Draft::Tagged),
        (prop::option::of(text()), prop::collection::btree_map(key(), text(), 0..4))
            .prop_map(|(remark, fields)| Draft::Described(remark, fields)),
        Just(Draft::Blocked),
    ]
}

fn event(given: &Given, draft: &Draft) -> (Stream, Event) {
    let subject = given.ada;
    let present = |text: &String| Personal::Present(text.clone());
    let names = |fields: &BTreeMap<String, String>| -> BTreeMap<FieldName, String> {
        fields.iter().map(|(key, value)| (FieldName(key.clone()), value.clone())).collect()
    };
    match draft {
        Draft::Registered(user_id, name, portrait) => {
            let (user_id, portrait) = (user_id.as_ref().map(present), portrait.as_ref().map(present));
            let event: user::Event = user::Registered { subject, user_id, name: present(name), portrait }.into();
            (Stream::User(subject), event.into())
        }
        Draft::ProfileSet(set, cleared) => {
            let fields = names(set).into_iter().map(|(k, v)| (k, Personal::Present(Value::String(v)))).collect();
            let cleared = cleared.iter().cloned().map(FieldName).collect();
            let event: user::Event = user::ProfileSet { subject, fields, cleared }.into();
            (Stream::User(subject), event.into())
        }
        Draft::Tagged(tags) => {
            let event: user::Event = user::Tagged { subject, tags: tags.clone().map(Personal::Present) }.into();
            (Stream::User(subject), event.into())
        }
        Draft::Described(remark, fields) => {
            let event: friendship::Event = friendship::Described {
                owner: subject,
                about: given.bob,
                remark: remark.as_ref().map(present),
                remark_cleared: remark.is_none(),
                fields: names(fields).into_iter().map(|(key, value)| (key, Personal::Present(value))).collect(),
                cleared: BTreeSet::new(),
            }
            .into();
            (Stream::Friendship(Pair::of(subject, given.bob).unwrap()), event.into())
        }
        Draft::Blocked => {
            let event: blocklist::Event = blocklist::Blocked { subject, targets: vec![given.bob] }.into();
            (Stream::Blocklist(subject), event.into())
        }
    }
}

fn raw(stream: &Stream, new: NewEvent) -> RawEvent {
    let NewEvent { id, name, version, recorded_at, core, blobs } = new;
    let (name, stream) = (name.into(), stream.to_string().into());
    RawEvent { position: 7, stream, revision: 3, id, name, version, recorded_at, core, blobs }
}

fn recorded(given: &Given, draft: &Draft) -> (Event, RawEvent) {
    let (stream, event) = event(given, draft);
    let new = encode(&given.vault, &stream.to_string(), &metadata(), at(), event.clone(), None).unwrap();
    (event, raw(&stream, new))
}

/// Opens every value of an event, or tells that one does not open.
fn open(vault: &dyn Vault, recorded: &Recorded<Event>) -> Result<Event, String> {
    let mut event = recorded.event.clone();
    event.each_personal::<String>(&mut |path, class, subject, slot| {
        let sealed = slot.sealed().ok_or("not sealed")?.clone();
        let header = recorded.header(path, class, subject, sealed.epoch);
        let plaintext = vault.open(&header, &sealed).map_err(|error| error.to_string())?;
        slot.open(&plaintext).map_err(|error| error.to_string())
    })?;
    Ok(event)
}

fn values(event: &Event) -> usize {
    let mut count = 0;
    let counted = event.clone().each_personal::<()>(&mut |_, _, _, _| {
        count += 1;
        Ok(())
    });
    counted.unwrap();
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_decodes_sealed_and_opens_to_the_same_event(draft in draft()) {
        GIVEN.with(|given| -> Result<(), TestCaseError> {
            let (event, raw) = recorded(given, &draft);
            prop_assert_eq!(raw.blobs.is_some(), values(&event) > 0);
            let recorded = decode(&raw).unwrap();
            prop_assert_eq!((recorded.position, recorded.revision, recorded.recorded_at), (7, 3, at()));
            prop_assert_eq!(&recorded.metadata, &metadata());
            prop_assert_eq!(recorded.stream.to_string(), &*raw.stream);
            prop_assert_eq!(open(&given.vault, &recorded).unwrap(), event);
            Ok(())
        })?;
    }

    #[test]
    fn no_personal_value_stands_in_the_clear(text in "[a-z]{12,40}") {
        GIVEN.with(|given| -> Result<(), TestCaseError> {
            let tags = Some(vec![text.clone()]);
            for draft in [Draft::Registered(Some(text.clone()), text.clone(), None), Draft::Tagged(tags)] {
                let (_, raw) = recorded(given, &draft);
                for bytes in [raw.core, raw.blobs.unwrap()] {
                    prop_assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()));
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn damaged_bytes_are_an_error_or_the_event_and_never_another_value(
        draft in draft(),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        cut in any::<bool>(),
        of_core in any::<bool>(),
    ) {
        GIVEN.with(|given| -> Result<(), TestCaseError> {
            let (event, mut raw) = recorded(given, &draft);
            let mut bytes = if of_core { raw.core.to_vec() } else { raw.blobs.as_deref().unwrap_or(b"x").to_vec() };
            let index = place.index(bytes.len());
            if cut {
                bytes.truncate(index);
            } else {
                bytes[index] ^= 1 << bit;
            }
            if of_core { raw.core = bytes.into() } else { raw.blobs = Some(bytes.into()) }
            let _ = detach(&raw, &|_| true);
            if let Ok(recorded) = decode(&raw)
                && let Ok(opened) = open(&given.vault, &recorded)
                && !of_core
            {
                prop_assert_eq!(opened, event);
            }
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_at_all_are_read_without_a_panic(
        core in prop::collection::vec(any::<u8>(), 0..200),
        blobs in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        GIVEN.with(|given| {
            let (_, good) = recorded(given, &Draft::Tagged(None));
            let damaged = RawEvent { core: core.into(), blobs: Some(blobs.clone().into()), ..good.clone() };
            let _ = decode(&damaged);
            let damaged = RawEvent { blobs: Some(blobs.into()), ..good };
            let _ = decode(&damaged);
        });
    }

    #[test]
    fn detaching_takes_what_is_named_and_leaves_the_rest_attached(draft in draft(), erase_identity in any::<bool>()) {
        GIVEN.with(|given| -> Result<(), TestCaseError> {
            let (_, raw) = recorded(given, &draft);
            let keys_to_destroy = |class: Class| (class == Class::Identity) == erase_identity;
            let left = detach(&raw, &|sealed| keys_to_destroy(sealed.class)).unwrap();
            let after = RawEvent { blobs: left.clone().unwrap_or(raw.blobs.as_ref().map(|b| b.to_vec())).map(Into::into), ..raw.clone() };
            let (mut before, mut after) = (decode(&raw).unwrap(), decode(&after).unwrap());
            let mut was = vec![];
            let noted = before.event.each_personal::<()>(&mut |_, _, _, slot| {
                was.push(slot.sealed().unwrap().ciphertext.clone());
                Ok(())
            });
            noted.unwrap();
            let (mut was, mut changed) = (was.into_iter(), false);
            let compared = after.event.each_personal::<String>(&mut |path, class, _, slot| {
                let (now, was) = (&slot.sealed().unwrap().ciphertext, was.next().flatten());
                changed |= keys_to_destroy(class);
                let expected = if keys_to_destroy(class) { None } else { was };
                if *now == expected { Ok(()) } else { Err(path.to_owned()) }
            });
            prop_assert_eq!(compared, Ok(()));
            prop_assert_eq!(left.is_some(), changed);
            Ok(())
        })?;
    }
}

#[test]
fn an_event_about_somebody_whose_keys_are_gone_is_not_recorded() {
    GIVEN.with(|given| {
        let gone = crate::privacy::key_tree::allocated(&given.vault);
        let keys_to_destroy = KeysToDestroy {
            erasure: ErasureId(Uuid::new_v4()),
            app: "app-one".parse().unwrap(),
            subject: gone,
            classes: vec![Class::Profile],
            operation: OperationId(String::new()),
        };
        given.vault.destroy(&[keys_to_destroy]).unwrap();
        let event: user::Event = user::Tagged { subject: gone, tags: Some(Personal::Present(vec!["a".into()])) }.into();
        let stream = Stream::User(gone).to_string();
        assert!(encode(&given.vault, &stream, &metadata(), at(), event.into(), None).is_err());
    });
}

#[test]
fn an_event_in_a_stream_of_another_aggregate_is_corruption() {
    GIVEN.with(|given| {
        let (_, event) = event(given, &Draft::Blocked);
        let stream = Stream::User(given.ada);
        let new = encode(&given.vault, &stream.to_string(), &metadata(), at(), event, None).unwrap();
        let refused = decode(&raw(&stream, new)).unwrap_err();
        assert!(matches!(refused, ReadError::Misplaced { position: 7, revision: 3, .. }), "{refused}");
    });
}
