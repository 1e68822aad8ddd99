//! Friend requests against a model: whatever two users do, one after the other or at once, on one node or on two, each
//! request has one end, and both sides see the same.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::test_runner::TestRunner;
use rollcall::domain::DynCommand;
use rollcall::domain::blocklist::{Block, Unblock};
use rollcall::domain::erasure::{self, Erase};
use rollcall::domain::friendship::{Answer, AnswerRequest, Befriend, ExpireRequest, Unfriend};
use rollcall::wiring::{KeyOptions, LogPlace, places};
use rollcall_projections::friend_graph::{self, Direction, Request};
use rollcall_projections::{blocklists, user_settings};
use rollcall_schemas::ids::{FriendRequestId, Pair};
use rollcall_schemas::plain::{FriendPermission, RequestState, Scope};

use super::{
    Arc, Change, Environment, Error, Limits, Place, Refusal, Running, Stream, SubjectRef, app_id, caller, register,
    user_id,
};
use crate::support::Cluster;
use crate::support::transit::{TOKEN, Transit};

/// One of the two users.
type Side = usize;

#[derive(Debug, Clone, Copy)]
enum Act {
    Ask(Side),
    Add(Side),
    /// Answers the latest request, or the one before.
    Answer(Side, Answer, usize),
    Remove(Side),
    Block(Side),
    Unblock(Side),
    Permit(Side, FriendPermission),
    Expire,
}

/// What is done next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Do(Act),
    /// Both at the same moment, on different nodes where there are two.
    AtOnce(Act, Act),
    Later(i64),
}

fn act() -> impl Strategy<Value = Act> {
    let side = 0..2_usize;
    let answer = prop_oneof![3 => Just(Answer::Accept), 2 => Just(Answer::Refuse), 2 => Just(Answer::Cancel)];
    let permission =
        prop_oneof![Just(FriendPermission::Anyone), Just(FriendPermission::Approval), Just(FriendPermission::Nobody)];
    prop_oneof![
        6 => side.clone().prop_map(Act::Ask),
        1 => side.clone().prop_map(Act::Add),
        8 => (side.clone(), answer, prop_oneof![5 => Just(0_usize), 1 => Just(1)]).prop_map(|(s, a, back)| Act::Answer(s, a, back)),
        3 => side.clone().prop_map(Act::Remove),
        1 => side.clone().prop_map(Act::Block),
        2 => side.clone().prop_map(Act::Unblock),
        1 => (side, permission).prop_map(|(side, permission)| Act::Permit(side, permission)),
        3 => Just(Act::Expire),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => act().prop_map(Step::Do),
        3 => (act(), act()).prop_map(|(one, other)| Step::AtOnce(one, other)),
        1 => any::<bool>().prop_map(|week| Step::Later(if week { 7 } else { 3 })),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    from: Side,
    /// Days after the beginning.
    expires: i64,
    state: RequestState,
}

/// What the two are to each other, told in the plainest way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    day: i64,
    friends: bool,
    blocks: [bool; 2],
    permission: [FriendPermission; 2],
    requests: Vec<Asked>,
}

impl Model {
    fn new() -> Self {
        let permission = [FriendPermission::Approval; 2];
        Self { day: 0, friends: false, blocks: [false; 2], permission, requests: vec![] }
    }

    fn expire(&mut self) {
        for request in &mut self.requests {
            if request.state == RequestState::Pending && request.expires <= self.day {
                request.state = RequestState::Expired;
            }
        }
    }

    fn pending(&mut self) -> Option<&mut Asked> {
        self.requests.iter_mut().find(|request| request.state == RequestState::Pending)
    }

    fn end(&mut self, state: RequestState) {
        if let Some(request) = self.pending() {
            request.state = state;
        }
    }

    fn befriend(&mut self) {
        self.friends = true;
        self.end(RequestState::Accepted);
    }

    fn blocked(&self, who: Side) -> Result<(), Refusal> {
        if self.blocks[1 - who] {
            Err(Refusal::TargetBlocks)
        } else if self.blocks[who] {
            Err(Refusal::BlocksTarget)
        } else {
            Ok(())
        }
    }

    fn act(&mut self, act: Act) -> Result<(), Refusal> {
        self.expire();
        match act {
            Act::Ask(who) => self.ask(who)?,
            Act::Add(_) if self.friends => return Err(Refusal::AlreadyFriends),
            Act::Add(_) => self.befriend(),
            Act::Answer(who, answer, back) => self.answer(who, answer, back)?,
            Act::Remove(_) => self.friends = false,
            Act::Block(who) => {
                self.blocks[who] = true;
                if let Some(request) = self.pending() {
                    request.state = if request.from == who { RequestState::Cancelled } else { RequestState::Refused };
                }
            }
            Act::Unblock(who) => self.blocks[who] = false,
            Act::Permit(who, permission) => self.permission[who] = permission,
            Act::Expire => {}
        }
        Ok(())
    }

