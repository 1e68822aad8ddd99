//! What a stream costs to load does not grow with it, and what is loaded is what all its events make.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rollcall_schemas::envelope::{Actor, Metadata};
use rollcall_schemas::ids::{SecretId, SubjectRef, TokenId};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::FriendPermission;
use rollcall_schemas::{Event, blocklist, token, user};
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::domain::Snapshot;
use crate::eventlog::embedded::Embedded;
use crate::eventlog::{Append, Item, NewEvent, Outcome};
use crate::privacy::Vault as _;
use crate::privacy::key_tree::KeyTree;

/// A log that counts the events of streams that are read from it.
struct Counted {
    inner: Embedded,
    read: AtomicUsize,
}

impl Counted {
    fn count(&self, events: Vec<RawEvent>) -> Vec<RawEvent> {
        self.read.fetch_add(events.len(), Ordering::Relaxed);
        events
    }
}

#[async_trait]
impl EventLog for Counted {
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, eventlog::Error> {
        self.inner.append(batch).await
    }
    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, eventlog::Error> {
        Ok(self.count(self.inner.read_stream(stream, after, limit).await?))
    }
    async fn read_stream_back(
        &self,
        stream: &str,
        before: u64,
        limit: usize,
    ) -> Result<Vec<RawEvent>, eventlog::Error> {
        Ok(self.count(self.inner.read_stream_back(stream, before, limit).await?))
    }
    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, eventlog::Error> {
        self.inner.read_all(after, limit).await
    }
    fn head(&self) -> u64 {
        self.inner.head()
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.watch()
    }
    async fn stored_outcome(&self, key: [u8; 32]) -> Result<Option<([u8; 32], Vec<u8>)>, eventlog::Error> {
        self.inner.stored_outcome(key).await
    }
    async fn expire_outcomes(&self, time: DateTime<Utc>) -> Result<u64, eventlog::Error> {
        self.inner.expire_outcomes(time).await
    }
    async fn detach(&self, remaining: Vec<(u64, Option<Bytes>)>) -> Result<u64, eventlog::Error> {
        self.inner.detach(remaining).await
    }
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap()
}

struct Given {
    _dir: tempfile::TempDir,
    vault: KeyTree,
    log: Counted,
    ada: SubjectRef,
}

impl Given {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = KeyTree::open(dir.path(), &Default::default()).unwrap();
        let ada = vault.allocate().await.unwrap();
        let log = Counted { inner: Embedded::open(&dir.path().join("events.db")).unwrap(), read: AtomicUsize::new(0) };
        Self { _dir: dir, vault, log, ada }
    }

    fn encoded(&self, stream: &Stream, event: Event, snapshot: Option<&Snapshot>) -> NewEvent {
        let app = "chat".parse().unwrap();
        let metadata = Metadata { app, actor: Actor::Server(SecretId(1)), correlation: Uuid::nil(), causation: None };
        journal::encode(&self.vault, &stream.to_string(), &metadata, at(), event, snapshot).unwrap()
    }

    async fn append(&self, stream: &Stream, expected: u64, events: Vec<NewEvent>) {
        let appends = vec![Append { stream: stream.to_string(), expected, events }];
        let outcomes = self.log.append(vec![Item { appends, ..Item::default() }]).await.unwrap();
        assert!(matches!(outcomes[..], [Outcome::Appended { .. }]), "{outcomes:?}");
    }

    /// Appends an event as the decider and the sealer do, and lets it evolve what is known of the stream.
    async fn record(&self, known: &mut Loaded, event: Event) {
        let is_due = is_due(&known.state, known.since_snapshot);
        let snapshot = is_due.then(|| known.state.snapshot().unwrap());
        if is_due {
            known.since_snapshot = 0;
        }
        let new = self.encoded(&known.stream, event.clone(), snapshot.as_ref());
        self.append(&known.stream, known.revision, vec![new]).await;
        known.state.evolve(&event, at()).unwrap();
        known.revision += 1;
        known.since_snapshot += 1;
    }

    /// Loads a stream; answers also how many events that read.
    async fn load(&self, stream: &Stream) -> (Loaded, usize) {
        self.log.read.store(0, Ordering::Relaxed);
        let loaded = read(&self.log, stream).await.unwrap();
        (loaded, self.log.read.load(Ordering::Relaxed))
    }

    fn login(&self) -> [(Stream, Event); 2] {
        let subject = self.ada;
        let again: user::Event =
            user::Reregistered { subject, name: Personal::Present("Ada".into()), portrait: None }.into();
        let (token, secret) = (TokenId(Uuid::nil()), SecretId(1));
        let issued: token::Event =
            token::Issued { subject, token, secret, epoch: 0, issued_at: at(), expires_at: None }.into();
        [(Stream::User(subject), again.into()), (Stream::Token(subject), issued.into())]
    }

    fn registered(&self) -> Event {
        let (name, user_id) = (Personal::Present("Ada".into()), Some(Personal::Present("ada".into())));
        let registered: user::Event = user::Registered { subject: self.ada, user_id, name, portrait: None }.into();
        registered.into()
    }
}

