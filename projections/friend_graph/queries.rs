//! What can be asked about friends.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, FriendRequestId, SubjectRef};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::RequestState;
use uuid::Uuid;

use crate::store::{Error, ReadStore, Row};
use crate::{Order, Query, Seek, Value, paging, queries};

macro_rules! select_request {
    ($rest:literal) => {
        concat!(
            "SELECT requested_position, app, asking, asked, requested_at, expires_at, state, ended_at, message
             FROM friend_graph_requests_v3 ",
            $rest
        )
    };
}

queries! {
    descriptions_about: coalesced = "SELECT count(*) FROM friend_graph_descriptions_v3 WHERE about = $1";
    messages_of: coalesced = "SELECT count(message) FROM friend_graph_requests_v3 WHERE asking = $1";
    later_than = "SELECT friend, befriended_at, befriended_position FROM friend_graph_v3
        WHERE owner = $1 AND befriended_position > $2 ORDER BY befriended_position LIMIT $3";
    earlier_than = "SELECT friend, befriended_at, befriended_position FROM friend_graph_v3
        WHERE owner = $1 AND befriended_position < $2 ORDER BY befriended_position DESC LIMIT $3";
    count_of_owner: coalesced = "SELECT COUNT(*) FROM friend_graph_v3 WHERE owner = $1";
    counts_of: coalesced = "SELECT (SELECT count(*) FROM friend_graph_v3 WHERE owner = $1),
        (SELECT count(*) FROM friend_graph_requests_v3 WHERE asking = $1 AND state = 'pending'),
        (SELECT count(*) FROM friend_graph_requests_v3 WHERE asked = $1 AND state = 'pending')";
    friendship: coalesced = "SELECT friend, befriended_at, befriended_position FROM friend_graph_v3
        WHERE owner = $1 AND friend = $2";
    friends_of: coalesced = "SELECT friend FROM friend_graph_v3 WHERE owner = $1";
    // The friends of the one are walked in the order of the key, and each is looked up among those of the other.
    mutual_after = "SELECT one.friend FROM friend_graph_v3 AS one WHERE one.owner = $1 AND one.friend > $2
        AND EXISTS (SELECT 1 FROM friend_graph_v3 AS other WHERE other.owner = $3 AND other.friend = one.friend)
        ORDER BY one.friend LIMIT $4";
    mutual_up_to = "SELECT one.friend FROM friend_graph_v3 AS one WHERE one.owner = $1 AND one.friend <= $2
        AND EXISTS (SELECT 1 FROM friend_graph_v3 AS other WHERE other.owner = $3 AND other.friend = one.friend)
        ORDER BY one.friend DESC LIMIT $4";
    asked_between: coalesced = "SELECT state, expires_at FROM friend_graph_requests_v3 WHERE asking = $1 AND asked = $2";
    described = "SELECT field, content FROM friend_graph_descriptions_v3 WHERE owner = $1 AND about = $2
        ORDER BY field";
    related = "SELECT friend FROM friend_graph_v3 WHERE owner = $1
        UNION ALL SELECT asked FROM friend_graph_requests_v3 WHERE asking = $1 AND state = 'pending'
        UNION ALL SELECT asking FROM friend_graph_requests_v3 WHERE asked = $1 AND state = 'pending'
        LIMIT $2";
    request_at: coalesced = select_request!("WHERE requested_position = $1 AND app = $2");
    pending_between: coalesced = select_request!("WHERE asking = $1 AND asked = $2 AND state = 'pending'");
    sent_before = select_request!("WHERE asking = $1 AND state = $2 AND requested_position < $3
        ORDER BY requested_position DESC LIMIT $4");
    received_before = select_request!("WHERE asked = $1 AND state = $2 AND requested_position < $3
        ORDER BY requested_position DESC LIMIT $4");
    sent_up_to = select_request!("WHERE asking = $1 AND state = $2 AND requested_position >= $3
        ORDER BY requested_position LIMIT $4");
    received_up_to = select_request!("WHERE asked = $1 AND state = $2 AND requested_position >= $3
        ORDER BY requested_position LIMIT $4");
    lapsed = select_request!("WHERE state = 'pending' AND expires_at <= $1
        ORDER BY expires_at, requested_position LIMIT $2");
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, descriptions_about), (Class::Profile, messages_of)];

/// In a [`Description`], the field that holds the remark name.
pub const REMARK: &str = "";

/// One friend of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Friend {
    /// Who.
    pub friend: SubjectRef,
    /// Since when.
    pub befriended_at: DateTime<Utc>,
    /// Position of that event: the order of the list, and the place in [`page`].
    pub befriended_position: u64,
}

impl Friend {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { friend: SubjectRef(row.id(0)?), befriended_at: row.instant(1)?, befriended_position: row.number(2)? })
    }
}

/// From whose side a request is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The user asked.
    Sent,
    /// The user was asked.
    Received,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which: the order of lists and their cursor.
    pub id: FriendRequestId,
    /// Of which app.
    pub app: AppId,
    /// Who asked.
    pub from: SubjectRef,
    /// Who was asked.
    pub to: SubjectRef,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// Until when it waits for its answer.
    pub expires_at: DateTime<Utc>,
    /// How far it has come. One whose time is over is pending until that is recorded: see [`Request::state_at`].
    pub state: RequestState,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Its text, sealed with the key of who asked; `None`: there is none, or it was erased.
    pub text: Option<Vec<u8>>,
}

