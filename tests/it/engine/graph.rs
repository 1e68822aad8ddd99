//! What the friend graph tells, against a model that looks at all of it.

use std::collections::{BTreeSet, VecDeque};

use futures_util::future::join_all;
use rollcall::bench::graph::{self, FriendGraph};
use rollcall::domain::ban::{Ban, Over};
use rollcall::domain::blocklist::Block;
use rollcall::domain::erasure::{Erase, Request};
use rollcall::domain::friendship::{Answer, AnswerRequest, Befriend};
use rollcall::domain::values::BanMinutes;
use rollcall::engine::graph::{Connection, Suggestion};
use rollcall::wiring::LogPlace;
use rollcall_projections::friend_graph::{self as rows, Direction};
use rollcall_schemas::plain::{RequestState, Scope};

use super::{Arc, Engine, Environment, Limits, Place, Running, SubjectRef, app, app_id, caller, register, user_id};
use crate::support::Cluster;

const USERS: u32 = 120;
const EDGES: u64 = 900;
/// Commands that are given at once.
const TOGETHER: usize = 16;
/// With a user who has no friends.
const REGISTERED: u32 = USERS + 1;

/// Users with their friends, by number.
struct Model {
    subjects: Vec<SubjectRef>,
    friends: Vec<BTreeSet<usize>>,
}

impl Model {
    /// Registers users and makes them friends.
    async fn fill(running: &Running) -> Self {
        let engine = running.engine();
        // So many at once that they are quick, and a database has connections for them.
        for users in (0..REGISTERED).collect::<Vec<_>>().chunks(TOGETHER) {
            for done in join_all(users.iter().map(|user| running.execute(register(&graph::user_id(*user))))).await {
                done.unwrap();
            }
        }
        let mut friends = vec![BTreeSet::new(); REGISTERED as usize];
        let pairs: Vec<_> = FriendGraph::new(USERS, EDGES, 3).unwrap().collect();
        for some in pairs.chunks(TOGETHER) {
            for done in join_all(some.iter().map(|(one, other)| running.execute(befriend(*one, *other, true)))).await {
                done.unwrap();
            }
        }
        for (one, other) in pairs {
            friends[one as usize].insert(other as usize);
            friends[other as usize].insert(one as usize);
        }
        engine.caught_up(&app_id()).await.unwrap();
        let names: Vec<_> = (0..REGISTERED).map(|user| user_id(&graph::user_id(user))).collect();
        let subjects = engine.find_all(&app_id(), &names).await.unwrap().into_iter().map(Option::unwrap).collect();
        Self { subjects, friends }
    }

    fn number(&self, subject: SubjectRef) -> usize {
        self.subjects.iter().position(|other| *other == subject).unwrap()
    }

    fn mutual(&self, one: usize, other: usize) -> BTreeSet<usize> {
        self.friends[one].intersection(&self.friends[other]).copied().collect()
    }

    /// Friends of friends, as they are to be suggested.
    fn suggested(&self, user: usize, without: &[usize]) -> Vec<Suggestion> {
        let candidates = (0..self.subjects.len())
            .filter(|other| *other != user && !self.friends[user].contains(other) && !without.contains(other));
        let counted = candidates.map(|other| Suggestion {
            subject: self.subjects[other],
            mutual: u32::try_from(self.mutual(user, other).len()).unwrap(),
        });
        let mut found: Vec<_> = counted.filter(|suggestion| suggestion.mutual > 0).collect();
        found.sort_by_key(|suggestion| (std::cmp::Reverse(suggestion.mutual), suggestion.subject));
        found
    }

    /// How many friendships lie between two users at least, over nobody of `without`.
    fn distance(&self, from: usize, to: usize, without: &[usize]) -> Option<usize> {
        let mut distances = vec![None; self.subjects.len()];
        distances[from] = Some(0);
        let mut next = VecDeque::from([from]);
        while let Some(user) = next.pop_front() {
            if user == to {
                return distances[to];
            }
            for other in &self.friends[user] {
                if distances[*other].is_none() && !without.contains(other) {
                    distances[*other] = distances[user].map(|distance: usize| distance + 1);
                    next.push_back(*other);
                }
            }
        }
        None
    }

    #[track_caller]
    fn is_shortest(&self, found: &Connection, (from, to): (usize, usize), without: &[usize]) {
        let distance = self.distance(from, to, without).filter(|distance| *distance <= 4);
        let Connection::Path(path) = found else {
            assert_eq!((found, distance), (&Connection::None, None), "{from} to {to}");
            return;
        };
        let path: Vec<_> = path.iter().map(|subject| self.number(*subject)).collect();
        assert_eq!((path.first(), path.last()), (Some(&from), Some(&to)));
        assert_eq!(Some(path.len() - 1), distance, "{path:?}");
        assert!(path.windows(2).all(|pair| self.friends[pair[0]].contains(&pair[1])), "{path:?}");
        assert!(path.iter().all(|user| !without.contains(user)), "{path:?}");
    }
}

