//! The `KurrentDB` server, with what its client lacks: deadlines, a new start after a failed one, and a plain word on
//! whether something was kept.

use std::time::Duration;

use eventstore::{
    AppendToStreamOptions, Client, ClientSettings, Error as Told, EventData, ReadStreamOptions, RecordedEvent,
    StreamPosition, StreamState,
};
use tokio::task::JoinSet;

use super::DELETED;
use super::entry::Entry;
use crate::eventlog::{Damage, Error};

/// How long one call may take. The client has no deadline of its own for a server that went silent.
const CALL_MAX: Duration = Duration::from_secs(6);
/// How long the server may take over an append.
const APPEND_MAX: Duration = Duration::from_secs(5);
/// Entries of a page, and bytes after which no more are read.
const PAGE_MAX: usize = 1_000;
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// After how many failures in a row the client is made anew, for the first time; then after twice as many.
const RENEW_AFTER: u32 = 4;

/// Why an append was not acknowledged.
#[derive(Debug)]
pub(super) enum Failure {
    /// The stream has another revision; nothing was kept.
    Conflict,
    /// Nothing was kept.
    Refused(String),
    /// Nothing was kept, and nothing would be if it were sent again.
    Rejected(String),
    /// It may have been kept, or be kept later.
    Unknown(String),
    /// The stream is not what it was.
    Corrupt(Error),
}

impl From<Error> for Failure {
    /// Of a failure to read, before anything was appended.
    fn from(error: Error) -> Self {
        match error {
            error @ Error::Corrupt { .. } => Self::Corrupt(error),
            error => Self::Refused(error.to_string()),
        }
    }
}

/// Entries of the stream with their revisions, in order.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<(u64, Entry)>,
    /// Whether there may be more.
    pub(super) more: bool,
}

/// Why a call came to no answer.
enum Trouble {
    Told(Told),
    Silent,
    Broke(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(told) => write!(f, "KurrentDB: {told}"),
            Self::Silent => f.write_str("KurrentDB does not answer"),
            Self::Broke(reason) => write!(f, "the client of KurrentDB broke: {reason}"),
        }
    }
}

pub(super) struct Server {
    settings: ClientSettings,
    stream: String,
    client: Option<Client>,
    failures: u32,
    is_doubtful: bool,
}

impl Server {
    /// # Errors
    /// The address is none.
    pub(super) fn new(url: &str, stream: &str) -> Result<Self, Error> {
        // The address may hold a password, and so may what its parser says.
        let settings = super::stream::server(url).parse().map_err(|_| {
            Error::Unavailable(
                "the address of KurrentDB is not like `esdb://host:2113?tls=true&discoveryInterval=10`".into(),
            )
        })?;
        Ok(Self { settings, stream: stream.into(), client: None, failures: 0, is_doubtful: true })
    }

    /// Whether a call failed since it was seen what the server holds: another node may be the leader, or it may have been
    /// restored.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// What the server holds was seen.
    pub(super) fn trust(&mut self) {
        self.is_doubtful = false;
    }

    /// Goes on with another connection.
    pub(super) fn reconnect(&mut self) {
        self.client = None;
    }

    /// Appends entries right after the one with this revision, all or none.
    pub(super) async fn append(&mut self, after: Option<u64>, entries: &[Entry]) -> Result<(), Failure> {
        let client = self.client().await.map_err(Failure::Refused)?;
        let state = after.map_or(StreamState::NoStream, StreamState::StreamRevision);
        let options = AppendToStreamOptions::default().stream_state(state).requires_leader(true).deadline(APPEND_MAX);
        let events: Vec<_> = entries.iter().map(event).collect();
        let stream = self.stream.clone();
        let answered = guarded(async move { client.append_to_stream(stream, &options, events).await }).await;
        match self.note(answered) {
            Ok(_) => Ok(()),
            Err(Trouble::Told(Told::WrongExpectedVersion { .. })) => Err(Failure::Conflict),
            Err(Trouble::Told(Told::ResourceDeleted)) => Err(Failure::Corrupt(deleted())),
            Err(trouble) if was_rejected(&trouble) => Err(Failure::Rejected(trouble.to_string())),
            Err(trouble) if was_refused(&trouble) => Err(Failure::Refused(trouble.to_string())),
            Err(trouble) => Err(Failure::Unknown(trouble.to_string())),
        }
    }

