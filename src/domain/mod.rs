//! Decisions. Pure: time, ids and randomness arrive as data; nothing here is async or does I/O.
//!
//! Each aggregate is one file with its state, what may be asked of it, why it may be refused, and `evolve`. What
//! touches several aggregates is put together in `decide`.

use std::collections::HashSet;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use rollcall_schemas::Event;
use rollcall_schemas::ids::{DataRequestId, OperationId, SecretId, SubjectRef, TokenId};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub mod access;
pub mod allowlist;
pub mod app;
pub mod ban;
pub mod blocklist;
pub mod command;
pub mod data_request;
mod decide;
pub mod erasure;
pub mod friendship;
pub mod remarks;
pub mod roster;
pub mod token;
pub mod user;
pub mod values;

pub use command::{Command, Person};
pub use decide::decide;

/// Cap of a user's blocklist, allowlist, friends and remarks.
pub const LIST_MAX: usize = 3_000;

/// Which of a user's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Whom the user blocks.
    Blocklist,
    /// Whom the user allows.
    Allowlist,
    /// Whom the user has remarks about.
    Remarks,
}

/// A state of the world that does not allow a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such application.
    #[error("there is no such app; create it with `rollcall apps create`")]
    NoSuchApp,
    /// The application exists already.
    #[error("the app exists already")]
    AppExists,
    /// The application has no such secret.
    #[error("the app has no secret number {0}")]
    NoSuchSecret(SecretId),
    /// The application has no such API key.
    #[error("the app has no API key number {0}")]
    NoSuchApiKey(u32),
    /// There is no such request about data.
    #[error("there is no such request")]
    NoSuchDataRequest,
    /// The request was answered or refused.
    #[error("the request was answered or refused already")]
    DataRequestClosed,
    /// There was more time already.
    #[error("the request was extended already, which may be done once")]
    DataRequestExtended,
    /// The number belongs to another secret.
    #[error("the app had a secret of that number; the next is {next}")]
    SecretNumberTaken {
        /// The lowest number that is free.
        next: SecretId,
    },
    /// The last secret cannot be retired.
    #[error("the last secret of an app cannot be retired; add another first")]
    LastSecret,
    /// Every seat of a development application is taken.
    #[error("a development app registers at most {} users", roster::SEATS_MAX)]
    SeatsTaken,
    /// The user is not registered.
    #[error("the user does not exist")]
    NotRegistered,
    /// The user is deactivated.
    #[error("the user is deactivated")]
    Deactivated,
    /// The user cannot be reactivated yet.
    #[error("the user cannot be reactivated before {not_before}")]
    ReactivationTooEarly {
        /// From when on it can.
        not_before: DateTime<Utc>,
    },
    /// The user's erasure was requested and waits.
    #[error("the user's erasure waits for its grace period or a legal hold; call it off instead")]
    ErasureWaits,
    /// There is no such erasure.
    #[error("there is no such erasure")]
    NoSuchErasure,
    /// The erasure cannot be called off any more.
    #[error("the erasure has begun and cannot be called off any more")]
    ErasureBegun,
    /// A list would grow past its cap.
    #[error("the list would have more than {LIST_MAX} entries")]
    ListFull(ListKind),
    /// A user cannot block, allow or befriend itself.
    #[error("a user cannot be its own target")]
    OwnTarget,
    /// The two are friends already.
    #[error("the two users are friends already")]
    AlreadyFriends,
    /// The two are not friends.
    #[error("the two users are not friends")]
    NotFriends,
    /// The target allows no friends.
    #[error("the target allows nobody to become a friend")]
    TargetRefusesAll,
    /// The target blocks the user.
    #[error("the target blocks the user")]
    TargetBlocks,
    /// The user blocks the target.
    #[error("the user blocks the target")]
    BlocksTarget,
    /// The target's allowlist is in force and does not name the user.
    #[error("the target's allowlist does not name the user")]
    TargetDoesNotAllow,
    /// The user's allowlist is in force and does not name the target.
    #[error("the user's allowlist does not name the target")]
    DoesNotAllowTarget,
    /// The user has as many friends as a user can have.
    #[error("the user has {LIST_MAX} friends")]
    FriendsFull,
    /// The target has as many friends as a user can have.
    #[error("the target has {LIST_MAX} friends")]
    TargetFriendsFull,
    /// An extension field was not declared for the application.
    #[error("extension field {0:?} is not declared; declare it with `rollcall apps set`")]
    UndeclaredField(String),
}

/// What a decision may know besides the state: all that is not pure, as data.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time of the decision, in milliseconds.
    pub now: DateTime<Utc>,
    /// What the caller is told to call the operation.
    pub operation: OperationId,
    /// Fresh random ids, as many as [`Command::fresh_ids`] asks for.
    pub fresh: Vec<Uuid>,
}