    fn ask(&mut self, who: Side) -> Result<(), Refusal> {
        self.blocked(who)?;
        if self.friends {
            return Err(Refusal::AlreadyFriends);
        }
        let permission = self.permission[1 - who];
        match (self.pending().map(|request| request.from), permission) {
            (Some(from), _) if from != who => self.befriend(),
            (_, FriendPermission::Anyone) => self.befriend(),
            (_, FriendPermission::Nobody) => return Err(Refusal::TargetRefusesAll),
            (Some(_), FriendPermission::Approval) => {}
            (None, FriendPermission::Approval) => {
                self.requests.push(Asked { from: who, expires: self.day + 7, state: RequestState::Pending });
            }
        }
        Ok(())
    }

    fn answer(&mut self, who: Side, answer: Answer, back: usize) -> Result<(), Refusal> {
        let Some(at) = self.requests.len().checked_sub(1 + back) else { return Err(Refusal::NoSuchFriendRequest) };
        let request = self.requests[at];
        let (decides, end) = match answer {
            Answer::Accept => (1 - request.from, RequestState::Accepted),
            Answer::Refuse => (1 - request.from, RequestState::Refused),
            Answer::Cancel => (request.from, RequestState::Cancelled),
        };
        if who != decides {
            return Err(Refusal::OtherSideOfRequest);
        }
        match request.state {
            RequestState::Pending if answer == Answer::Accept => {
                self.blocked(who)?;
                self.befriend();
            }
            RequestState::Pending => self.requests[at].state = end,
            state if state == end => {}
            _ => return Err(Refusal::FriendRequestEnded),
        }
        Ok(())
    }
}

/// Two users, as the nodes know them.
struct Two<'n> {
    nodes: &'n [Running],
    names: [String; 2],
    subjects: [SubjectRef; 2],
    began_at: DateTime<Utc>,
}

impl<'n> Two<'n> {
    async fn register(nodes: &'n [Running]) -> Self {
        static CASE: AtomicU32 = AtomicU32::new(0);
        let case = CASE.fetch_add(1, Ordering::Relaxed);
        let names = [0, 1].map(|side| format!("user-{case}-{side}"));
        let mut subjects = vec![];
        for name in &names {
            subjects.push(nodes[0].execute(register(name)).await.unwrap().reply.token.subject);
        }
        Self { nodes, names, subjects: subjects.try_into().unwrap(), began_at: nodes[0].engine().now() }
    }

    async fn requests(&self, node: &Running, side: Side, directions: &[Direction]) -> Vec<Request> {
        node.engine().caught_up(&app_id()).await.unwrap();
        let read = &node.data.read;
        let filter = (directions, &RequestState::ALL[..]);
        friend_graph::requests(read, self.subjects[side], filter, None, 500).await.unwrap()
    }

    /// The command of an act; `None`: it is about a request that nobody made.
    async fn command(&self, node: &Running, act: Act) -> Option<Arc<dyn DynCommand>> {
        let who = |side: Side| user_id(&self.names[side]);
        Some(match act {
            Act::Ask(side) => Arc::new(Befriend { who: who(side), target: who(1 - side), direct: false, text: None }),
            Act::Add(side) => Arc::new(Befriend { who: who(side), target: who(1 - side), direct: true, text: None }),
            Act::Answer(side, answer, back) => {
                let all = self.requests(node, side, &[Direction::Sent, Direction::Received]).await;
                let request = all.get(back)?.id;
                Arc::new(AnswerRequest { who: who(side), request, answer })
            }
            Act::Remove(side) => Arc::new(Unfriend { who: who(side), targets: vec![who(1 - side)] }),
            Act::Block(side) => Arc::new(Block { owner: who(side), targets: vec![who(1 - side)] }),
            Act::Unblock(side) => Arc::new(Unblock { owner: who(side), targets: vec![who(1 - side)] }),
            Act::Permit(side, permission) => Arc::new(Change::PermitFriends(permission).of(vec![who(side)])),
            Act::Expire => Arc::new(ExpireRequest { from: self.subjects[0], to: self.subjects[1] }),
        })
    }

