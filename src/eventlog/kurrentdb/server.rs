//! The calls on `KurrentDB`, and what their failures mean: the appender above has to know whether something was kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eventstore::{
    AppendToStreamOptions, Client, ClientSettings, Error as Told, EventData, ReadStreamOptions, RecordedEvent,
    StreamPosition, StreamState,
};
use uuid::Uuid;

use super::connection::{Connection, Trouble, in_time};
use super::entry::Entry;
use super::metadata::{self, Metadata};
use super::nodelay::Connections;
use super::{DELETED, address, diagnosis};
use crate::eventlog::{Damage, Error};
use crate::tasks;

/// How long the server may take over an answer. A node that hangs is left after it, so that with the cluster's own time to
/// elect another leader an append is answered within 12 s.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long the server goes on with an append that it could not finish.
const APPEND_MAX: Duration = Duration::from_millis(2_500);
/// How long a read of one page may take over all its answers.
const READ_MAX: Duration = Duration::from_secs(30);
/// Entries of a page, and bytes after which no more are read.
const PAGE_MAX: usize = 1_000;
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// After how many failures in a row the client is made anew that says itself that it works: it may keep to a node that is
/// gone.
const RENEW_AFTER: u32 = 4;
/// How often connections are looked for that the client made by itself.
const CONNECTIONS_EVERY: Duration = Duration::from_secs(10);

const NO_USER: &str = "KurrentDB lets nobody in without a name and a password: put them into the address, as \
    esdb://USER:PASSWORD@HOST:2113";

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

pub(super) struct Server {
    settings: ClientSettings,
    stream: String,
    user: Option<String>,
    connection: Option<Connection>,
    connections: Arc<Mutex<Connections>>,
    /// When connections are looked for next; `None`: after the next call that succeeds.
    look_for_connections_at: Option<Instant>,
    failures: u32,
    is_doubtful: bool,
    /// Why the last call failed, if that is of the address or the rights of its user.
    denied: Option<String>,
}

