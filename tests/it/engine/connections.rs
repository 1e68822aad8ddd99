//! What those who are connected are told, and who of them is cut, with a clock that is moved.

use chrono::TimeDelta;
use futures_util::future::poll_immediate;
use rollcall::domain::ban::{Ban, Length, Over, Term};
use rollcall::domain::erasure::{self, Erase};
use rollcall::domain::friendship::Befriend;
use rollcall::domain::token::Invalidate;
use rollcall::engine::expiry::Rounds;
use rollcall::live::change::Change;
use rollcall::live::check::check;
use rollcall::live::close::Close;
use rollcall::live::presence::{Platform, Timing};
use rollcall::live::registry::{Newcomer, Push, Registry};
use rollcall::live::{Live, Online, follower};
use rollcall_schemas::plain::{ClientRules, RequestState, Scope};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Arc, Environment, IssuedToken, Running, app, app_id, user_id};

fn live(running: &Running) -> Arc<Live> {
    running.data.live(running.engine(), Registry::default(), Timing::DEFAULT).unwrap()
}

async fn enter(live: &Live, running: &Running, token: IssuedToken) -> (Online, mpsc::Receiver<Push>) {
    let app = running.engine().app(app_id().as_str()).unwrap();
    let newcomer = Newcomer { app, token, platform: Platform::Web, since: running.engine().now() };
    live.enter(newcomer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_stay_is_cut_by_the_next_look_where_the_signal_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let engine = running.engine();
    // Nobody follows the log for these connections: whatever signal there is, is lost.
    let live = live(&running);
    let mut connected = vec![];
    for user in ["banned", "deactivated", "forgotten", "invalid", "expired", "stays"] {
        let mut token = running.register(user).await;
        if user == "expired" {
            token.expires_at = Some(engine.now() + TimeDelta::hours(1));
        }
        connected.push((user, enter(&live, &running, token).await.0));
    }
    let closes = async || {
        engine.caught_up(&app_id()).await.unwrap();
        check(&live).await;
        let closed = connected.iter().filter_map(|(user, online)| Some((*user, online.connection.closes_with()?)));
        closed.collect::<Vec<_>>()
    };
    assert_eq!(closes().await, []);

    let who = |user: &str| vec![user_id(user)];
    let term = Term { starts_at: None, length: Length::Permanent };
    running.execute(Ban { who: who("banned"), term, reason: None, note: None, over: Over::Any }).await.unwrap();
    for (user, scope) in [("deactivated", Scope::Deactivate), ("forgotten", Scope::Forget)] {
        running.execute(Erase { who: who(user), scope, request: erasure::Request::default() }).await.unwrap();
    }
    running.erase().await;
    engine.clock().advance(TimeDelta::seconds(2));
    running.execute(Invalidate { who: who("invalid"), before: engine.now() }).await.unwrap();
    let gone = [("banned", Close::BANNED_NOW), ("deactivated", Close::DEACTIVATED), ("forgotten", Close::DEACTIVATED)];
    assert_eq!(closes().await, gone, "a token that is made invalid ends no connection unless the app asks for it");
    engine.clock().advance(TimeDelta::hours(1));
    let rules = ClientRules { invalidation_cuts: true, ..ClientRules::default() };
    running.operate(app::Command::SetClientRules(rules)).await;
    let more = [("invalid", Close::TOKEN_NOT_VALID), ("expired", Close::TOKEN_EXPIRED)];
    assert_eq!(closes().await, [&gone[..], &more].concat());
    drop((connected, live, engine));
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_request_lapsed_is_told_once_to_both_who_are_connected() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let (engine, live, stop) = (running.engine(), live(&running), CancellationToken::new());
    let [ada, bob] = [running.register("ada").await, running.register("bob").await];
    let subjects = [ada.subject, bob.subject];
    let mut both = [enter(&live, &running, ada).await, enter(&live, &running, bob).await];
    let mut follows = Box::pin(follower::run(live.clone(), stop.clone()));
    // From here on it tells what is recorded.
    assert!(poll_immediate(&mut follows).await.is_none());
    let follows = tokio::spawn(follows);
    let ask = || Befriend { who: user_id("ada"), target: user_id("bob"), direct: false, text: None };
    running.execute(ask()).await.unwrap();
    engine.clock().advance(TimeDelta::days(7));
    let mut rounds = Rounds::default();
    for _ in 0..2 {
        engine.caught_up(&app_id()).await.unwrap();
        rounds.round(&engine).await;
    }
    running.execute(ask()).await.unwrap();
    for (side, (_, pushes)) in both.iter_mut().enumerate() {
        let (other, sent) = (subjects[1 - side], side == 0);
        let mut told = vec![];
        for _ in 0..3 {
            let Some(Push::Notice(notice)) = pushes.recv().await else { panic!("it is told nothing more") };
            told.push(notice.change.clone());
        }
        assert!(matches!(told[0], Change::FriendRequested { .. }), "{told:?}");
        assert_eq!(told[1], Change::FriendRequestEnded { other, how: RequestState::Expired, sent });
        assert!(matches!(told[2], Change::FriendRequested { .. }), "once: {told:?}");
    }
    stop.cancel();
    follows.await.unwrap();
    drop((both, live, engine));
    running.stop();
}