impl Request {
    /// How far the request has come at `now`, whether it is recorded yet that its time is over or not.
    #[must_use]
    pub fn state_at(&self, now: DateTime<Utc>) -> RequestState {
        state_at(self.state, self.expires_at, now)
    }

    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            id: FriendRequestId(row.number(0)?),
            app: row.parsed(1)?,
            from: SubjectRef(row.id(2)?),
            to: SubjectRef(row.id(3)?),
            requested_at: row.instant(4)?,
            expires_at: row.instant(5)?,
            state: row.word(6)?,
            ended_at: row.optional_instant(7)?,
            text: row.optional_bytes(8)?,
        })
    }
}

fn state_at(state: RequestState, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> RequestState {
    if state == RequestState::Pending && expires_at <= now { RequestState::Expired } else { state }
}

/// What a user wrote about a friend: values by field, sealed; [`REMARK`] is the remark name.
pub type Description = Vec<(String, Vec<u8>)>;

/// A page of the friends in that order; their places are their `befriended_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn page(
    store: &ReadStore,
    owner: SubjectRef,
    seek: impl Into<Seek<u64>>,
    size: u32,
    order: Order,
) -> Result<Vec<Friend>, Error> {
    let params = |place: u64| [owner.into(), place.into(), paging::limit(size)];
    let (seek, statements, first) = paging::by_position(seek.into(), order, [later_than, earlier_than]);
    paging::seek(store, seek, statements, first, params, Friend::read).await
}

/// How many friends a user has.
///
/// # Errors
/// The store is unavailable.
pub async fn count(store: &ReadStore, owner: SubjectRef) -> Result<u64, Error> {
    Ok(store.row(count_of_owner, &[owner.into()], |row| row.number(0)).await?.unwrap_or(0))
}

/// How many friends and requests a user has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Friends.
    pub friends: u64,
    /// Requests that it sent and that are pending, be their time over or not.
    pub sent: u64,
    /// Requests that it received and that are pending, be their time over or not.
    pub received: u64,
}

/// How many friends and requests each of those has, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn counts(store: &ReadStore, users: &[SubjectRef]) -> Result<Vec<Counts>, Error> {
    let asked = users.iter().map(|user| [Value::from(*user)]);
    let read =
        |row: &Row<'_, '_>| Ok(Counts { friends: row.number(0)?, sent: row.number(1)?, received: row.number(2)? });
    let found = store.rows_of_each(counts_of, asked, read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop().unwrap_or_default()).collect())
}