/// What the caller is answered; it holds no personal data, so that it can be kept for a retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// A token was issued.
    Token(IssuedToken),
    /// An operation was begun.
    Operation(OperationId),
    /// The two are friends now.
    Friends,
    /// The request waits for the target's answer.
    Waiting,
    /// A request about data was received.
    DataRequest(DataRequestId),
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    /// For whom.
    pub subject: SubjectRef,
    /// Its id.
    pub token: TokenId,
    /// The app's secret it depends on.
    pub secret: SecretId,
    /// The user's epoch it depends on.
    pub epoch: u32,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What happened, in order, each in its stream.
    pub events: Vec<(Stream, Event)>,
    /// What the caller is answered.
    pub reply: Reply,
}

macro_rules! states {
    ($($variant:ident: $module:ident, $stream:pat => $accessor:ident),* $(,)?) => {
        /// The state of any aggregate.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum State {
            $(
                #[doc = concat!("Of the aggregate `", stringify!($module), "`.")]
                $variant($module::State),
            )*
        }

        impl State {
            /// The state of a stream without events.
            #[must_use]
            pub fn of(stream: &Stream) -> Self {
                match stream { $($stream => Self::$variant($module::State::default()),)* }
            }
        }

        $(
            #[doc = concat!("The state of an aggregate `", stringify!($module), "`; the empty one where it is not loaded.")]
            pub fn $accessor<'w>(world: &'w dyn World, stream: &Stream) -> &'w $module::State {
                static EMPTY: LazyLock<$module::State> = LazyLock::new(Default::default);
                match world.state(stream) {
                    Some(State::$variant(state)) => state,
                    _ => &EMPTY,
                }
            }
        )*
    };
}

states! {
    App: app, Stream::App(_) => app_state,
    Roster: roster, Stream::Roster(_) => roster_state,
    User: user, Stream::User(_) => user_state,
    Token: token, Stream::Token(_) => token_state,
    Ban: ban, Stream::Ban(_) => ban_state,
    Blocklist: blocklist, Stream::Blocklist(_) => blocklist_state,
    Allowlist: allowlist, Stream::Allowlist(_) => allowlist_state,
    Friendship: friendship, Stream::Friendship(_) => friendship_state,
    Remarks: remarks, Stream::Remarks(_) => remarks_state,
    Erasure: erasure, Stream::Erasure(_) => erasure_state,
    Access: access, Stream::Access(_) => access_state,
    DataRequest: data_request, Stream::DataRequest(_) => data_request_state,
}

impl State {
    /// What an event, recorded at `at`, makes of the state. An event of another aggregate changes nothing.
    pub fn evolve(&mut self, event: &Event, at: DateTime<Utc>) {
        match (self, event) {
            (Self::App(state), Event::App(event)) => app::evolve(state, event),
            (Self::Roster(state), Event::Roster(event)) => roster::evolve(state, event),
            (Self::User(state), Event::User(event)) => user::evolve(state, event, at),
            (Self::Token(state), Event::Token(event)) => token::evolve(state, event),
            (Self::Ban(state), Event::Ban(event)) => ban::evolve(state, event),
            (Self::Blocklist(state), Event::Blocklist(event)) => blocklist::evolve(state, event),
            (Self::Allowlist(state), Event::Allowlist(event)) => allowlist::evolve(state, event),
            (Self::Friendship(state), Event::Friendship(event)) => friendship::evolve(state, event),
            (Self::Remarks(state), Event::Remarks(event)) => remarks::evolve(state, event),
            (Self::Erasure(state), Event::Erasure(event)) => erasure::evolve(state, event),
            (Self::DataRequest(state), Event::DataRequest(event)) => data_request::evolve(state, event),
            _ => {}
        }
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        const ENTRY: usize = 24;
        let entries = match self {
            Self::Blocklist(state) => state.blocked.len(),
            Self::Allowlist(state) => state.allowed.len(),
            Self::Remarks(state) => state.len(),
            Self::Roster(_) => roster::SEATS_MAX,
            Self::App(_)
            | Self::User(_)
            | Self::Token(_)
            | Self::Ban(_)
            | Self::Friendship(_)
            | Self::Erasure(_)
            | Self::Access(_)
            | Self::DataRequest(_) => 0,
        };
        size_of::<Self>() + entries * ENTRY
    }
}

/// The states a decision may look at: those [`Command::streams`] and [`Command::tallies`] name.
pub trait World {
    /// The state of a stream.
    fn state(&self, stream: &Stream) -> Option<&State>;
    /// How many friends a subject has.
    fn friends(&self, subject: SubjectRef) -> usize;
}

/// Those of `targets` that are not on the list, each once.
fn newly(list: &HashSet<SubjectRef>, owner: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<SubjectRef>, Refusal> {
    if targets.contains(&owner) {
        return Err(Refusal::OwnTarget);
    }
    let mut seen = HashSet::new();
    Ok(targets.iter().copied().filter(|target| !list.contains(target) && seen.insert(*target)).collect())
}
