//! A primary with a synchronous standby, under load, when the primary hangs, dies or is switched over: nothing that was
//! acknowledged is lost, one userId is one person, and the service goes on with the new primary alone.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{EventLog as _, Outcome};

use super::history::{append, item};
use crate::support::relay::Relay;
use crate::support::transit::{TOKEN, Transit};
use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;
const CALLERS: usize = 20;
/// How long a caller waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Far longer than it takes: what is measured is printed.
const GO_ON_MAX: Duration = Duration::from_secs(30);

/// A primary whose commits wait for its standby.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    name: String,
}

impl Pair {
    fn start() -> Self {
        let primary = Cluster::start();
        let standby = primary.standby();
        primary.wait_for_standby();
        let name = primary.database();
        Self { primary, standby, name }
    }

    fn address(&self) -> String {
        format!("host={},{} user=rollcall dbname={}", self.primary.path(""), self.standby.path(""), self.name)
    }

    /// Nothing reaches the primary before, which lives: nobody connects to it to ask it for something, and its log does not
    /// grow.
    fn is_left(&self, primary: &Cluster) {
        let head = || primary.sql(&self.name, "select coalesce(max(position), 0) from rollcall_log.event");
        let before = head();
        std::thread::sleep(Duration::from_secs(4));
        let connected = "select count(*) from pg_stat_activity where application_name = 'rollcall'
            and backend_start > now() - interval '2 s'";
        assert_eq!((primary.sql(&self.name, connected), head()), ("0".to_owned(), before));
    }
}

fn serve(address: &str) -> (Service, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::launch_node(&dir.path().join("data"), &[APP], &[], &["--database", address]).unwrap();
    (service, dir)
}

