//! The client of `KurrentDB`, and calls on it that have an end.
//!
//! The client has no deadlines, and leaves tasks and connections behind when it is dropped. So each one has a runtime of
//! its own, with which everything of it goes away.

use std::time::Duration;

use eventstore::{Client, ClientSettings, Error as Told};

use crate::background::Background;
use crate::tasks;

/// Why a call came to no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server or the client said so.
    Told(Told),
    /// There was no answer in time.
    Silent,
    /// The client panicked or is gone.
    Broke(String),
    /// There is no client: the address names something that cannot be used.
    Unmade(String),
}

impl From<Told> for Trouble {
    fn from(told: Told) -> Self {
        Self::Told(told)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(Told::AccessDenied) => f.write_str(
                "KurrentDB turned the log away: the name or the password in the address is wrong, or this user has no \
                 right to the stream",
            ),
            Self::Told(told) => write!(f, "KurrentDB: {told}"),
            Self::Silent => f.write_str("KurrentDB does not answer"),
            Self::Broke(reason) => write!(f, "the client of KurrentDB broke: {reason}"),
            Self::Unmade(reason) => write!(f, "the client of KurrentDB cannot be made: {reason}"),
        }
    }
}

impl Trouble {
    /// Whether the client will never work again, or keeps to a node that does not answer: it is given up at once.
    pub(super) fn is_of_the_client(&self) -> bool {
        match self {
            Self::Silent | Self::Broke(_) => true,
            Self::Told(told) => matches!(told, Told::ConnectionClosed | Told::GrpcConnectionError(_)),
            Self::Unmade(_) => false,
        }
    }

    /// Whether the server cannot have kept what it was sent: it never was sent, or turned away. In doubt, not.
    pub(super) fn was_refused(&self) -> bool {
        match self {
            Self::Unmade(_) => true,
            Self::Told(Told::NotLeaderException(_) | Told::ConnectionClosed | Told::GrpcConnectionError(_)) => true,
            // No connection could be made.
            Self::Told(Told::ServerError(reason)) => reason.contains("(Connect)"),
            _ => false,
        }
    }

    /// Whether the server turned it away for what it is, such as an item above the server's limit of an append.
    pub(super) fn was_rejected(&self) -> bool {
        match self {
            Self::Told(Told::AccessDenied | Told::UnsupportedFeature) => true,
            // The code's type is of a crate that is not named here.
            Self::Told(Told::Grpc { code, .. }) => format!("{code:?}") == "InvalidArgument",
            _ => false,
        }
    }
}

/// A client, with the runtime of everything that it runs.
pub(super) struct Connection {
    client: Client,
    background: Background,
}

impl Connection {
    /// Makes a client; it connects with its first call.
    pub(super) async fn open(settings: ClientSettings) -> Result<Self, Trouble> {
        let make = move || {
            let background = Background::start("kurrentdb", 1).map_err(|error| error.to_string())?;
            let made = Client::with_runtime_handle(background.handle().clone(), settings);
            made.map(|client| Self { client, background }).map_err(|error| error.to_string())
        };
        // It reads certificates.
        let made = tasks::spawn_blocking(make).await;
        made.map_err(|error| error.to_string()).and_then(|made| made).map_err(Trouble::Unmade)
    }

    /// Runs a call, which ends after `limit`. Whoever does not wait for it any more leaves it to its end: to cancel it
    /// would put a message on the connection ahead of the next call. A panic in the client is an error here.
    pub(super) fn call<T, F, C>(
        &self,
        limit: Duration,
        call: C,
    ) -> impl Future<Output = Result<T, Trouble>> + use<T, F, C>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
        C: FnOnce(Client) -> F,
    {
        let running = call(self.client.clone());
        let in_time = async move { tokio::time::timeout(limit, running).await.unwrap_or(Err(Trouble::Silent)) };
        let called = tasks::spawn_on(self.background.handle(), in_time);
        async { called.await.unwrap_or_else(|error| Err(Trouble::Broke(error.to_string()))) }
    }
}

/// Waits for one answer of several that a call gets.
pub(super) async fn in_time<T>(limit: Duration, answer: impl Future<Output = Result<T, Told>>) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answered) => answered.map_err(Trouble::Told),
        Err(_) => Err(Trouble::Silent),
    }
}
