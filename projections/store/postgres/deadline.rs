//! How long an answer of the database is waited for. A server that stands still, or a network that swallows everything,
//! keeps nobody waiting: the operation ends as unavailable, and its connection is closed, since an answer to an earlier
//! question may still arrive on it. What was asked for may have been done nevertheless.

use std::time::Duration;

use futures_util::TryFutureExt as _;

/// For the answer to a query, from the moment it is asked: the time in which it waits for a connection is part of it.
pub(super) const QUERY_MAX: Duration = Duration::from_secs(10);
/// For the answer to one statement that applies events; a statement may be about a thousand rows, or wait for a lock that
/// a node left behind which fell silent ([`IDLE_MAX`]).
pub(super) const APPLY_MAX: Duration = Duration::from_secs(20);
/// For making, moving or dropping tables, as a whole.
pub(super) const TABLES_MAX: Duration = Duration::from_secs(120);
/// For one step of a task that reads or writes whole tables, such as making an index.
pub(super) const STEP_MAX: Duration = Duration::from_secs(3_600);
/// How long the server keeps the transaction, and so the locks, of a node that sends nothing more.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(10);

/// The database did not answer within this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database did not answer within {} s", .0.as_secs())]
pub(super) struct Silent(Duration);

/// What `answer` is, if it is there in time.
// No `async fn`: that would have room for `answer` twice.
pub(super) fn within<F: Future>(max: Duration, answer: F) -> impl Future<Output = Result<F::Output, Silent>> {
    tokio::time::timeout(max, answer).map_err(move |_| Silent(max))
}