    /// What is left of the model, seen from each side on each node.
    async fn is_seen(&self, model: &Model) -> bool {
        let mut model = model.clone();
        model.expire();
        for node in self.nodes {
            let mut sides = vec![];
            for side in [0, 1] {
                sides.push(self.requests(node, side, &[Direction::Sent, Direction::Received]).await);
            }
            assert_eq!(sides[0], sides[1], "both sides see the same");
            let now = node.engine().now();
            let seen = sides[0].iter().rev().map(|request| Asked {
                from: usize::from(request.from == self.subjects[1]),
                expires: (request.expires_at - self.began_at).num_days(),
                state: request.state_at(now),
            });
            let friends = friend_graph::among(&node.data.read, self.subjects[0], &[self.subjects[1]]).await.unwrap();
            // Of two acts at once about a list or a setting, it alone tells which came first.
            let pairs = [(self.subjects[0], self.subjects[1]), (self.subjects[1], self.subjects[0])];
            let blocked = blocklists::entries(&node.data.read, &pairs).await.unwrap();
            let blocks = [blocked[0].is_some(), blocked[1].is_some()];
            let settings = user_settings::of_subjects(&node.data.read, &self.subjects).await.unwrap();
            let permission =
                [0, 1].map(|side: usize| settings[side].friend_permission.unwrap_or(FriendPermission::Approval));
            if (seen.collect::<Vec<_>>(), friends[0].is_some(), blocks, permission)
                != (model.requests.clone(), model.friends, model.blocks, model.permission)
            {
                return false;
            }
        }
        true
    }

    async fn take(&self, model: &mut Model, number: usize, step: Step) {
        let node = |number: usize| &self.nodes[number % self.nodes.len()];
        match step {
            Step::Later(days) => {
                self.nodes.iter().for_each(|node| node.engine().clock().advance(TimeDelta::days(days)));
                model.day += days;
            }
            Step::Do(act) => {
                let done = run(node(number), self.command(node(number), act).await).await;
                assert_eq!(done, model.act(act), "{act:?} of {model:?}");
                assert!(self.is_seen(model).await, "after {act:?}: {model:?}");
            }
            Step::AtOnce(one, other) => {
                let (first, second) = (self.command(node(0), one).await, self.command(node(1), other).await);
                let done = tokio::join!(run(node(0), first), run(node(1), second));
                let mut orders = [model.clone(), model.clone()];
                let requests = model.requests.len();
                let mut told = vec![];
                for (order, model) in orders.iter_mut().enumerate() {
                    let [first, second] = if order == 0 { [one, other] } else { [other, one] };
                    let first_told = model.act(first);
                    // An act names the request that was the latest before both began.
                    let second_told = model.act(shifted(second, model.requests.len() - requests));
                    told.push(if order == 0 { (first_told, second_told) } else { (second_told, first_told) });
                }
                for (told, order) in told.iter().zip(orders) {
                    if *told == done && self.is_seen(&order).await {
                        *model = order;
                        return;
                    }
                }
                panic!("{one:?} and {other:?} at once are {done:?}, not one of {told:?}, after {model:?}");
            }
        }
    }
}

/// The same act once so many more requests were made.
fn shifted(act: Act, more: usize) -> Act {
    if let Act::Answer(side, answer, back) = act { Act::Answer(side, answer, back + more) } else { act }
}