/// Those of the targets that are friends of `owner`, in the order asked; `None`: it is none.
///
/// # Errors
/// The store is unavailable.
pub async fn among(store: &ReadStore, owner: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<Option<Friend>>, Error> {
    let pairs: Vec<_> = targets.iter().map(|target| (owner, *target)).collect();
    friendships(store, &pairs).await
}

/// The friendships of the first of each pair with the second, in the order asked; `None`: they are not friends.
///
/// # Errors
/// The store is unavailable.
pub async fn friendships(store: &ReadStore, pairs: &[(SubjectRef, SubjectRef)]) -> Result<Vec<Option<Friend>>, Error> {
    let asked = pairs.iter().map(|(owner, friend)| [Value::from(*owner), (*friend).into()]);
    let found = store.rows_of_each(friendship, asked, Friend::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// The friends of each of those, in the order asked; of each all that it has, in no order.
///
/// # Errors
/// The store is unavailable.
pub async fn friends_of_each(store: &ReadStore, owners: &[SubjectRef]) -> Result<Vec<Vec<SubjectRef>>, Error> {
    let asked = owners.iter().map(|owner| [Value::from(*owner)]);
    store.rows_of_each(friends_of, asked, |row| Ok(SubjectRef(row.id(0)?))).await
}

/// A page of those who are friends of both, in the order of their references, which are their places.
///
/// # Errors
/// The store is unavailable.
pub async fn mutual(
    store: &ReadStore,
    [one, other]: [SubjectRef; 2],
    seek: impl Into<Seek<SubjectRef>>,
    size: u32,
) -> Result<Vec<SubjectRef>, Error> {
    let params = |place: SubjectRef| [one.into(), place.into(), other.into(), paging::limit(size)];
    let (first, friend) = (SubjectRef(Uuid::nil()), |row: &Row<'_, '_>| Ok(SubjectRef(row.id(0)?)));
    paging::seek(store, seek.into(), [mutual_after, mutual_up_to], first, params, friend).await
}

/// How far the requests of the first of each pair to the second have come at `now`, in the order asked; of each pair all that
/// are still shown.
///
/// # Errors
/// The store is unavailable.
pub async fn asked(
    store: &ReadStore,
    pairs: &[(SubjectRef, SubjectRef)],
    now: DateTime<Utc>,
) -> Result<Vec<Vec<RequestState>>, Error> {
    let asked = pairs.iter().map(|(asking, asked)| [Value::from(*asking), (*asked).into()]);
    let state = |row: &Row<'_, '_>| Ok(state_at(row.word(0)?, row.instant(1)?, now));
    store.rows_of_each(asked_between, asked, state).await
}

/// What `owner` wrote about each of those, in the order asked; empty where nothing was written.
///
/// # Errors
/// The store is unavailable.
pub async fn descriptions(
    store: &ReadStore,
    owner: SubjectRef,
    about: &[SubjectRef],
) -> Result<Vec<Description>, Error> {
    let asked = about.iter().map(|about| [Value::from(owner), (*about).into()]);
    store.rows_of_each(described, asked, |row| Ok((row.text(0)?.to_owned(), row.bytes(1)?))).await
}

/// That request; `None`: there is none of that id in this app.
///
/// # Errors
/// The store is unavailable.
pub async fn request(store: &ReadStore, app: &AppId, id: FriendRequestId) -> Result<Option<Request>, Error> {
    store.row(request_at, &[id.0.into(), app.into()], Request::read).await
}

/// The request of one to another that is pending, be its time over or not.
///
/// # Errors
/// The store is unavailable.
pub async fn pending(store: &ReadStore, from: SubjectRef, to: SubjectRef) -> Result<Option<Request>, Error> {
    store.row(pending_between, &[from.into(), to.into()], Request::read).await
}

/// A page of the requests of a user on those sides and in those states, the latest first; their places are their ids.
///
/// # Errors
/// The store is unavailable.
pub async fn requests(
    store: &ReadStore,
    owner: SubjectRef,
    (directions, states): (&[Direction], &[RequestState]),
    seek: impl Into<Seek<FriendRequestId>>,
    size: u32,
) -> Result<Vec<Request>, Error> {
    let (seek, first) = (seek.into(), FriendRequestId(u64::MAX));
    let mut found = vec![];
    // Each of these is one walk along an index; together they would be a sort of all that the user ever asked.
    for direction in directions {
        let statements = match direction {
            Direction::Sent => [sent_before, sent_up_to],
            Direction::Received => [received_before, received_up_to],
        };
        for state in states {
            let params =
                |place: FriendRequestId| [owner.into(), state.as_str().into(), place.0.into(), paging::limit(size)];
            found.extend(paging::seek(store, seek, statements, first, params, Request::read).await?);
        }
    }
    found.sort_unstable_by_key(|request| std::cmp::Reverse(request.id));
    seek.nearest(&mut found, size);
    Ok(found)
}

/// Requests of any app that lapsed and are not recorded as expired, the first that lapsed first.
///
/// # Errors
/// The store is unavailable.
pub async fn due(store: &ReadStore, now: DateTime<Utc>, limit: u32) -> Result<Vec<Request>, Error> {
    store.rows(lapsed, &[now.into(), paging::limit(limit)], Request::read).await
}

/// Everyone a user is friends with, asked or was asked by, lapsed requests included until they are recorded as expired; at
/// most `limit`. To end every relation, ask until none is left.
///
/// # Errors
/// The store is unavailable.
pub async fn all_of(store: &ReadStore, owner: SubjectRef, limit: u32) -> Result<BTreeSet<SubjectRef>, Error> {
    // Two who asked each other are found twice.
    let found = store.rows(related, &[owner.into(), limit.into()], |row| Ok(SubjectRef(row.id(0)?))).await?;
    Ok(found.into_iter().collect())
}