fn assert_same(loaded: &Loaded, known: &Loaded) {
    assert_eq!((&loaded.stream, loaded.revision), (&known.stream, known.revision));
    assert_eq!(loaded.state, known.state);
    assert_eq!(loaded.since_snapshot, known.since_snapshot, "revision {}", known.revision);
}

#[tokio::test]
async fn a_user_with_a_hundred_thousand_logins_costs_no_more_than_one_with_a_few() {
    const LOGINS: u64 = 100_000;
    let given = Given::new().await;
    let user = Stream::User(given.ada);
    given.append(&user, 0, vec![given.encoded(&user, given.registered(), None)]).await;
    // As a version without snapshots wrote them.
    for (stream, event) in given.login() {
        let (begin, one) = (u64::from(stream == user), given.encoded(&stream, event, None));
        for from in (0..LOGINS).step_by(1_000) {
            let some = (0..1_000).map(|_| NewEvent { id: Uuid::new_v4(), ..one.clone() }).collect();
            given.append(&stream, begin + from, some).await;
        }
    }
    for (stream, event) in given.login() {
        let (mut known, whole) = given.load(&stream).await;
        assert!(whole as u64 > LOGINS, "nothing can be left out yet");
        for _ in 0..3 * EVERY {
            given.record(&mut known, event.clone()).await;
            let (loaded, read) = given.load(&stream).await;
            assert!(read <= PAGES_BACK[0], "{read} events of {stream} were read");
            assert_same(&loaded, &known);
        }
    }
    let (loaded, _) = given.load(&user).await;
    assert!(matches!(&loaded.state, State::User(user) if user.status == crate::domain::user::Status::Registered));
}

#[tokio::test]
async fn a_list_that_is_full_and_often_changed_is_loaded_without_all_of_its_past() {
    let given = Given::new().await;
    let (subject, stream) = (given.ada, Stream::Blocklist(given.ada));
    let mut known = Loaded::empty(stream.clone());
    let others: Vec<_> = (0..LIST_MAX).map(|n| SubjectRef(Uuid::from_u128(n as u128 + 1))).collect();
    let full: blocklist::Event = blocklist::Blocked { subject, targets: others.clone() }.into();
    given.record(&mut known, full.into()).await;
    for n in 0..1_000 {
        let targets = vec![others[n % LIST_MAX]];
        let out: blocklist::Event = blocklist::Unblocked { subject, targets: targets.clone() }.into();
        let back: blocklist::Event = blocklist::Blocked { subject, targets }.into();
        given.record(&mut known, out.into()).await;
        given.record(&mut known, back.into()).await;
    }
    let (loaded, read) = given.load(&stream).await;
    assert_same(&loaded, &known);
    assert!(read < 1_100, "{read} events were read");
    let recorded = given.log.read_stream(&stream.to_string(), 0, 10_000).await.unwrap();
    let bytes: usize = recorded.iter().skip(1).map(|raw| raw.core.len()).sum();
    assert!(bytes / recorded.len() < 600, "{bytes} bytes for {} events", recorded.len());
}