    /// Reads on from a revision, inclusive. It may be given up at any time.
    pub(super) async fn read(&mut self, from: u64) -> Result<Page, Error> {
        let client = self.client().await.map_err(Error::Unavailable)?;
        // Of the leader: a follower that lags behind looks like a log that was put back.
        let options = ReadStreamOptions::default()
            .forwards()
            .position(StreamPosition::Position(from))
            .max_count(PAGE_MAX)
            .requires_leader(true);
        let stream = self.stream.clone();
        let answered = guarded(async move {
            let mut read = client.read_stream(stream, &options).await?;
            let (mut page, mut bytes) = (Page::default(), 0);
            while let Some(event) = read.next().await? {
                let (revision, entry) = entry(event.get_original_event());
                bytes += entry.size();
                page.entries.push((revision, entry));
                if bytes > PAGE_BYTES_MAX {
                    page.more = true;
                    break;
                }
            }
            page.more |= page.entries.len() == PAGE_MAX;
            Ok(page)
        });
        match self.note(answered.await) {
            Err(Trouble::Told(Told::ResourceNotFound)) => Ok(Page::default()),
            Err(Trouble::Told(Told::ResourceDeleted)) => Err(deleted()),
            answered => answered.map_err(|trouble| Error::Unavailable(trouble.to_string())),
        }
    }

    async fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let (settings, runtime) = (self.settings.clone(), tokio::runtime::Handle::current());
        // It reads the machine's certificates.
        let made = tokio::task::spawn_blocking(move || Client::with_runtime_handle(runtime, settings));
        let made = made.await.map_err(|error| format!("the client of KurrentDB cannot be made: {error}"))?;
        let client = made.map_err(|error| format!("the client of KurrentDB cannot be made: {error}"))?;
        Ok(self.client.insert(client).clone())
    }

    /// Gives a client up that will never work again, or that keeps to a node which is gone.
    fn note<T>(&mut self, answered: Result<T, Trouble>) -> Result<T, Trouble> {
        match &answered {
            Ok(_) | Err(Trouble::Told(Told::WrongExpectedVersion { .. } | Told::ResourceNotFound)) => self.failures = 0,
            Err(trouble) => {
                self.is_doubtful = true;
                let is_dead = matches!(trouble, Trouble::Told(Told::ConnectionClosed | Told::GrpcConnectionError(_)));
                self.failures += 1;
                // Seldom: a client that is given up while it is connected leaves a task behind.
                if is_dead || self.failures >= RENEW_AFTER && self.failures.is_power_of_two() {
                    self.client = None;
                }
            }
        }
        answered
    }
}

fn deleted() -> Error {
    Error::Corrupt { position: 0, reason: Damage::Deleted.because(DELETED) }
}

/// Runs a call as a task of its own: it is ended when it takes too long or nobody waits for it, and a panic in the
/// client is an error here.
async fn guarded<T: Send + 'static>(
    call: impl Future<Output = Result<T, Told>> + Send + 'static,
) -> Result<T, Trouble> {
    let mut calls = JoinSet::new();
    calls.spawn(call);
    match tokio::time::timeout(CALL_MAX, calls.join_next()).await {
        Ok(Some(Ok(answered))) => answered.map_err(Trouble::Told),
        Ok(Some(Err(error))) => Err(Trouble::Broke(error.to_string())),
        Ok(None) | Err(_) => Err(Trouble::Silent),
    }
}

/// Whether the server cannot have kept what it was sent: it never was sent, or turned away. In doubt, not.
fn was_refused(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Told(Told::NotLeaderException(_) | Told::ConnectionClosed | Told::GrpcConnectionError(_)) => true,
        // No connection could be made.
        Trouble::Told(Told::ServerError(reason)) => reason.contains("(Connect)"),
        _ => false,
    }
}

/// Whether the server turned it away for what it is, such as an item above the server's limit of an append.
fn was_rejected(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Told(Told::AccessDenied | Told::UnsupportedFeature) => true,
        // The code's type is of a crate that is not named here.
        Trouble::Told(Told::Grpc { code, .. }) => format!("{code:?}") == "InvalidArgument",
        _ => false,
    }
}

fn event(entry: &Entry) -> EventData {
    EventData::binary(&entry.kind, entry.data.clone()).id(entry.id).metadata(entry.metadata.clone())
}

fn entry(event: &RecordedEvent) -> (u64, Entry) {
    let kind = event.event_type.clone();
    let (data, metadata) = (event.data.clone(), event.custom_metadata.clone());
    (event.revision, Entry { id: event.id, kind, data, metadata })
}
