//! A log in memory: recorded events with sealed fixtures, and read stores to apply them to.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_projections::{Arrival, Entry, unique_ids};
use rollcall_schemas::envelope::{Actor, Metadata, Recorded};
use rollcall_schemas::ids::{AppId, ErasureId, EventId, OperationId, SecretId, SubjectRef};
use rollcall_schemas::personal::{Class, DestroyedKey, Personal, Sealed};
use rollcall_schemas::plain::{LegalBasis, OwnText, Requester, Scope};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, ban, blocklist, erasure, user};
use uuid::Uuid;

/// A subject by number, the same in every run.
pub fn subject(number: u32) -> SubjectRef {
    let mixed = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).rotate_left(61);
    SubjectRef(Uuid::from_u128(mixed ^ u128::from(number)))
}

pub fn app(name: &str) -> AppId {
    name.parse().unwrap()
}

/// A sealed value whose ciphertext is `text`.
pub fn sealed<T>(class: Class, subject: SubjectRef, text: &str) -> Personal<T> {
    Personal::Sealed(Sealed {
        class,
        subject,
        epoch: 0,
        commitment: [7; 32],
        digest: [9; 32],
        ciphertext: Some(text.as_bytes().to_vec()),
    })
}

pub fn profile<T>(subject: SubjectRef, text: &str) -> Personal<T> {
    sealed(Class::Profile, subject, text)
}

pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

/// The tag of the fixtures.
pub fn tag(subject: SubjectRef) -> [u8; 16] {
    let mut tag = subject.0.into_bytes();
    tag.reverse();
    tag
}

pub fn registered(subject: SubjectRef) -> Event {
    let user_id = Some(sealed(Class::Identity, subject, "id"));
    let (name, portrait) = (profile(subject, "name"), Some(profile(subject, "portrait")));
    user::Event::from(user::Registered { subject, user_id, name, portrait }).into()
}

pub fn banned(subject: SubjectRef, until: DateTime<Utc>) -> Event {
    let reason = Some(sealed(Class::Moderation, subject, "why"));
    ban::Event::from(ban::Imposed { subject, until, reason }).into()
}

pub fn blocked(subject: SubjectRef, targets: Vec<SubjectRef>) -> Event {
    blocklist::Event::from(blocklist::Blocked { subject, targets }).into()
}

/// The recorded events in order.
#[derive(Debug)]
pub struct Log {
    pub app: AppId,
    pub events: Vec<Recorded<Event>>,
    revisions: BTreeMap<Stream, u64>,
}

impl Default for Log {
    fn default() -> Self {
        Self { app: app("app-one"), events: Vec::new(), revisions: BTreeMap::new() }
    }
}

impl Log {
    /// Records an event one second after the one before, and returns its position.
    pub fn record(&mut self, stream: Stream, event: impl Into<Event>) -> u64 {
        let event = event.into();
        let position = self.events.len() as u64 + 1;
        let revision = self.revisions.entry(stream.clone()).or_default();
        *revision += 1;
        self.events.push(Recorded {
            position,
            stream,
            revision: *revision,
            id: EventId(Uuid::from_u128(u128::from(position))),
            recorded_at: at(0) + TimeDelta::seconds(i64::try_from(position).unwrap()),
            metadata: Metadata {
                app: self.app.clone(),
                actor: Actor::Server(SecretId(1)),
                correlation: Uuid::from_u128(1),
                causation: None,
            },
            name: event.declaration().name,
            version: event.declaration().version,
            event,
        });
        position
    }

    pub fn register(&mut self, subject: SubjectRef) -> u64 {
        self.record(Stream::User(subject), registered(subject))
    }

    pub fn user(&mut self, subject: SubjectRef, event: impl Into<user::Event>) -> u64 {
        self.record(Stream::User(subject), event.into())
    }

    pub fn entry(&self, position: u64) -> Entry<'_> {
        let recorded = &self.events[usize::try_from(position).unwrap() - 1];
        let tag = match &recorded.event {
            Event::User(user::Event::Named(e)) => Some(tag(e.subject)),
            Event::User(user::Event::Registered(e)) => e.user_id.is_some().then(|| tag(e.subject)),
            Event::User(user::Event::ProfileSet(e)) => {
                e.fields.keys().any(|field| field.0 == unique_ids::FIELD).then(|| tag(e.subject))
            }
            _ => None,
        };
        Entry { recorded, tag }
    }

    /// All events after a position.
    pub fn after(&self, position: u64) -> Vec<Arrival<'_>> {
        (position + 1..=self.events.len() as u64).map(|position| Arrival::Decoded(self.entry(position))).collect()
    }
}

/// The request of an erasure, as an app makes it without a word of its own.
pub fn requested(erasure: ErasureId, subject: SubjectRef, scope: Scope, operation: &str) -> Event {
    let requested = erasure::Requested {
        erasure,
        subject,
        scope,
        operation: OperationId(operation.into()),
        basis: LegalBasis::AccountClosed,
        requester: Requester::Controller,
        commitment: None,
        not_before: None,
        due_at: at(2_592_000),
        held: false,
    };
    erasure::Event::from(requested).into()
}

/// The scrubbing event of an erasure.
pub fn scrubbed(erasure: ErasureId, subject: SubjectRef, classes: Vec<Class>) -> Event {
    let keys = classes.iter().map(|class| DestroyedKey { epoch: 0, class: *class, commitment: "0".repeat(64) });
    let scrubbed = erasure::Scrubbed {
        erasure,
        subject,
        keys: keys.collect(),
        classes,
        root_cell: OwnText("a test".into()),
        generation_before: 4,
        generation_after: 5,
        events_detached: 3,
        values_detached: 4,
    };
    erasure::Event::from(scrubbed).into()
}

/// The answer of a store in a file: it never has to be waited for.
pub fn now<T>(answer: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(answer).expect("a store in a file answers at once")
}