impl Server {
    /// # Errors
    /// The address is none.
    pub(super) fn new(url: &str, stream: &str) -> Result<Self, Error> {
        // The address may hold a password, and so may what its parser says.
        let settings: ClientSettings = address::with_defaults(&super::stream::server(url)).parse().map_err(|_| {
            Error::Unavailable("the address of KurrentDB is not like `esdb://USER:PASSWORD@HOST:2113?tls=true`".into())
        })?;
        let ports = settings.hosts().iter().filter_map(|host| u16::try_from(host.port).ok());
        let connections = Arc::new(Mutex::new(Connections::to(ports)));
        Ok(Self {
            settings,
            stream: stream.into(),
            user: address::user(url).map(str::to_owned),
            connection: None,
            connections,
            look_for_connections_at: None,
            failures: 0,
            is_doubtful: true,
            denied: None,
        })
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

    /// The user as whom the log is written.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the last call failed because the user has no right to what it asks.
    pub(super) fn was_denied(&self) -> bool {
        self.denied.is_some()
    }

    /// Why calls will fail until somebody changes the address or the server; `None`: it may pass.
    pub(super) async fn hopeless(&self) -> Option<String> {
        match &self.denied {
            Some(denied) => Some(denied.clone()),
            None => diagnosis::of_address(&self.settings).await,
        }
    }

    /// Goes on with another connection.
    pub(super) fn reconnect(&mut self) {
        self.connection = None;
    }

    /// Appends entries right after the one with this revision, all or none.
    pub(super) async fn append(&mut self, after: Option<u64>, entries: &[Entry]) -> Result<(), Failure> {
        let state = after.map_or(StreamState::NoStream, StreamState::StreamRevision);
        self.append_to(self.stream.clone(), state, entries.iter().map(event).collect()).await
    }

    async fn append_to(&mut self, stream: String, state: StreamState, events: Vec<EventData>) -> Result<(), Failure> {
        let options = AppendToStreamOptions::default().stream_state(state).requires_leader(true).deadline(APPEND_MAX);
        let append = move |client: Client| async move {
            in_time(ANSWER_MAX, client.append_to_stream(stream, &options, events)).await
        };
        match self.call(ANSWER_MAX, append).await {
            Ok(_) => Ok(()),
            Err(Trouble::Told(Told::WrongExpectedVersion { .. })) => Err(Failure::Conflict),
            Err(Trouble::Told(Told::ResourceDeleted)) => Err(Failure::Corrupt(deleted())),
            Err(trouble) if trouble.was_rejected() => Err(Failure::Rejected(trouble.to_string())),
            Err(trouble) if trouble.was_refused() => Err(Failure::Refused(trouble.to_string())),
            Err(trouble) => Err(Failure::Unknown(trouble.to_string())),
        }
    }

    /// Reads on from a revision, inclusive. It may be given up at any time.
    pub(super) async fn read(&mut self, from: u64) -> Result<Page, Error> {
        let options = ReadStreamOptions::default().forwards().position(StreamPosition::Position(from));
        self.read_page(self.stream.clone(), options.max_count(PAGE_MAX)).await
    }

    /// What is set of the stream; the default where nothing is.
    pub(super) async fn metadata(&mut self) -> Result<Metadata, Error> {
        // Not with the client's own call, which panics where there is nothing to read.
        let options = ReadStreamOptions::default().position(StreamPosition::End).max_count(1);
        let page = self.read_page(metadata_of(&self.stream), options).await?;
        Ok(page.entries.first().map(|(_, entry)| Metadata::parse(&entry.data)).unwrap_or_default())
    }

    /// Keeps everybody but this user and administrators from the stream, unless its metadata was set before.
    pub(super) async fn restrict_to(&mut self, user: &str) -> Result<(), Failure> {
        let only = EventData::json("$metadata", &metadata::only_for(user));
        let only = vec![only.map_err(|error| Failure::Refused(error.to_string()))?.id(Uuid::new_v4())];
        match self.append_to(metadata_of(&self.stream), StreamState::NoStream, only).await {
            Err(Failure::Conflict) => Ok(()),
            restricted => restricted,
        }
    }

    async fn read_page(&mut self, stream: String, options: ReadStreamOptions) -> Result<Page, Error> {
        // Of the leader: a follower that lags behind looks like a log that was put back.
        let options = options.requires_leader(true);
        let read = move |client: Client| async move {
            let mut read = in_time(ANSWER_MAX, client.read_stream(stream, &options)).await?;
            let (mut page, mut bytes) = (Page::default(), 0);
            while let Some(event) = in_time(ANSWER_MAX, read.next()).await? {
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
        };
        match self.call(READ_MAX, read).await {
            Err(Trouble::Told(Told::ResourceNotFound)) => Ok(Page::default()),
            Err(Trouble::Told(Told::ResourceDeleted)) => Err(deleted()),
            answered => answered.map_err(|trouble| Error::Unavailable(trouble.to_string())),
        }
    }

    async fn call<T: Send + 'static, F>(
        &mut self,
        limit: Duration,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let answered = match self.connection().await {
            Ok(connection) => connection.call(limit, call).await,
            Err(trouble) => Err(trouble),
        };
        self.note(answered)
    }

    async fn connection(&mut self) -> Result<&Connection, Trouble> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.look_for_connections_at = None;
                Connection::open(self.settings.clone()).await?
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Gives a client up that will never work again, or that keeps to a node which is gone or does not answer.
    fn note<T>(&mut self, answered: Result<T, Trouble>) -> Result<T, Trouble> {
        self.denied = None;
        match &answered {
            Ok(_) | Err(Trouble::Told(Told::WrongExpectedVersion { .. } | Told::ResourceNotFound)) => {
                self.failures = 0;
                self.look_for_connections();
            }
            Err(trouble) => {
                self.is_doubtful = true;
                self.failures += 1;
                self.look_for_connections_at = None;
                match trouble {
                    Trouble::Told(Told::NotLeaderException(leader)) => self.knows(leader.port),
                    Trouble::Told(Told::AccessDenied) if self.user.is_none() => self.denied = Some(NO_USER.into()),
                    Trouble::Told(Told::AccessDenied) | Trouble::Unmade(_) => self.denied = Some(trouble.to_string()),
                    _ => {}
                }
                if trouble.is_of_the_client() || self.failures.is_multiple_of(RENEW_AFTER) {
                    self.connection = None;
                }
            }
        }
        answered
    }

    fn knows(&self, port: u32) {
        if let Ok(port) = u16::try_from(port) {
            self.connections.lock().unwrap_or_else(PoisonError::into_inner).and_to(port);
        }
    }

    /// Switches Nagle's algorithm off on the connections that there are now.
    pub(super) fn send_at_once(&self) -> std::io::Result<()> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).switch_nagle_off().map(drop)
    }

    /// Has small calls sent at once, where the client has connected meanwhile. Nobody waits for it.
    fn look_for_connections(&mut self) {
        let now = Instant::now();
        if self.look_for_connections_at.is_some_and(|at| now < at) {
            return;
        }
        self.look_for_connections_at = Some(now + CONNECTIONS_EVERY);
        let connections = self.connections.clone();
        tasks::spawn_blocking(move || {
            let switched = connections.lock().unwrap_or_else(PoisonError::into_inner).switch_nagle_off();
            if let Err(error) = switched {
                tracing::debug!(%error, "connections to KurrentDB cannot be set to send small calls at once");
            }
        });
    }
}

fn metadata_of(stream: &str) -> String {
    format!("$${stream}")
}

fn deleted() -> Error {
    Error::Corrupt { position: 0, reason: Damage::Deleted.because(DELETED) }
}

fn event(entry: &Entry) -> EventData {
    EventData::binary(&entry.kind, entry.data.clone()).id(entry.id).metadata(entry.metadata.clone())
}

fn entry(event: &RecordedEvent) -> (u64, Entry) {
    let kind = event.event_type.clone();
    let (data, metadata) = (event.data.clone(), event.custom_metadata.clone());
    (event.revision, Entry { id: event.id, kind, data, metadata })
}
