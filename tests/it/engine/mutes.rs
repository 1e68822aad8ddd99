//! A mute that ends by itself ends once, whoever records it and however often the service starts.

use chrono::TimeDelta;
use rollcall::domain::user::ExpireMute;
use rollcall::domain::values::MuteMinutes;
use rollcall::engine::admission::Rule;
use rollcall::engine::expiry;
use rollcall_projections::mutes;

use super::{Arc, Change, ChangeUsers, Environment, Running, SubjectRef, app_id, friendship, register, user_id};

const MUTED: &str = "user.direct_messages_muted";
const UNMUTED: &str = "user.direct_messages_unmuted";
const EXPIRED: &str = "user.direct_messages_mute_expired";

fn mute(minutes: i64) -> ChangeUsers {
    Change::MuteDirectMessages(Some(MuteMinutes::new(minutes).unwrap())).of(vec![user_id("ada")])
}

fn unmute() -> ChangeUsers {
    Change::UnmuteDirectMessages.of(vec![user_id("ada")])
}

fn advance(nodes: &[Running], by: TimeDelta) {
    nodes.iter().for_each(|node| node.engine().clock().advance(by));
}

/// How often each of these stands in the log.
async fn recorded(node: &Running) -> [usize; 3] {
    // What the other node appended as well.
    node.engine().all_applied().await.unwrap();
    let mut counts = [0; 3];
    for (count, name) in counts.iter_mut().zip([MUTED, UNMUTED, EXPIRED]) {
        *count = node.events(name).await.len();
    }
    counts
}

/// Runs the sweeper until so many ends are recorded.
async fn swept(node: &Running, expired: usize) {
    let stop = tokio_util::sync::CancellationToken::new();
    let sweeper = tokio::spawn(expiry::run(node.engine(), stop.clone()));
    for _ in 0..3_000 {
        node.engine().all_applied().await.unwrap();
        let due = mutes::due(&node.data.read, node.engine().now(), 10).await.unwrap();
        if due.is_empty() && recorded(node).await[2] >= expired {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stop.cancel();
    sweeper.await.unwrap();
    assert_eq!(recorded(node).await[2], expired);
}

async fn rule(node: &Running) -> Option<Rule> {
    let pair = [(user_id("ada"), user_id("bob"))];
    let denied = node.engine().admission(&app_id(), &pair).await.unwrap();
    denied[0].as_ref().map(|denial| denial.rule)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_stands_against_messages_until_the_clock_ends_it_whoever_was_admitted_before() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::create(dir.path(), Environment::Production).await;
    for user in ["ada", "bob"] {
        node.execute(register(user)).await.unwrap();
    }
    assert_eq!(rule(&node).await, None);
    node.execute(mute(5)).await.unwrap();
    assert_eq!(rule(&node).await, Some(Rule::SenderMuted));
    // Nobody records the end here: the clock alone tells.
    node.engine().clock().advance(TimeDelta::minutes(5));
    assert_eq!(rule(&node).await, None);
    let total = async |node: &Running| mutes::total(&node.data.read, &app_id(), node.engine().now()).await.unwrap();
    assert_eq!((total(&node).await, mutes::due(&node.data.read, node.engine().now(), 9).await.unwrap().len()), (0, 1));
    node.execute(mute(5)).await.unwrap();
    assert_eq!((rule(&node).await, total(&node).await), (Some(Rule::SenderMuted), 1));
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_mute_is_recorded_once_across_restarts_and_clocks_that_jump() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Running::create(dir.path(), Environment::Production).await;
    node.execute(register("ada")).await.unwrap();
    node.execute(mute(5)).await.unwrap();
    node = node.reopen(dir.path()).await;
    assert_eq!(recorded(&node).await, [1, 0, 0]);
    node.engine().clock().advance(TimeDelta::days(400));
    swept(&node, 1).await;
    // The next run has the clock of the machine again: it went back by a year and more.
    node = node.reopen(dir.path()).await;
    swept(&node, 1).await;
    assert_eq!(mute_of(&node, "ada").await, None);
    node.execute(mute(1)).await.unwrap();
    node.execute(mute(60)).await.unwrap();
    node.engine().clock().advance(TimeDelta::minutes(2));
    swept(&node, 1).await;
    node.execute(unmute()).await.unwrap();
    node.engine().clock().advance(TimeDelta::minutes(60));
    swept(&node, 1).await;
    assert_eq!(recorded(&node).await, [3, 1, 1]);
    node.stop();
}

/// The mute of a user, as the read model has it.
async fn mute_of(node: &Running, user: &str) -> Option<mutes::Mute> {
    node.engine().caught_up(&app_id()).await.unwrap();
    let subject: SubjectRef = node.engine().find(&app_id(), &user_id(user)).await.unwrap().unwrap();
    mutes::of(&node.data.read, subject).await.unwrap()
}

/// Both nodes end the same mute at the same moment, and one of them while the other one lifts it.
async fn has_one_end(nodes: &[Running]) {
    let subject = nodes[0].execute(register("ada")).await.unwrap().reply.token.subject;
    for round in 1..=8 {
        nodes[round % 2].execute(mute(5)).await.unwrap();
        advance(nodes, TimeDelta::minutes(6));
        let (one, other) = (nodes[0].engine(), nodes[1].engine());
        let ends = |engine: Arc<rollcall::engine::Engine>| async move {
            let caller = super::caller();
            engine.execute(&caller, ExpireMute(subject)).await.map(|_| ())
        };
        let lifts = async {
            let done = if round % 2 == 0 { nodes[1].execute(unmute()).await.map(|_| ()) } else { Ok(()) };
            done.unwrap();
        };
        let (first, second, ()) = tokio::join!(ends(one), ends(other), lifts);
        first.unwrap();
        second.unwrap();
        assert_eq!(recorded(&nodes[0]).await, [round, 0, round], "its time was over: nothing was left to lift");
    }
}

/// A process of its own runs the nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_that_two_nodes_end_at_once_ends_once() {
    let name = "engine::mutes::a_mute_that_two_nodes_end_at_once_ends_once";
    let Some((nodes, _dir)) = friendship::two_nodes(name).await else { return };
    has_one_end(&nodes).await;
    nodes.into_iter().for_each(Running::stop);
}
