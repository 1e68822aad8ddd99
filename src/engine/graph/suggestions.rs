//! Whom a user may know: the friends of friends, those with the most mutual friends first.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rollcall_projections::{banned_users, blocklists, friend_graph, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::plain::RequestState;

use super::{Engine, Error, TOGETHER, friends_of, is_shown};

/// Candidates that one answer considers, of which most are answered.
const CONSIDERED_MAX: usize = 1_000;

/// Somebody the user may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suggestion {
    /// Who.
    pub subject: SubjectRef,
    /// How many friends both have.
    pub mutual: u32,
}

/// Up to which candidate earlier answers came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuggestionCursor {
    /// In how many of the looked-at lists of friends it stands: the order of candidates.
    pub seen: u32,
    /// Who it is: the order among equals.
    pub subject: SubjectRef,
}

/// A part of the suggestions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggested {
    /// Them, those with the most mutual friends first.
    pub suggestions: Vec<Suggestion>,
    /// Where the next part begins; `None`: this is the last one.
    pub next: Option<SuggestionCursor>,
}

impl Engine {
    /// Whom a user may know: friends of friends without those who are friends already, are deactivated or banned, block the
    /// user or are blocked, were asked or asked and wait for an answer, or refused a request of the other that is still
    /// shown.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many reads of the app wait, or the read models are unavailable.
    pub async fn suggested_friends(
        self: &Arc<Self>,
        app: &AppId,
        user: SubjectRef,
        after: Option<SuggestionCursor>,
        size: usize,
    ) -> Result<Suggested, Error> {
        let of = app.clone();
        self.in_turn(app, async move |engine| suggested(engine, &of, user, after, size).await).await
    }
}

/// In how many lists of friends each user was seen.
struct Seen {
    times: HashMap<SubjectRef, u32>,
    /// Whether not every list was looked at.
    is_sample: bool,
}

async fn suggested(
    engine: &Engine,
    app: &AppId,
    user: SubjectRef,
    after: Option<SuggestionCursor>,
    size: usize,
) -> Result<Suggested, Error> {
    let own = friends_of(engine, user).await?;
    let seen = seen(engine, &own).await?;
    let own: HashSet<_> = own.into_iter().collect();
    let mut candidates: Vec<_> = seen
        .times
        .into_iter()
        .map(|(subject, times)| (Reverse(times), subject))
        .filter(|(_, subject)| *subject != user && !own.contains(subject))
        .filter(|place| after.is_none_or(|after| *place > (Reverse(after.seen), after.subject)))
        .collect();
    let more_than_considered = candidates.len() > CONSIDERED_MAX;
    if more_than_considered {
        candidates.select_nth_unstable(CONSIDERED_MAX);
        candidates.truncate(CONSIDERED_MAX);
    }
    candidates.sort_unstable();

    let (mut suggestions, mut considered) = (Vec::with_capacity(size.min(CONSIDERED_MAX)), 0_usize);
    for chunk in candidates.chunks(size.max(TOGETHER)) {
        for (place, is_suitable) in chunk.iter().zip(suitable(engine, app, user, chunk).await?) {
            if suggestions.len() == size {
                break;
            }
            considered += 1;
            if is_suitable {
                let (Reverse(mutual), subject) = *place;
                suggestions.push(Suggestion { subject, mutual });
            }
        }
        if suggestions.len() == size {
            break;
        }
    }
    let last = considered.checked_sub(1).and_then(|last| candidates.get(last));
    let next = last.filter(|_| more_than_considered || considered < candidates.len());
    let next = next.map(|(Reverse(seen), subject)| SuggestionCursor { seen: *seen, subject: *subject });
    if seen.is_sample {
        count_exactly(engine, &own, &mut suggestions).await?;
    }
    Ok(Suggested { suggestions, next })
}

/// Looks at the lists of friends, one after the other, until they have as many entries as may be looked at. The friends stand
/// in the order of their references, which are random, and so is the part of them that is looked at.
async fn seen(engine: &Engine, friends: &[SubjectRef]) -> Result<Seen, Error> {
    let (mut times, mut looked_at, mut lists_read) = (HashMap::new(), 0, 0);
    for chunk in friends.chunks(TOGETHER) {
        if looked_at >= engine.graph.limits.suggestions_looked_at_max {
            break;
        }
        for list in friend_graph::friends_of_each(engine.read(), chunk).await? {
            looked_at += list.len();
            lists_read += 1;
            for subject in list {
                *times.entry(subject).or_default() += 1;
            }
        }
    }
    Ok(Seen { times, is_sample: lists_read < friends.len() })
}

/// Which of the candidates may be suggested, in their order.
async fn suitable(
    engine: &Engine,
    app: &AppId,
    user: SubjectRef,
    candidates: &[(Reverse<u32>, SubjectRef)],
) -> Result<Vec<bool>, Error> {
    let (read, now) = (engine.read(), engine.now());
    let subjects: Vec<_> = candidates.iter().map(|(_, subject)| *subject).collect();
    let both_ways: Vec<_> = subjects.iter().flat_map(|other| [(user, *other), (*other, user)]).collect();
    let users = user_directory::by_subjects(read, app, &subjects).await?;
    let bans = banned_users::of_subjects(read, &subjects).await?;
    let blocks = blocklists::entries(read, &both_ways).await?;
    let requests = friend_graph::asked(read, &both_ways, now).await?;
    let stands_against = |state: &RequestState| matches!(state, RequestState::Pending | RequestState::Refused);
    let related = blocks
        .chunks(2)
        .zip(requests.chunks(2))
        .map(|(blocks, requests)| blocks.iter().any(Option::is_some) || requests.iter().flatten().any(stands_against));
    let banned = bans.into_iter().map(|ban| ban.is_some_and(|ban| ban.runs_at(now)));
    let one_by_one = users.iter().zip(banned).zip(related);
    Ok(one_by_one.map(|((user, banned), related)| is_shown(user.as_ref()) && !banned && !related).collect())
}

/// Counts the mutual friends of each exactly, where only some lists of friends were looked at.
async fn count_exactly(
    engine: &Engine,
    own: &HashSet<SubjectRef>,
    suggestions: &mut [Suggestion],
) -> Result<(), Error> {
    for chunk in suggestions.chunks_mut(TOGETHER) {
        let subjects: Vec<_> = chunk.iter().map(|suggestion| suggestion.subject).collect();
        let lists = friend_graph::friends_of_each(engine.read(), &subjects).await?;
        for (suggestion, list) in chunk.iter_mut().zip(lists) {
            let mutual = list.iter().filter(|friend| own.contains(friend)).count();
            suggestion.mutual = u32::try_from(mutual).unwrap_or(u32::MAX);
        }
    }
    suggestions.sort_unstable_by_key(|suggestion| (Reverse(suggestion.mutual), suggestion.subject));
    Ok(())
}