async fn run(node: &Running, command: Option<Arc<dyn DynCommand>>) -> Result<(), Refusal> {
    let Some(command) = command else { return Err(Refusal::NoSuchFriendRequest) };
    match node.engine().execute_any(&caller(), command.as_ref()).await {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// How often each event of the pair stands in the log.
async fn recorded(two: &Two<'_>, name: &str) -> usize {
    let pair = Stream::Friendship(Pair::of(two.subjects[0], two.subjects[1]).unwrap()).to_string();
    let events = two.nodes[0].data.log.read_stream(&pair, 0, 10_000).await.unwrap();
    events.iter().filter(|event| event.name == name).count()
}

async fn is_as_the_model_says(nodes: &[Running], steps: &[Step]) {
    let two = Two::register(nodes).await;
    let mut model = Model::new();
    for (number, step) in steps.iter().enumerate() {
        two.take(&mut model, number, *step).await;
    }
    // Once the time of all is over, each has ended, and its end is recorded once.
    let last = [Step::Later(7), Step::AtOnce(Act::Expire, Act::Expire), Step::Do(Act::Expire)];
    for (number, step) in last.into_iter().enumerate() {
        two.take(&mut model, number, step).await;
    }
    assert_eq!(recorded(&two, "friendship.requested").await, model.requests.len());
    for state in RequestState::ALL {
        let ended = model.requests.iter().filter(|request| request.state == state).count();
        assert_eq!(recorded(&two, &format!("friendship.{}", state.as_str())).await, ended, "{state:?}");
    }
}

fn whatever_is_done(nodes: &[Running], cases: u32) {
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let run = TestRunner::new(config).run(&vec(step(), 1..24), |steps| {
            runtime.block_on(is_as_the_model_says(nodes, &steps));
            Ok(())
        });
        run.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_one_end_whatever_both_sides_do() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = [Running::create(dir.path(), Environment::Production).await];
    whatever_is_done(&nodes, 60);
    nodes.into_iter().for_each(Running::stop);
}

/// Names the databases of log and keys to the process that runs the two nodes.
const DATABASES: &str = "ROLLCALL_TEST_ENGINE_NODES";

/// Two nodes over databases of their own. Where a node keeps its root is in the environment alone, so that they run in a process
/// of their own, which does the test of that name; `None`: it has done it.
pub(super) async fn two_nodes(test: &str) -> Option<([Running; 2], tempfile::TempDir)> {
    let Ok(databases) = std::env::var(DATABASES) else {
        let (cluster, transit) = (Cluster::start_with("max_connections=200"), Transit::start());
        let databases = [cluster.database(), cluster.database()].map(|name| cluster.address(&name)).join(";");
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", test]).env(DATABASES, databases);
        let done = again.env("VAULT_ADDR", &transit.address).env("VAULT_TOKEN", TOKEN).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(
            done.status.success() && said.contains("1 passed"),
            "{said}\n{}",
            String::from_utf8_lossy(&done.stderr)
        );
        return None;
    };
    let (log, keys) = databases.split_once(';').unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = |node: &str| Place {
        dir: dir.path().join(node),
        keys: KeyOptions {
            database: Some(keys.parse().unwrap()),
            cell: places::root_cell("transit:rollcall").unwrap(),
            ..KeyOptions::default()
        },
        log: LogPlace::of(None, Some(log.parse().unwrap())).unwrap(),
    };
    let one = Running::create_at(&place("one"), Environment::Production).await;
    let two = Running::open_at(&place("two"), Limits::default(), |log| log).await;
    two.engine().reload_apps().await.unwrap();
    Some(([one, two], dir))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_one_end_on_two_nodes_too() {
    let name = "engine::friendship::each_request_has_one_end_on_two_nodes_too";
    let Some((nodes, _dir)) = two_nodes(name).await else { return };
    whatever_is_done(&nodes, 16);
    nodes.into_iter().for_each(Running::stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_somebody_who_is_erased_end_once_and_are_shown_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = [Running::create(dir.path(), Environment::Production).await];
    for (gone, forget) in [(0, false), (1, false), (0, true), (1, true)] {
        let two = Two::register(&nodes).await;
        let mut model = Model::new();
        two.take(&mut model, 0, Step::Do(Act::Ask(0))).await;
        two.take(&mut model, 0, Step::Do(Act::Answer(1, Answer::Refuse, 0))).await;
        two.take(&mut model, 0, Step::Do(Act::Ask(0))).await;
        let id: FriendRequestId = two.requests(&nodes[0], 1, &[Direction::Received]).await[0].id;
        let scope = if forget { Scope::Forget } else { Scope::Deactivate };
        let who = vec![user_id(&two.names[gone])];
        nodes[0].execute(Erase { who, scope, request: erasure::Request::default() }).await.unwrap();
        nodes[0].erase().await;
        let accept = AnswerRequest { who: user_id(&two.names[1 - gone]), request: id, answer: Answer::Accept };
        let accepted = nodes[0].execute(accept).await;
        assert!(matches!(accepted, Err(Error::Refused(Refusal::NoSuchFriendRequest))), "{accepted:?}");
        for side in [0, 1] {
            assert_eq!(two.requests(&nodes[0], side, &[Direction::Sent, Direction::Received]).await, []);
        }
        nodes[0].engine().clock().advance(TimeDelta::days(7));
        let expire = ExpireRequest { from: two.subjects[0], to: two.subjects[1] };
        nodes[0].execute(expire).await.unwrap();
        assert_eq!((recorded(&two, "friendship.ended").await, recorded(&two, "friendship.expired").await), (1, 0));
    }
    nodes.into_iter().for_each(Running::stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_itself_records_that_requests_lapsed() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = [Running::create(dir.path(), Environment::Production).await];
    let two = Two::register(&nodes).await;
    two.take(&mut Model::new(), 0, Step::Do(Act::Ask(0))).await;
    let engine = nodes[0].engine();
    let sweeper = tokio::spawn(rollcall::engine::expiry::run(engine.clone(), nodes[0].service.stopping()));
    engine.clock().advance(TimeDelta::days(7));
    for _ in 0..3_000 {
        if recorded(&two, "friendship.expired").await > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(recorded(&two, "friendship.expired").await, 1);
    assert!(friend_graph::due(&nodes[0].data.read, engine.now(), 10).await.is_ok());
    nodes.into_iter().for_each(Running::stop);
    sweeper.await.unwrap();
}