#[test]
fn the_pages_read_back_reach_the_snapshot_of_the_longest_list() {
    let furthest = usize::try_from(EVERY + LIST_MAX as u64 / ENTRIES_PER_EVENT).unwrap();
    assert!(furthest < PAGES_BACK.iter().sum::<usize>());
}

#[tokio::test]
async fn a_snapshot_that_this_version_cannot_use_is_left_out() {
    let given = Given::new().await;
    let stream = Stream::User(given.ada);
    let mut known = Loaded::empty(stream.clone());
    given.record(&mut known, given.registered()).await;
    let [(_, login), _] = given.login();
    for _ in 0..40 {
        let newer = Snapshot { version: 99, ..known.state.snapshot().unwrap() };
        given.append(&stream, known.revision, vec![given.encoded(&stream, login.clone(), Some(&newer))]).await;
        known.revision += 1;
        known.since_snapshot += 1;
    }
    assert_same(&given.load(&stream).await.0, &known);
}

#[tokio::test]
async fn a_revision_that_is_missing_in_a_stream_is_corruption() {
    let given = Given::new().await;
    let stream = Stream::User(given.ada);
    let mut known = Loaded::empty(stream.clone());
    given.record(&mut known, given.registered()).await;
    let [(_, login), _] = given.login();
    given.record(&mut known, login.clone()).await;
    given.record(&mut known, login).await;
    let mut events = given.log.read_stream(&stream.to_string(), 0, 9).await.unwrap();
    events.remove(1);
    let refused = evolve(&mut Loaded::empty(stream), &events).unwrap_err();
    assert!(refused.to_string().contains("revision 3 behind 1"), "{refused}");
}

#[derive(Debug, Clone)]
enum Happens {
    Login,
    Muted(bool),
    MutedUntil(i64),
    Permitted(FriendPermission),
    Held(bool),
    Tagged(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Login),
        1 => any::<bool>().prop_map(Happens::Muted),
        1 => (0..1_000_i64).prop_map(Happens::MutedUntil),
        1 => prop::sample::select(vec![FriendPermission::Anyone, FriendPermission::Nobody]).prop_map(Happens::Permitted),
        1 => any::<bool>().prop_map(Happens::Held),
        1 => any::<bool>().prop_map(Happens::Tagged),
    ]
}

fn event(given: &Given, happens: &Happens) -> Event {
    let subject = given.ada;
    let event: user::Event = match happens {
        Happens::Login => return given.login()[0].1.clone(),
        Happens::Muted(true) => user::DirectMessagesMuted { subject }.into(),
        Happens::MutedUntil(seconds) => {
            let ends_at = chrono::DateTime::from_timestamp(*seconds, 0);
            user::DirectMessagesMutedV2 { subject, ends_at }.into()
        }
        Happens::Muted(false) => user::DirectMessagesUnmuted { subject }.into(),
        Happens::Permitted(permission) => user::FriendPermissionSet { subject, permission: *permission }.into(),
        Happens::Held(true) => user::HoldPlaced { subject, reason: None }.into(),
        Happens::Held(false) => user::HoldReleased { subject }.into(),
        Happens::Tagged(some) => {
            user::Tagged { subject, tags: some.then(|| Personal::Present(vec!["a".into()])) }.into()
        }
    };
    event.into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_loaded_is_what_all_events_make(history in prop::collection::vec(happens(), 1..90)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let given = Given::new().await;
            let stream = Stream::User(given.ada);
            let mut known = Loaded::empty(stream.clone());
            given.record(&mut known, given.registered()).await;
            for happens in &history {
                given.record(&mut known, event(&given, happens)).await;
                let (loaded, read) = given.load(&stream).await;
                assert_same(&loaded, &known);
                assert!(read <= PAGES_BACK[0], "{read} events were read");
            }
            let mut whole = from_beginning(&given.log, &stream, &stream.to_string()).await.unwrap();
            whole.since_snapshot = known.since_snapshot;
            assert_same(&whole, &known);
        });
    }
}
