//! How two users are connected: a breadth-first search from both sides, over at most four friendships.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rollcall_projections::friend_graph;
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::{Engine, Error, TOGETHER, friends_of, shown};

/// How two users are connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// By this path, the shortest, both ends included.
    Path(Vec<SubjectRef>),
    /// Not over four friendships or fewer.
    None,
    /// It is not known: more friendships lie between them than one search looks at.
    TooWide,
}

impl Engine {
    /// The shortest path of friendships from one user to another, over at most four of them and over nobody who is
    /// deactivated. Of several it is always the same one, as long as the graph is the same.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many reads of the app wait, or the read models are unavailable.
    pub async fn connection(self: &Arc<Self>, app: &AppId, [from, to]: [SubjectRef; 2]) -> Result<Connection, Error> {
        let of = app.clone();
        self.in_turn(app, async move |engine| Search { engine, app: &of, looked_at: 0 }.run(from, to).await).await
    }
}

struct Search<'e> {
    engine: &'e Engine,
    app: &'e AppId,
    looked_at: usize,
}

/// What lies behind the friends of one end: each with the friend over whom it was reached first.
type Reached = HashMap<SubjectRef, SubjectRef>;

impl Search<'_> {
    async fn run(mut self, from: SubjectRef, to: SubjectRef) -> Result<Connection, Error> {
        if from == to {
            return Ok(Connection::Path(vec![from]));
        }
        let of_from = friends_of(self.engine, from).await?;
        if of_from.binary_search(&to).is_ok() {
            return Ok(Connection::Path(vec![from, to]));
        }
        let of_to = friends_of(self.engine, to).await?;
        let of_from = shown(self.engine, self.app, of_from).await?;
        let of_to = shown(self.engine, self.app, of_to).await?;
        if let Some(between) = of_from.iter().find(|friend| of_to.binary_search(friend).is_ok()) {
            return Ok(Connection::Path(vec![from, *between, to]));
        }
        // Whichever end has fewer friends is looked behind first; often that is enough.
        let turned = of_to.len() < of_from.len();
        let (near, far) = if turned { ((to, of_to), (from, of_from)) } else { ((from, of_from), (to, of_to)) };
        Ok(match self.between(&near.1, &far.1).await? {
            Between::Friends(inner) => {
                let mut path: Vec<_> = [near.0].into_iter().chain(inner).chain([far.0]).collect();
                if turned {
                    path.reverse();
                }
                Connection::Path(path)
            }
            Between::Nobody => Connection::None,
            Between::TooMany => Connection::TooWide,
        })
    }

    /// Who stands between two groups that have nobody in common.
    async fn between(&mut self, near: &[SubjectRef], far: &[SubjectRef]) -> Result<Between, Error> {
        let of_far: HashSet<_> = far.iter().copied().collect();
        let mut reached = Reached::new();
        for chunk in near.chunks(TOGETHER) {
            let Some(lists) = self.lists(chunk).await? else { return Ok(Between::TooMany) };
            for (friend, list) in chunk.iter().zip(lists) {
                if let Some(other) = list.iter().find(|other| of_far.contains(other)) {
                    return Ok(Between::Friends(vec![*friend, *other]));
                }
                for other in list {
                    reached.entry(other).or_insert(*friend);
                }
            }
        }
        for chunk in far.chunks(TOGETHER) {
            let Some(lists) = self.lists(chunk).await? else { return Ok(Between::TooMany) };
            for (friend, list) in chunk.iter().zip(lists) {
                let met: Vec<_> = list.into_iter().filter(|other| reached.contains_key(other)).collect();
                let met = shown(self.engine, self.app, met).await?;
                let path = met.first().and_then(|met| Some(vec![*reached.get(met)?, *met, *friend]));
                if let Some(path) = path {
                    return Ok(Between::Friends(path));
                }
            }
        }
        Ok(Between::Nobody)
    }

    /// The friends of each in the order of references; `None`: more were looked at than may be.
    async fn lists(&mut self, of: &[SubjectRef]) -> Result<Option<Vec<Vec<SubjectRef>>>, Error> {
        if self.looked_at >= self.engine.graph.limits.path_looked_at_max {
            return Ok(None);
        }
        let mut lists = friend_graph::friends_of_each(self.engine.read(), of).await?;
        for list in &mut lists {
            self.looked_at += list.len();
            list.sort_unstable();
        }
        Ok(Some(lists))
    }
}

enum Between {
    Friends(Vec<SubjectRef>),
    Nobody,
    TooMany,
}
