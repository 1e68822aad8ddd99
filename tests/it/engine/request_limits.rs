//! How many friend requests may wait of a user and for a user, however many are made at once. On one node the limits are exact.
//! Several nodes exceed them by no more than what the others have accepted and one of them has not followed yet.

use rollcall::domain::blocklist::Block;
use rollcall::domain::friendship::Befriend;
use rollcall::domain::{RECEIVED_REQUESTS_MAX, SENT_REQUESTS_MAX};

use super::friendship::two_nodes;
use super::{Environment, Error, Refusal, Running, app_id, at_once, caller, register, user_id};

fn ask(from: &str, to: &str) -> Befriend {
    Befriend { who: user_id(from), target: user_id(to), direct: false, text: None }
}

/// Makes these requests at once; answers how many were accepted. Whoever is refused is told that there are too many.
async fn asked_at_once(node: &Running, requests: Vec<Befriend>, full: Refusal) -> usize {
    let all = requests.len();
    let done = at_once(&node.engine(), requests.into_iter().map(|request| (caller(), request)).collect()).await;
    let refused: Vec<_> = done.into_iter().filter_map(Result::err).collect();
    let is_full = |error: &Error| matches!(error, Error::Refused(refusal) if *refusal == full);
    assert!(refused.iter().all(is_full), "{refused:?}");
    all - refused.len()
}

/// Makes a request between ada and another user.
type Direction = fn(String) -> Befriend;

async fn is_refused(node: &Running, request: Befriend, full: Refusal) -> bool {
    node.engine().caught_up(&app_id()).await.unwrap();
    matches!(node.execute(request).await, Err(Error::Refused(refusal)) if refusal == full)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_no_more_requests_waiting_than_may_however_many_it_sends_at_once_and_each_end_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::create(dir.path(), Environment::Production).await;
    node.execute(register("ada")).await.unwrap();
    let full = Refusal::SentRequestsFull;
    // Fewer at once than the queue of commands holds.
    for (from, to, accepted) in (0..9).map(|part| (part * 100, part * 100 + 100, 100)).chain([(900, 1_060, 100)]) {
        let requests = (from..to).map(|number| ask("ada", &format!("user-{number}"))).collect();
        assert_eq!(asked_at_once(&node, requests, full.clone()).await, accepted, "{from}..{to}");
    }
    assert_eq!(node.events("friendship.requested").await.len(), SENT_REQUESTS_MAX);
    // The next run counts what the read models have.
    let node = node.reopen(dir.path()).await;
    assert!(is_refused(&node, ask("ada", "late"), full.clone()).await);
    node.execute(Befriend { direct: true, ..ask("ada", "user-0") }).await.unwrap();
    node.execute(ask("ada", "late")).await.unwrap();
    assert!(is_refused(&node, ask("ada", "later"), full).await, "one was accepted, and another one took its place");
    node.execute(Block { owner: user_id("ada"), targets: vec![user_id("late")] }).await.unwrap();
    node.execute(ask("ada", "later")).await.unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_requests_wait_for_a_user_than_may_however_many_ask_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::create(dir.path(), Environment::Production).await;
    node.execute(register("ada")).await.unwrap();
    let (full, mut accepted) = (Refusal::ReceivedRequestsFull, 0);
    for part in 0..16 {
        let requests = (0..200).map(|number| ask(&format!("user-{part}-{number}"), "ada")).collect();
        accepted += asked_at_once(&node, requests, full.clone()).await;
    }
    assert_eq!(accepted, RECEIVED_REQUESTS_MAX);
    assert_eq!(node.events("friendship.requested").await.len(), RECEIVED_REQUESTS_MAX);
    let node = node.reopen(dir.path()).await;
    assert!(is_refused(&node, ask("late", "ada"), full).await);
    node.execute(ask("late", "bob")).await.unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_exceed_the_limits_of_requests_by_no_more_than_the_other_one_accepts_at_the_same_moment() {
    /// What there is room for when both begin.
    const ROOM: usize = 100;
    let name = "engine::request_limits::\
                two_nodes_exceed_the_limits_of_requests_by_no_more_than_the_other_one_accepts_at_the_same_moment";
    let Some((nodes, _dir)) = two_nodes(name).await else { return };
    nodes[0].execute(register("ada")).await.unwrap();
    let sent: (Direction, _, _) = (|other| ask("ada", &other), SENT_REQUESTS_MAX, Refusal::SentRequestsFull);
    let received: (Direction, _, _) =
        (|other| ask(&other, "ada"), RECEIVED_REQUESTS_MAX, Refusal::ReceivedRequestsFull);
    for (request, max, full) in [sent, received] {
        let requests = |node: usize, from: usize, to: usize| {
            (from..to).map(|number| request(format!("{max}-{node}-{number}"))).collect::<Vec<_>>()
        };
        let mut waiting = 0;
        while waiting < max - ROOM {
            let (from, to) = (waiting / 2, waiting / 2 + ROOM.min(max - ROOM - waiting) / 2);
            let [one, two] = [0, 1].map(|node| asked_at_once(&nodes[node], requests(node, from, to), full.clone()));
            let (one, two) = tokio::join!(one, two);
            waiting += one + two;
        }
        assert_eq!(waiting, max - ROOM);
        for node in &nodes {
            node.engine().caught_up(&app_id()).await.unwrap();
        }
        let [one, two] =
            [0, 1].map(|node| asked_at_once(&nodes[node], requests(node, max, max + 2 * ROOM), full.clone()));
        let (one, two) = tokio::join!(one, two);
        waiting += one + two;
        println!("{waiting} wait where {max} may");
        assert!((max..=max + ROOM).contains(&waiting), "{waiting} of {max}");
        for node in &nodes {
            assert!(is_refused(node, request(format!("{max}-late")), full.clone()).await);
        }
    }
    nodes.into_iter().for_each(Running::stop);
}
