//! What the graph of friends tells: whom two users both know, whom a user may know, how two users are connected, and which
//! friends have a name; and which of many pairs of users block each other or are friends.
//!
//! Each of these looks at thousands of rows, so it runs beside the threads that serve requests, and the apps take turns.

use std::sync::Arc;

use rollcall_projections::user_directory::User;
use rollcall_projections::{Seek, friend_graph, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef};
use tokio::runtime::Handle;

use super::turns::{Turn, TurnLimits, Turns};
use super::{Engine, Error, Limits};
use crate::tasks;

mod pairs;
mod path;
mod search;
mod suggestions;

pub use pairs::Between;
pub use path::Connection;
pub use search::{FoundFriends, Names, Searched};
pub use suggestions::{Suggested, Suggestion, SuggestionCursor};

/// Lists of friends that are read by one statement.
const TOGETHER: usize = 64;

/// The reads of the graph that run.
pub(super) struct Graph {
    turns: Turns,
    /// Of checks of many pairs: each takes milliseconds and does not wait behind what takes much longer.
    checks: Turns,
    /// On whose threads for blocking work they run.
    runtime: Handle,
    limits: Limits,
}

impl Graph {
    pub(super) fn new(runtime: Handle, limits: Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // One app never has all turns: another one waits for one read at most.
        let at_once_max = cores.max(2);
        let turns = TurnLimits { at_once_max, of_app_max: at_once_max / 2, waiting_of_app_max: 64 };
        Self { turns: Turns::new(turns), checks: Turns::new(turns), runtime, limits }
    }
}

impl Engine {
    /// Runs a read when it is the app's turn, on a thread that may block. It goes on to its end where nobody waits for it any
    /// more: it looks at a bounded number of rows.
    async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        app: &AppId,
        read: impl AsyncFnOnce(&Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.graph.turns.take(app).await.ok_or(Error::Busy)?;
        self.beside(turn, read).await
    }

    /// Runs a read on a thread that may block, and holds its turn until that is done.
    async fn beside<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        read: impl AsyncFnOnce(&Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (engine, runtime) = (self.clone(), self.graph.runtime.clone());
        let done = tasks::spawn_blocking_on(&self.graph.runtime, move || {
            let _turn = turn;
            tasks::block_on(&runtime, read(&engine))
        });
        done.await.map_err(|_| Error::Unavailable("a read of the friend graph broke off".into()))?
    }

    /// A page of those who are friends of both users, in the order of references, which are their places; those who are
    /// deactivated are among them.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many reads of the app wait, or the read models are unavailable.
    pub async fn mutual_friends(
        self: &Arc<Self>,
        app: &AppId,
        both: [SubjectRef; 2],
        seek: Seek<SubjectRef>,
        size: u32,
    ) -> Result<Vec<SubjectRef>, Error> {
        self.in_turn(app, async move |engine| Ok(friend_graph::mutual(engine.read(), both, seek, size).await?)).await
    }
}

/// Whether a user may be shown to others: neither deactivated nor forgotten.
fn is_shown(user: Option<&User>) -> bool {
    user.is_some_and(|user| !user.deactivated && user.user_id.is_some())
}

/// Those of the users that may be shown, in their order.
async fn shown(engine: &Engine, app: &AppId, users: Vec<SubjectRef>) -> Result<Vec<SubjectRef>, Error> {
    let found = user_directory::by_subjects(engine.read(), app, &users).await?;
    let pairs = users.into_iter().zip(found);
    Ok(pairs.filter(|(_, user)| is_shown(user.as_ref())).map(|(subject, _)| subject).collect())
}

/// The friends of one user, in the order of references: the same order in every store.
async fn friends_of(engine: &Engine, user: SubjectRef) -> Result<Vec<SubjectRef>, Error> {
    let mut friends = friend_graph::friends_of_each(engine.read(), &[user]).await?.pop().unwrap_or_default();
    friends.sort_unstable();
    Ok(friends)
}
