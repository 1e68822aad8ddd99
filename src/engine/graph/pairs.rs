//! Many pairs of users at once: which of them block or allow each other, and which are friends.

use std::sync::Arc;

use rollcall_projections::{allowlists, blocklists, friend_graph, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef};

use crate::domain::values::UserId;
use crate::engine::{Engine, Error};

/// What is so of a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Between {
    /// From the first to the second.
    pub there: bool,
    /// From the second to the first.
    pub back: bool,
}

/// A list that a user keeps of others.
#[derive(Clone, Copy)]
enum List {
    Blocked,
    Allowed,
}

impl Engine {
    /// Whether the first of each pair blocks the second and the other way round, in their order. A userId that was never used
    /// blocks nobody.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many reads of the app wait, or the read models are unavailable or too far behind.
    pub async fn blocks_between(
        self: &Arc<Self>,
        app: &AppId,
        pairs: Vec<(UserId, UserId)>,
    ) -> Result<Vec<Between>, Error> {
        self.listed_between(app, pairs, List::Blocked).await
    }

    /// Whether the first of each pair has the second on its allowlist and the other way round, in their order, be the lists in
    /// force or not. A userId that was never used allows nobody.
    ///
    /// # Errors
    /// As [`Engine::blocks_between`].
    pub async fn allows_between(
        self: &Arc<Self>,
        app: &AppId,
        pairs: Vec<(UserId, UserId)>,
    ) -> Result<Vec<Between>, Error> {
        self.listed_between(app, pairs, List::Allowed).await
    }

    async fn listed_between(
        self: &Arc<Self>,
        app: &AppId,
        pairs: Vec<(UserId, UserId)>,
        list: List,
    ) -> Result<Vec<Between>, Error> {
        self.caught_up(app).await?;
        let of = app.clone();
        let turn = self.graph.checks.take(app).await.ok_or(Error::Busy)?;
        self.beside(turn, async move |engine| {
            let known = known(engine, &of, pairs).await?;
            let (read, pairs) = (engine.read(), both_ways(&known));
            let found = match list {
                List::Blocked => blocklists::entries(read, &pairs).await?,
                List::Allowed => allowlists::entries(read, &pairs).await?,
            };
            Ok(between(&known, found.iter().map(Option::is_some)))
        })
        .await
    }

    /// Whether the two of each pair are friends, in their order; with somebody who is deactivated nobody is, although that
    /// friendship remains until the erasure ends it.
    ///
    /// # Errors
    /// As [`Engine::blocks_between`].
    pub async fn friends_between(
        self: &Arc<Self>,
        app: &AppId,
        pairs: Vec<(UserId, UserId)>,
    ) -> Result<Vec<bool>, Error> {
        self.caught_up(app).await?;
        let of = app.clone();
        let turn = self.graph.checks.take(app).await.ok_or(Error::Busy)?;
        self.beside(turn, async move |engine| {
            let known = known(engine, &of, pairs).await?;
            let asked: Vec<_> = known.iter().flatten().copied().collect();
            let friends = friend_graph::friendships(engine.read(), &asked).await?;
            let users: Vec<_> = asked.iter().flat_map(|(one, other)| [*one, *other]).collect();
            let users = user_directory::by_subjects(engine.read(), &of, &users).await?;
            let is_shown = |both: &[Option<user_directory::User>]| !both.iter().flatten().any(|user| user.deactivated);
            let mut are_friends =
                friends.iter().zip(users.chunks(2)).map(|(friend, both)| friend.is_some() && is_shown(both));
            Ok(known.iter().map(|pair| pair.is_some() && are_friends.next() == Some(true)).collect())
        })
        .await
    }
}

/// The subjects of each pair; `None`: one of the userIds was never used.
async fn known(
    engine: &Engine,
    app: &AppId,
    pairs: Vec<(UserId, UserId)>,
) -> Result<Vec<Option<(SubjectRef, SubjectRef)>>, Error> {
    let user_ids: Vec<_> = pairs.into_iter().flat_map(|(one, other)| [one, other]).collect();
    let subjects = engine.find_all(app, &user_ids).await?;
    Ok(subjects.as_chunks::<2>().0.iter().map(|[one, other]| one.zip(*other)).collect())
}

/// Each pair that is known, in both directions.
fn both_ways(known: &[Option<(SubjectRef, SubjectRef)>]) -> Vec<(SubjectRef, SubjectRef)> {
    known.iter().flatten().flat_map(|(one, other)| [(*one, *other), (*other, *one)]).collect()
}

/// What was found of [`both_ways`], for each pair.
fn between(known: &[Option<(SubjectRef, SubjectRef)>], mut found: impl Iterator<Item = bool>) -> Vec<Between> {
    let mut of_pair = |pair: &Option<_>| match pair {
        Some(_) => Between { there: found.next() == Some(true), back: found.next() == Some(true) },
        None => Between::default(),
    };
    known.iter().map(&mut of_pair).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_is_found_is_told_of_the_pair_it_was_asked_for_also_behind_one_that_is_not_known() {
        let subject = |number| SubjectRef(Uuid::from_u128(number));
        let known = [Some((subject(1), subject(2))), None, Some((subject(3), subject(1)))];
        assert_eq!(both_ways(&known).len(), 4);
        let told = between(&known, [true, false, false, true].into_iter());
        let of = |there, back| Between { there, back };
        assert_eq!(told, [of(true, false), of(false, false), of(false, true)]);
    }
}