/// Callers that register one person after another, each until it is acknowledged.
struct Callers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<(Instant, String)>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Callers {
    /// Each asks one of these nodes.
    fn start(nodes: &[SocketAddr]) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<_>>>::default());
        let threads = (0..CALLERS).map(|caller| {
            let (stop, acknowledged, address) = (stop.clone(), acknowledged.clone(), nodes[caller % nodes.len()]);
            std::thread::spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let user = format!("{caller}-{number}");
                    let until = Instant::now() + 4 * GO_ON_MAX;
                    while !Service::registers_within(PATIENCE, address, APP, &user) {
                        assert!(Instant::now() < until, "{user} is never registered");
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    acknowledged.lock().unwrap().push((Instant::now(), user));
                }
            })
        });
        Self { threads: threads.collect(), stop, acknowledged }
    }

    /// How long after a moment the first call was answered well.
    fn go_on_after(&self, moment: Instant) -> Duration {
        loop {
            let first = self.acknowledged.lock().unwrap().iter().map(|(at, _)| *at).find(|at| *at > moment);
            if let Some(first) = first {
                return first - moment;
            }
            assert!(moment.elapsed() < GO_ON_MAX, "no call was answered for {GO_ON_MAX:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops them, and looks whether everybody who was acknowledged is there, once.
    fn finish(self, service: &Service, primary: &Cluster, database: &str) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let acknowledged = self.acknowledged.lock().unwrap();
        let users: HashSet<_> = acknowledged.iter().map(|(_, user)| user.as_str()).collect();
        let count = |sql: &str| primary.sql(database, sql).parse::<usize>().unwrap();
        let registered = "select count(distinct stream) from rollcall_log.event where name = 'user.registered'";
        assert_eq!(count(registered), users.len(), "one userId is one person");
        service.eventually("the read models hold everybody", |_| {
            count("select count(*) from rollcall_read.user_directory_v2") == users.len()
        });
        assert_eq!(count("select count(*) from rollcall_read.store_parked"), 0);
        for user in users.iter().step_by(users.len() / 20 + 1) {
            service.post(APP, "/user/info.json", &[("userId", user)]).ok();
        }
    }
}

fn print(what: &str, since: Duration) {
    eprintln!("measured: {what}: answers again after {:.2} s", since.as_secs_f64());
}

#[test]
fn a_primary_that_hangs_is_left_for_the_standby_that_was_promoted_and_is_not_gone_back_to() {
    let pair = Pair::start();
    let (service, _dir) = serve(&pair.address());
    let callers = Callers::start(&[service.address]);
    callers.go_on_after(Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    pair.primary.freeze();
    std::thread::sleep(Duration::from_secs(5));
    let before = Instant::now();
    pair.standby.promote();
    print("promotion of the standby of a primary that hangs, from its begin", callers.go_on_after(before));
    pair.primary.thaw();
    pair.is_left(&pair.primary);
    callers.go_on_after(Instant::now());
    callers.finish(&service, &pair.standby, &pair.name);
    assert!(service.errors().contains("does not answer; its connections are closed"), "{}", service.errors());
}

/// Shorter than any wait: nothing falls silent for long, and the primary before goes on as if nothing had been.
#[test]
fn a_primary_that_hangs_for_a_moment_only_is_left_all_the_same_once_its_standby_was_promoted() {
    let pair = Pair::start();
    let (service, _dir) = serve(&pair.address());
    let callers = Callers::start(&[service.address]);
    callers.go_on_after(Instant::now());
    pair.primary.freeze();
    let before = Instant::now();
    pair.standby.promote();
    pair.primary.thaw();
    print("promotion of the standby of a primary that goes on", callers.go_on_after(before));
    pair.is_left(&pair.primary);
    callers.finish(&service, &pair.standby, &pair.name);
    assert!(service.errors().contains("is on timeline 1"), "{}", service.errors());
}

#[test]
fn a_primary_that_is_killed_is_left_for_the_standby_that_was_promoted() {
    let pair = Pair::start();
    let (service, _dir) = serve(&pair.address());
    let callers = Callers::start(&[service.address]);
    callers.go_on_after(Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    pair.primary.kill();
    std::thread::sleep(Duration::from_secs(1));
    let before = Instant::now();
    pair.standby.promote();
    print("promotion of the standby of a primary that was killed, from its begin", callers.go_on_after(before));
    // It comes back as it was: it holds what it had not sent, and waits for no standby.
    std::fs::write(pair.primary.path("setting"), "fsync=off -c synchronous_standby_names=").unwrap();
    pair.primary.resume();
    pair.is_left(&pair.primary);
    callers.go_on_after(Instant::now());
    callers.finish(&service, &pair.standby, &pair.name);
}

#[test]
fn two_nodes_whose_keys_are_on_the_primary_too_go_on_with_the_standby_that_was_promoted() {
    let pair = Pair::start();
    let (transit, keys, dir) = (Transit::start(), pair.primary.database(), tempfile::tempdir().unwrap());
    let (database, vault) = (pair.address(), pair.address().replace(&pair.name, &keys));
    let settings = ["--database", &database, "--vault-database", &vault, "--root-cell", "transit:rollcall"];
    let environment = [format!("VAULT_ADDR={}", transit.address), format!("VAULT_TOKEN={TOKEN}")];
    let environment = ["env", &environment[0], &environment[1]];
    let node = |name: &str| Service::launch_node(&dir.path().join(name), &[APP], &environment, &settings).unwrap();
    let (one, two) = (node("one"), node("two"));
    let callers = Callers::start(&[one.address, two.address]);
    callers.go_on_after(Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    pair.primary.freeze();
    std::thread::sleep(Duration::from_secs(5));
    let before = Instant::now();
    pair.standby.promote();
    print("promotion of the standby of a primary that hangs, two nodes, from its begin", callers.go_on_after(before));
    callers.finish(&one, &pair.standby, &pair.name);
    assert_eq!(pair.standby.sql(&keys, "select generation > 0 from rollcall_vault.vault"), "t");
}

#[test]
fn after_a_switch_over_the_new_primary_is_used() {
    let pair = Pair::start();
    let (service, _dir) = serve(&pair.address());
    let callers = Callers::start(&[service.address]);
    callers.go_on_after(Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    pair.primary.stop("fast");
    let before = Instant::now();
    pair.standby.promote();
    print("switch-over, from the begin of the promotion", callers.go_on_after(before));
    callers.finish(&service, &pair.standby, &pair.name);
}

#[test]
fn connections_that_fell_silent_are_left_where_new_ones_would_be_answered() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let relay = Relay::start(cluster.path(".s.PGSQL.5432"), "");
    let (service, _dir) = serve(&relay.address(&name));
    let callers = Callers::start(&[service.address]);
    callers.go_on_after(Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    relay.fall_silent();
    // Something is said on each of them meanwhile.
    std::thread::sleep(Duration::from_secs(1));
    relay.speak();
    print("open connections that fell silent, from when new ones work", callers.go_on_after(Instant::now()));
    callers.finish(&service, &cluster, &name);
}

/// The server answers such a commit as if it were whole, and a look at the log finds it; but no other server has it.
#[test]
fn an_append_that_is_not_on_the_standby_is_not_acknowledged_whatever_cuts_its_wait_short() {
    let pair = Pair::start();
    let database: Database =
        format!("host={} user=rollcall dbname={}", pair.primary.path(""), pair.name).parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = Arc::new(Postgres::open(&database, Mode::Append).await.unwrap());
        append(log.as_ref(), "s", 0).await;
        for (revision, cut) in [(1, "pg_cancel_backend"), (2, "pg_terminate_backend")] {
            pair.standby.freeze();
            let mut appended = tokio::spawn({
                let log = log.clone();
                async move { log.append(vec![item("s", revision, 1)]).await }
            });
            let waiting = "from pg_stat_activity where wait_event = 'SyncRep' and backend_type = 'client backend'";
            let count = format!("select count(*) {waiting}");
            while pair.primary.sql(&pair.name, &count) != "1" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            pair.primary.sql(&pair.name, &format!("select {cut}(pid) {waiting}"));
            let there = format!("select count(*) from rollcall_log.event where revision = {}", revision + 1);
            while pair.primary.sql(&pair.name, &there) != "1" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let early = tokio::time::timeout(Duration::from_secs(1), &mut appended).await;
            assert!(early.is_err(), "{cut}: {early:?}");
            pair.standby.thaw();
            let outcomes = appended.await.unwrap().unwrap();
            let at = revision + 1;
            assert_eq!(outcomes, [Outcome::Appended { first: at, last: at }], "{cut}");
            // It has it, and shows it a moment later.
            while pair.standby.try_sql(&pair.name, &there).as_deref() != Ok("1") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
}

#[test]
fn a_service_whose_primary_waits_for_no_standby_says_so_when_it_starts() {
    let primary = Cluster::start();
    let standby = primary.standby();
    let pair = Pair { name: primary.database(), primary, standby };
    let said = "its primary waits for no standby (synchronous_standby_names is empty)";
    let (service, _dir) = serve(&pair.address());
    service.eventually("the warning", |service| service.errors().contains(said));
    drop(service);
    pair.primary.wait_for_standby();
    let pair = Pair { name: pair.primary.database(), ..pair };
    let (service, _dir) = serve(&pair.address());
    service.register(APP, &["ada"]);
    assert!(!service.errors().contains(said), "{}", service.errors());
}

#[test]
fn a_process_that_starts_while_the_primary_before_takes_writes_uses_the_new_one() {
    let pair = Pair::start();
    pair.standby.promote();
    let database: Database = pair.address().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = database.connect(None).await.unwrap();
        let directory: String = client.query_one("show data_directory", &[]).await.unwrap().get(0);
        assert_eq!(directory, pair.standby.path("data"));
        let alone: Database = pair.address().replace(&format!(",{}", pair.standby.path("")), "").parse().unwrap();
        alone.connect(None).await.unwrap();
    });
}
