//! Why a command is not decided: a state of the world that does not allow it, or a defect of this service.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{SecretId, SubjectRef};
use rollcall_schemas::stream::Stream;

use super::roster::SEATS_MAX;
use super::token::REVOKED_MAX;
use super::webhook::WEBHOOKS_MAX;

/// Cap of a user's blocklist, allowlist, friends and remarks.
pub const LIST_MAX: usize = 3_000;
/// Friend requests of a user that may wait for an answer.
pub const SENT_REQUESTS_MAX: usize = 1_000;
/// Friend requests to a user that may wait for an answer: as many as it may have friends.
pub const RECEIVED_REQUESTS_MAX: usize = LIST_MAX;

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
    /// The user has no friend group of that number.
    #[error("the user has no friend group of that number; make it first")]
    NoSuchFriendGroup,
    /// The user has a friend group of that number, and it was to be a new one.
    #[error("the user has a friend group of that number already")]
    FriendGroupExists,
    /// The application has no such webhook.
    #[error("the app has no such webhook")]
    NoSuchWebhook,
    /// The application has as many webhooks as it can have.
    #[error("an app has at most {} webhooks; remove one first", WEBHOOKS_MAX)]
    WebhooksFull,
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
    #[error("a development app registers at most {} users", SEATS_MAX)]
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
    /// What the caller expects to change has another revision.
    #[error("it has changed since; read it again, and change what it is now")]
    Changed,
    /// The user has no such access token.
    #[error("the user has no such access token")]
    NoSuchToken,
    /// As many tokens of the user are revoked one by one as can be.
    #[error(
        "{} tokens of the user are revoked one by one already; end all that were issued before a time",
        REVOKED_MAX
    )]
    RevocationsFull,
    /// A user cannot block, allow or befriend itself.
    #[error("a user cannot be its own target")]
    OwnTarget,
    /// The ban would end before it begins.
    #[error("the ban would end before it begins, or has ended already")]
    BanEndsTooEarly,
    /// A ban that is to begin later would end the one that runs.
    #[error("the user is banned now; lift that ban first, or give it another end")]
    BanRuns,
    /// A ban runs or is to begin, and the order was for a user without one.
    #[error("the user is banned already")]
    AlreadyBanned,
    /// A mute runs, and the order was for a user without one.
    #[error("the user is muted already")]
    AlreadyMuted,
    /// The ban is not the one that was seen.
    #[error("the ban was changed by somebody else meanwhile")]
    BanChanged,
    /// There is no such bulk operation.
    #[error("there is no such operation")]
    NoSuchOperation,
    /// Another request has sent records of the import meanwhile, or it has ended.
    #[error("another call sends the records of this import, or it has ended")]
    ImportMovedOn,
    /// The bulk operation has not ended.
    #[error("the operation has not ended yet; it is taken back as a whole")]
    OperationRuns,
    /// What the bulk operation did has no opposite.
    #[error("only bans are taken back: for what a lifted ban was like, or what was erased, is gone")]
    OperationHasNoUndo,
    /// The two are friends already.
    #[error("the two users are friends already")]
    AlreadyFriends,
    /// The two are not friends.
    #[error("the two users are not friends")]
    NotFriends,
    /// There is no such friend request of the user.
    #[error("the user has no such friend request")]
    NoSuchFriendRequest,
    /// The friend request ended otherwise.
    #[error("the friend request is not pending any more")]
    FriendRequestEnded,
    /// The other side of the friend request decides this.
    #[error("a friend request is accepted or refused by whom it was sent to, and cancelled by who sent it")]
    OtherSideOfRequest,
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
    /// As many friend requests of the user wait for an answer as may.
    #[error("{SENT_REQUESTS_MAX} friend requests of the user wait for an answer; take one back first")]
    SentRequestsFull,
    /// As many friend requests to the target wait for an answer as may.
    #[error("{RECEIVED_REQUESTS_MAX} friend requests to the target wait for an answer")]
    ReceivedRequestsFull,
    /// An extension field was not declared for the application.
    #[error("extension field {0:?} is not declared; declare it with `rollcall apps set`")]
    UndeclaredField(String),
}

/// A mistake in a command of this service: it declared something else than it does. Nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// A decision asked for a stream that its command does not declare.
    #[error("the stream {0} was read but not declared")]
    UndeclaredRead(Stream),
    /// A decision asked for a tally that its command does not declare.
    #[error("the numbers of friends and requests of {0} were read but not declared")]
    UndeclaredTally(SubjectRef),
    /// What a command declares was not loaded before the decision.
    #[error("the stream {0} was declared but not loaded")]
    NotLoaded(Stream),
    /// A tally that a command declares was not counted before the decision.
    #[error("the numbers of friends and requests of {0} were declared but not counted")]
    NotCounted(SubjectRef),
    /// The state that was loaded for a stream is of another aggregate.
    #[error("the state of the stream {0} is of another aggregate")]
    OtherAggregate(Stream),
    /// A decision wrote to a stream that its command does not declare and that has no fresh id.
    #[error("the stream {0} was written but not declared")]
    UndeclaredWrite(Stream),
    /// A decision needed more fresh ids than its command declares.
    #[error("more fresh ids were needed than declared")]
    FreshIds,
    /// A command resolves a userId that it does not name. The id is personal and not repeated.
    #[error("a userId was resolved that the command does not name")]
    UnnamedPerson,
    /// The reply kept under an idempotency key is of another command.
    #[error("the kept reply is of another command")]
    OtherReply,
}

/// Why a command is not decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The state of the world does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The command contradicts its own declarations.
    #[error(transparent)]
    Defect(#[from] Defect),
}