fn befriend(who: u32, target: u32, direct: bool) -> Befriend {
    let (who, target) = (user_id(&graph::user_id(who)), user_id(&graph::user_id(target)));
    Befriend { who, target, direct, text: None }
}

async fn all_suggestions(engine: &Arc<Engine>, user: SubjectRef, size: usize) -> Vec<Suggestion> {
    let (mut all, mut after) = (vec![], None);
    loop {
        let part = engine.suggested_friends(&app_id(), user, after, size).await.unwrap();
        assert!(part.suggestions.len() <= size && (part.next.is_none() || !part.suggestions.is_empty()));
        all.extend(part.suggestions);
        match part.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

async fn what_is_told_is_what_a_model_tells(place: &Place) {
    let running = Running::create_at(place, Environment::Production).await;
    let (model, engine) = (Model::fill(&running).await, running.engine());
    for (one, other) in [(0, 1), (1, 0), (2, 60), (118, 119), (5, 5), (120, 0)] {
        let (mut found, mut after) = (vec![], None);
        loop {
            let both = [model.subjects[one], model.subjects[other]];
            let part = engine.mutual_friends(&app_id(), both, after.into(), 7).await.unwrap();
            after = part.last().copied();
            found.extend(part.iter().map(|subject| model.number(*subject)));
            if part.len() < 7 {
                break;
            }
        }
        let count = found.len();
        let found: BTreeSet<_> = found.into_iter().collect();
        assert_eq!((found.len(), &found), (count, &model.mutual(one, other)), "{one} and {other}");
    }
    for (user, size) in [(0, 500), (0, 3), (40, 7), (119, 10), (120, 5)] {
        let found = all_suggestions(&engine, model.subjects[user], size).await;
        assert_eq!(found, model.suggested(user, &[]), "{user}");
    }
    for pair in
        (0..60).map(|number| (number * 7 % 120, number * 31 % 120)).chain([(0, 0), (118, 119), (0, 120), (120, 7)])
    {
        let ends = [model.subjects[pair.0], model.subjects[pair.1]];
        model.is_shortest(&engine.connection(&app_id(), ends).await.unwrap(), pair, &[]);
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_friends_suggestions_and_paths_are_those_of_a_model() {
    let dir = tempfile::tempdir().unwrap();
    what_is_told_is_what_a_model_tells(&crate::support::place(dir.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_friends_suggestions_and_paths_are_those_of_a_model_over_postgresql() {
    let (dir, cluster) = (tempfile::tempdir().unwrap(), tokio::task::block_in_place(Cluster::start));
    let database = tokio::task::block_in_place(|| cluster.address(&cluster.database())).parse().unwrap();
    let place = Place { log: LogPlace::of(None, Some(database)).unwrap(), ..crate::support::place(dir.path()) };
    what_is_told_is_what_a_model_tells(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_suggested_who_is_banned_gone_blocked_asked_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let (model, engine) = (Model::fill(&running).await, running.engine());
    let settings = rollcall_schemas::plain::Settings {
        friend_permission: rollcall_schemas::plain::FriendPermission::Approval,
        ..engine.app("chat").unwrap().settings.clone()
    };
    running.operate(app::Command::Configure(settings, None)).await;
    const USER: u32 = 0;
    let me = user_id(&graph::user_id(USER));
    let before = model.suggested(USER as usize, &[]);
    let best: Vec<_> = before.iter().take(7).map(|suggestion| model.number(suggestion.subject)).collect();
    let number = |at: usize| u32::try_from(best[at]).unwrap();
    let name = |at: usize| user_id(&graph::user_id(number(at)));

    let minutes = BanMinutes::new(60).unwrap();
    running
        .execute(Ban { who: vec![name(0)], term: minutes.into(), reason: None, note: None, over: Over::Any })
        .await
        .unwrap();
    running.execute(Block { owner: me.clone(), targets: vec![name(1)] }).await.unwrap();
    running.execute(Block { owner: name(2), targets: vec![me.clone()] }).await.unwrap();
    running.execute(befriend(USER, number(3), false)).await.unwrap();
    running.execute(befriend(number(4), USER, false)).await.unwrap();
    running.execute(befriend(USER, number(5), false)).await.unwrap();
    engine.caught_up(&app_id()).await.unwrap();
    let asked = (&[Direction::Received][..], &[RequestState::Pending][..]);
    let requests = rows::requests(&running.data.read, model.subjects[best[5]], asked, None, 10).await.unwrap();
    let refuse = AnswerRequest { who: name(5), request: requests[0].id, answer: Answer::Refuse };
    running.execute(refuse).await.unwrap();
    let gone = Erase { who: vec![name(6)], scope: Scope::Deactivate, request: Request::default() };
    running.execute(gone).await.unwrap();
    engine.caught_up(&app_id()).await.unwrap();

    let found = all_suggestions(&engine, model.subjects[USER as usize], 5).await;
    assert_eq!(found, model.suggested(USER as usize, &best));
    // No path leads over somebody who is deactivated, be the friendships recorded as ended or not.
    for pair in (0..40).map(|number| (number * 7 % 120, number * 31 % 120)) {
        if pair.0 != best[6] && pair.1 != best[6] {
            let ends = [model.subjects[pair.0], model.subjects[pair.1]];
            model.is_shortest(&engine.connection(&app_id(), ends).await.unwrap(), pair, &best[6..]);
        }
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_looks_at_a_bounded_part_of_the_graph_and_says_so_where_that_is_not_enough() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let model = Model::fill(&running).await;
    running.stop();
    let limits = Limits { suggestions_looked_at_max: 1, path_looked_at_max: 0, ..Limits::default() };
    let running = Running::open_limited(dir.path(), limits, |log| log).await;
    let engine = running.engine();
    // Of somebody with more friends than are looked at together, only some are: each count is exact nevertheless.
    let user = (0..model.friends.len()).max_by_key(|user| model.friends[*user].len()).unwrap();
    assert!(model.friends[user].len() > 64, "so many are looked at together");
    let (whole, found) = (model.suggested(user, &[]), all_suggestions(&engine, model.subjects[user], 10).await);
    assert!(!found.is_empty() && found.iter().all(|suggestion| whole.contains(suggestion)), "{found:?}");
    let distant = (0..120).flat_map(|one| (0..120).map(move |other| (one, other)));
    let (mut too_wide, mut told) = (0, 0);
    for (one, other) in distant.step_by(97) {
        match engine.connection(&app_id(), [model.subjects[one], model.subjects[other]]).await.unwrap() {
            Connection::TooWide => {
                assert!(model.distance(one, other, &[]).is_none_or(|distance| distance > 2));
                too_wide += 1;
            }
            found => {
                model.is_shortest(&found, (one, other), &[]);
                told += 1;
            }
        }
    }
    assert!(too_wide > 0 && told > 0, "{too_wide} {told}");
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friends_are_searched_beyond_the_first_rows_that_are_looked_at() {
    use rollcall::engine::graph::{Names, Searched};
    use rollcall_projections::Seek;
    const FRIENDS: u32 = 600;
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    for done in join_all((0..=FRIENDS).map(|user| running.execute(register(&graph::user_id(user))))).await {
        done.unwrap();
    }
    for user in 1..=FRIENDS {
        running.service.engine.execute(&caller(), befriend(0, user, true)).await.unwrap();
    }
    let engine = running.engine();
    engine.caught_up(&app_id()).await.unwrap();
    let owner = engine.find(&app_id(), &user_id("user0")).await.unwrap().unwrap();
    let searched = |text: &str, seek, size| Searched {
        text: text.into(),
        names: Names::HostedFirst,
        seek,
        order: rollcall_projections::Order::OldestFirst,
        size,
    };
    let first = Seek::After(None);
    let found = engine.friends_named(&app_id(), owner, searched("USER59", first, 10)).await.unwrap();
    assert_eq!((found.friends.len(), found.beside.next.is_some()), (10, true), "user59 and user590 to user598");
    assert_eq!(found.beside.previous, None);
    let rest = engine.friends_named(&app_id(), owner, searched("USER59", Seek::After(found.beside.next), 10)).await;
    let rest = rest.unwrap();
    assert_eq!((rest.friends.len(), rest.beside.next), (1, None));
    let back = Seek::UpTo(rest.beside.previous.unwrap());
    let back = engine.friends_named(&app_id(), owner, searched("USER59", back, 10)).await.unwrap();
    assert_eq!((back.friends, back.beside), (found.friends.clone(), found.beside), "the page before is the first one");
    let last = engine.friends_named(&app_id(), owner, searched("USER59", Seek::UpTo(u64::MAX), 4)).await.unwrap();
    assert_eq!(last.friends, [&found.friends[7..], &rest.friends[..]].concat(), "the last ones, in the same order");
    assert_eq!(last.beside.previous, Some(found.friends[6].befriended_position));
    let all = engine.friends_named(&app_id(), owner, searched("body", first, 1_000)).await.unwrap();
    assert_eq!(all.friends.len(), FRIENDS as usize, "each of them is called Somebody");
    let none = engine.friends_named(&app_id(), owner, searched("ser59", first, 10)).await.unwrap();
    assert_eq!((none.friends, none.beside.next), (vec![], None));
    running.stop();
}
