//! Several nodes over one log, one store of read models and one vault.

mod limits;
mod rebuilds;
mod refused;
mod snapshots;
mod stalled;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::openbao::{OpenBao, ROOT_TOKEN};
use crate::support::service::Reply;
use crate::support::transit::{TOKEN, Transit};
use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;

/// Where the root of the keys is.
enum Root {
    Double(Transit),
    Real(OpenBao),
}

/// What nodes share.
pub(crate) struct Given {
    /// Log and read models.
    cluster: Cluster,
    /// The keys.
    keys: Cluster,
    root: Root,
    dir: tempfile::TempDir,
    names: [String; 2],
}

impl Given {
    pub(crate) fn nothing() -> Self {
        let (cluster, keys) = (Cluster::start(), Cluster::start());
        let names = [cluster.database(), keys.database()];
        Self { cluster, keys, root: Root::Double(Transit::start()), dir: tempfile::tempdir().unwrap(), names }
    }

    fn over_a_real_vault() -> Self {
        Self { root: Root::Real(OpenBao::start()), ..Self::nothing() }
    }

    fn settings(&self) -> Vec<String> {
        let (database, vault) = (self.cluster.address(&self.names[0]), self.keys.address(&self.names[1]));
        let settings = ["--database", &database, "--vault-database", &vault, "--root-cell", "transit:rollcall"];
        settings.map(str::to_owned).to_vec()
    }

    fn variables(&self) -> [(&'static str, String); 2] {
        let (address, token) = match &self.root {
            Root::Double(transit) => (&transit.address, TOKEN),
            Root::Real(server) => (&server.address, ROOT_TOKEN),
        };
        [("VAULT_ADDR", address.clone()), ("VAULT_TOKEN", token.into())]
    }

    fn environment(&self) -> Vec<String> {
        let named = self.variables().map(|(name, value)| format!("{name}={value}"));
        [&["env".to_owned()][..], &named].concat()
    }

    /// Starts the node of that name.
    pub(crate) fn node(&self, name: &str, apps: &[App]) -> Service {
        self.try_node(name, apps).unwrap()
    }

    /// Starts the node of that name with more arguments.
    pub(crate) fn node_with(&self, name: &str, apps: &[App], args: &[&str]) -> Service {
        self.launch(name, apps, args).unwrap()
    }

    fn try_node(&self, name: &str, apps: &[App]) -> Result<Service, String> {
        self.launch(name, apps, &[])
    }

    fn launch(&self, name: &str, apps: &[App], args: &[&str]) -> Result<Service, String> {
        let (environment, mut settings) = (self.environment(), self.settings());
        settings.extend(args.iter().map(|arg| (*arg).to_owned()));
        let environment: Vec<_> = environment.iter().map(String::as_str).collect();
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        Service::launch_node(&self.dir.path().join(name), apps, &environment, &settings)
    }

    /// Runs a command as another node would.
    fn command(&self, args: &[&str]) -> std::process::Output {
        std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .args(args)
            .arg("--data-dir")
            .arg(self.dir.path().join("operator"))
            .args(self.settings())
            .envs(self.variables())
            .env("ROLLCALL_LOG", "warn")
            .output()
            .unwrap()
    }

    /// How many users the directory has.
    fn directory(&self) -> usize {
        self.cluster.sql(&self.names[0], "select count(*) from rollcall_read.user_directory_v2").parse().unwrap()
    }

    /// How many events of that name the log holds.
    fn recorded(&self, event: &str) -> usize {
        let sql = format!("select count(*) from rollcall_log.event where name = '{event}'");
        self.cluster.sql(&self.names[0], &sql).parse().unwrap()
    }
}

fn token(node: &Service, app: App, user: &str) -> Reply {
    node.post(app, "/user/getToken.json", &[("userId", user), ("name", user)])
}

fn name_of(node: &Service, user: &str) -> String {
    let info = node.post(APP, "/user/info.json", &[("userId", user)]).ok();
    info.json()["userName"].as_str().unwrap().to_owned()
}

fn rest(node: &Service, method: &str, path: &str, key: Option<&str>, body: &str) -> Reply {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    headers.extend(key.map(|key| ("Idempotency-Key".to_owned(), key.to_owned())));
    node.request(method, path, &headers, body.as_bytes())
}

#[test]
fn a_user_introduced_through_all_nodes_at_the_same_moment_is_one_user() {
    let given = Given::nothing();
    let nodes = [given.node("one", &[APP]), given.node("two", &[APP]), given.node("three", &[APP])];
    const USERS: usize = 60;
    let barrier = std::sync::Barrier::new(6);
    std::thread::scope(|scope| {
        for caller in 0..6 {
            let (barrier, node) = (&barrier, &nodes[caller % 3]);
            scope.spawn(move || {
                barrier.wait();
                for user in 0..USERS {
                    // Some are first heard of as somebody's friend, not by their registration.
                    if (user + caller) % 3 == 0 {
                        let (user, other) = (format!("u{user}"), format!("u{}", (user + 1) % USERS));
                        node.post(APP, "/user/blacklist/add.json", &[("userId", &user), ("blackUserId", &other)]);
                    }
                    token(node, APP, &format!("u{user}")).ok();
                }
            });
        }
    });
    assert_eq!(given.recorded("user.registered"), USERS);
    for node in &nodes {
        for user in 0..USERS {
            assert_eq!(name_of(node, &format!("u{user}")), format!("u{user}"));
        }
    }
    let directory = "select count(*), count(distinct tag) from rollcall_read.user_directory_v2";
    assert_eq!(given.cluster.sql(&given.names[0], directory), format!("{USERS}|{USERS}"));
    token(&nodes[0], APP, "alone").ok();
    assert_eq!(name_of(&nodes[1], "alone"), "alone");
    let claims = "select count(*) from rollcall_read.store_claim join rollcall_read.user_directory_v2 using (subject)
        where registered_position = (select max(registered_position) from rollcall_read.user_directory_v2)";
    assert_eq!(given.cluster.sql(&given.names[0], claims), "0", "a claim goes when its user is in the directory");
}

/// A node that asks again while another one's user arrives in the directory may claim what is there already.
#[test]
fn a_claim_that_came_too_late_does_not_keep_a_user_id_that_is_free_again() {
    let given = Given::nothing();
    let (one, other) = (given.node("one", &[APP]), given.node("two", &[APP]));
    token(&one, APP, "ada").ok();
    one.eventually("the directory has her", |_| given.directory() == 1);
    let late =
        "insert into rollcall_read.store_claim (tag, subject) select tag, subject from rollcall_read.user_directory_v2";
    given.cluster.sql(&given.names[0], late);
    let body = json!({"user_id": "ada", "scope": "forget"}).to_string();
    rest(&one, "POST", "/api/v1/erasures", None, &body);
    one.eventually("she is forgotten", |_| given.directory() == 0);
    token(&other, APP, "ada").ok();
    assert_eq!(name_of(&one, "ada"), "ada");
}

#[test]
fn the_hundred_seats_of_a_development_app_hold_over_all_nodes() {
    let given = Given::nothing();
    let nodes = [given.node("one", &[App::DEVELOPMENT]), given.node("two", &[App::DEVELOPMENT])];
    let seated = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (node, seated) = (&nodes[caller % 2], &seated);
            scope.spawn(move || {
                for number in 0..30 {
                    let reply = token(node, App::DEVELOPMENT, &format!("u{caller}-{number}"));
                    match reply.status {
                        200 => seated.fetch_add(1, Ordering::SeqCst),
                        _ => usize::from(reply.refused(403, 2007).status == 200),
                    };
                }
            });
        }
    });
    assert_eq!((seated.into_inner(), given.recorded("user.registered")), (100, 100));
}

#[test]
fn a_command_that_is_retried_through_another_node_is_done_once() {
    let given = Given::nothing();
    let nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    for round in 0..10 {
        let user = format!("u{round}");
        token(&nodes[0], APP, &user).ok();
        let body = json!({"user_id": user, "scope": "deactivate"}).to_string();
        let ask = |node: &Service| loop {
            let reply = rest(node, "POST", "/api/v1/erasures", Some(&user), &body);
            // The first call may still be running on the same node.
            if reply.status != 409 {
                assert!([200, 202].contains(&reply.status), "{}", reply.text);
                return reply.json()["id"].as_str().unwrap().to_owned();
            }
        };
        let asked: Vec<_> = std::thread::scope(|scope| {
            let (ask, nodes) = (&ask, &nodes);
            let callers: Vec<_> = (0..4).map(|caller| scope.spawn(move || ask(&nodes[caller % 2]))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert!(asked.iter().all(|id| *id == asked[0]), "{asked:?}");
    }
    assert_eq!(given.recorded("erasure.requested"), 10);
}

/// A statement that was planned when its table was small is not planned anew before the server has analyzed it again.
#[test]
fn a_table_of_users_is_never_read_whole_however_new_it_is() {
    let given = Given::nothing();
    let plans = "session_preload_libraries='auto_explain'\nauto_explain.log_min_duration=0\nautovacuum=off\n";
    given.cluster.configure(plans);
    given.cluster.stop("fast");
    given.cluster.resume();
    let nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    let before = given.cluster.said().len();
    for user in 0..120 {
        if user == 20 {
            given.cluster.sql(&given.names[0], "analyze");
        }
        token(&nodes[user % 2], APP, &format!("user{user}")).ok();
        assert_eq!(name_of(&nodes[(user / 2) % 2], &format!("user{user}")), format!("user{user}"));
    }
    let said = given.cluster.said().split_off(before);
    assert!(said.contains("Index Scan using user_directory_v2_tag"), "the control: plans are written down");
    for table in ["user_directory_v2", "hosted_profiles_v2", "audit_trail_v2", "store_claim"] {
        let whole = format!("Seq Scan on {table}");
        assert_eq!(said.lines().find(|line| line.contains(&whole)), None);
    }
}

#[test]
fn what_one_node_acknowledged_every_other_one_shows_and_takes_into_account_at_once() {
    let given = Given::nothing();
    let nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    let banned = |node: &Service| {
        let json = node.post(APP, "/user/block/query.json", &[]).ok().json();
        json["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["userId"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    for round in 0..40 {
        let (one, other) = (&nodes[round % 2], &nodes[(round + 1) % 2]);
        let user = format!("u{round}");
        token(one, APP, &user).ok();
        assert_eq!(name_of(other, &user), user);
        other.post(APP, "/user/refresh.json", &[("userId", &user), ("name", "Renamed")]).ok();
        assert_eq!(name_of(one, &user), "Renamed");
        one.post(APP, "/user/block.json", &[("userId", &user), ("minute", "10")]).ok();
        assert!(banned(other).contains(&user));
        other.post(APP, "/user/unblock.json", &[("userId", &user)]).ok();
        assert!(!banned(one).contains(&user));
        // What a node refuses must rest on what the other one recorded a moment ago.
        one.post(APP, "/user/deactivate.json", &[("userId", &user)]).ok();
        let refused = token(other, APP, &user);
        assert_ne!(refused.status, 200, "{}", refused.text);
        let forgotten =
            rest(one, "POST", "/api/v1/erasures", None, &json!({"user_id": user, "scope": "forget"}).to_string());
        assert_eq!(forgotten.status, 202, "{}", forgotten.text);
        // Forgotten: the userId is free again, and whoever takes it is somebody else.
        token(other, APP, &user).ok();
        assert_eq!(name_of(one, &user), user);
    }
}

#[test]
fn nodes_that_are_killed_under_load_lose_nothing_and_another_takes_over_what_they_did() {
    let given = Given::nothing();
    let mut nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    let addresses = std::sync::Mutex::new([nodes[0].address, nodes[1].address]);
    let (stop, acknowledged) = (AtomicBool::new(false), std::sync::Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (stop, acknowledged, addresses) = (&stop, &acknowledged, &addresses);
            scope.spawn(move || {
                for number in 0.. {
                    let user = format!("c{caller}-{number}");
                    // Insists, through whichever node is there: a registration may be repeated.
                    for attempt in 0.. {
                        let address = addresses.lock().unwrap()[(caller + number + attempt) % 2];
                        if Service::registers(address, APP, &user) {
                            acknowledged.lock().unwrap().insert(user);
                            break;
                        }
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for round in 0..4 {
            let (dies, lives) = (round % 2, (round + 1) % 2);
            std::thread::sleep(Duration::from_millis(700));
            nodes[dies].kill();
            // Written after its death, and read where the other node has applied it: it has taken over.
            let killed = Instant::now();
            let user = format!("after{round}");
            while token(&nodes[lives], APP, &user).status != 200 {}
            while nodes[lives].post(APP, "/user/info.json", &[("userId", &user)]).status != 200 {
                assert!(killed.elapsed() < Duration::from_secs(60), "nobody takes over");
            }
            println!("round {round}: taken over {} ms after kill -9", killed.elapsed().as_millis());
            nodes[dies] = given.node(["one", "two"][dies], &[APP]);
            addresses.lock().unwrap()[dies] = nodes[dies].address;
        }
        stop.store(true, Ordering::SeqCst);
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 100, "only {}", acknowledged.len());
    for (number, user) in acknowledged.iter().enumerate() {
        assert_eq!(name_of(&nodes[number % 2], user), *user);
    }
    let doubled =
        "select count(*) from (select tag from rollcall_read.user_directory_v2 group by tag having count(*) > 1) t";
    assert_eq!(given.cluster.sql(&given.names[0], doubled), "0");
    nodes.iter_mut().for_each(Service::stop);
    let verified = given.command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_node_that_cannot_reach_the_keys_shows_nobody_and_goes_on_when_it_can() {
    let given = Given::nothing();
    let node = given.node("one", &[APP]);
    node.register(APP, &["ada"]);
    assert_eq!(name_of(&node, "ada"), "Name of ada", "the control: the keys are in its memory");
    given.keys.stop("immediate");
    std::thread::sleep(Duration::from_secs(2));
    let info = node.post(APP, "/user/info.json", &[("userId", "ada")]);
    assert!(info.status >= 500 && !info.text.contains("ada"), "{} {}", info.status, info.text);
    assert!(token(&node, APP, "bob").status >= 500, "nothing is sealed under keys that may be gone");
    given.keys.resume();
    node.eventually("it goes on", |node| token(node, APP, "bob").status == 200);
    assert_eq!(name_of(&node, "ada"), "Name of ada");
}

#[test]
fn an_erasure_through_one_node_comes_to_its_end_and_a_report_whichever_node_leads() {
    let given = Given::over_a_real_vault();
    let mut nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    for (round, node) in [0, 1, 1].into_iter().enumerate() {
        let user = format!("u{round}");
        nodes.iter().for_each(|node| drop(token(node, APP, &user).ok()));
        let body = json!({"user_id": user, "scope": "forget"}).to_string();
        let accepted = rest(&nodes[node], "POST", "/api/v1/erasures", None, &body);
        let path = accepted.header("location").unwrap().to_owned();
        if round == 2 {
            nodes[0].kill();
        }
        nodes[1].eventually("the erasure is done", |node| {
            rest(node, "GET", &path, None, "").json()["status"] == "finalised"
        });
        let report = rest(&nodes[1], "GET", &format!("{path}/report"), None, "");
        assert_eq!(report.status, 200);
        let verify = given.command(&["audit", "verify"]);
        assert!(
            verify.status.success(),
            "{}{}",
            String::from_utf8_lossy(&verify.stdout),
            String::from_utf8_lossy(&verify.stderr)
        );
    }
    assert_eq!(given.recorded("erasure.report_issued"), 3);
}

#[test]
fn read_models_are_built_anew_by_another_node_while_the_service_answers() {
    let given = Given::nothing();
    let node = given.node("one", &[APP]);
    let users: Vec<_> = (0..300).map(|number| format!("u{number}")).collect();
    node.register(APP, &users.iter().map(String::as_str).collect::<Vec<_>>());
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for caller in 0..2 {
            let (done, asked, node, users) = (&done, &asked, &node, &users);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let number = asked.fetch_add(1, Ordering::SeqCst);
                    let user = &users[(number * 7 + caller) % users.len()];
                    assert_eq!(name_of(node, user), format!("Name of {user}"));
                    token(node, APP, &format!("new{number}")).ok();
                }
            });
        }
        for _ in 0..3 {
            let rebuilt = given.command(&["rebuild", "all"]);
            assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(asked.into_inner() > 10);
    assert_eq!(name_of(&node, "u0"), "Name of u0");
    drop(node);
    let verified = given.command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn nodes_of_a_version_with_other_read_models_that_start_together_build_them_once() {
    let given = Given::nothing();
    let mut node = given.node("one", &[APP]);
    node.register(APP, &["ada", "bob"]);
    node.stop();
    let sql = |sql: &str| given.cluster.sql(&given.names[0], sql);
    sql("update rollcall_read.store_checkpoint set version = 0, position = 1 where model like 'user%'");
    let nodes: Vec<_> = std::thread::scope(|scope| {
        let given = &given;
        let start = |name| scope.spawn(move || given.node(name, &[APP]));
        ["one", "two", "three"].map(start).into_iter().map(|node| node.join().unwrap()).collect()
    });
    for node in &nodes {
        assert_eq!(name_of(node, "ada"), "Name of ada");
    }
    assert_eq!(sql("select count(*) from rollcall_read.store_checkpoint where version = 0"), "0");
    // Whoever had built one a second time would have put the first one there.
    assert_eq!(sql("select count(*) from rollcall_read_before.store_checkpoint where version <> 0"), "0");
    drop(nodes);
    let verified = given.command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_service_that_outgrows_its_machine_moves_to_servers_with_its_keys_and_back() {
    let given = Given::nothing();
    let alone = given.dir.path().join("alone");
    let mut service = Service::launch_node(&alone, &[APP], &[], &[]).unwrap();
    service.register(APP, &["ada", "bob"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "bob")]).ok();
    service.stop();
    let run = |from: &[String], args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .arg("copy")
            .arg("--data-dir")
            .arg(&alone)
            .args(from)
            .args(args)
            .envs(given.variables())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    };
    let (database, vault) = (given.cluster.address(&given.names[0]), given.keys.address(&given.names[1]));
    let said = run(&[], &["--to", &database, "--vault-to", &vault, "--root-cell-to", "transit:rollcall"]);
    assert!(said.contains("read models have the same rows") && said.contains("keys are moved"), "{said}");
    let mut nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    for node in &nodes {
        assert_eq!(name_of(node, "ada"), "Name of ada");
        assert!(token(node, APP, "bob").status != 200);
    }
    nodes[1].register(APP, &["cleo"]);
    assert_eq!(name_of(&nodes[0], "cleo"), "Name of cleo");
    nodes.iter_mut().for_each(Service::stop);
    std::fs::remove_file(alone.join("log.db")).unwrap();
    std::fs::remove_file(alone.join("vault.db")).unwrap();
    run(&given.settings(), &["--to", "embedded", "--vault-to", "embedded", "--root-cell-to", "local"]);
    let service = Service::launch_node(&alone, &[APP], &[], &[]).unwrap();
    assert_eq!(name_of(&service, "cleo"), "Name of cleo");
    let left = given.try_node("one", &[APP]);
    assert!(left.err().unwrap().contains("does not hold the root"), "the keys that were left behind open nothing");
}

#[test]
fn a_role_for_the_keys_serves_and_cannot_make_a_destruction_unknown() {
    let given = Given::nothing();
    let name = &given.names[1];
    given.keys.sql(name, "create role keeper login");
    let run = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .args(args)
            .envs(given.variables())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let owner = given.keys.address(name);
    for _ in 0..2 {
        assert_eq!(run(&["database", "prepare-vault", "--database", &owner, "--role", "keeper"]).0, Some(0));
    }
    let (log, keeper) = (given.cluster.address(&given.names[0]), owner.replace("user=rollcall", "user=keeper"));
    let settings = ["--database", &log, "--vault-database", &keeper, "--root-cell", "transit:rollcall"];
    let environment = given.environment();
    let environment: Vec<_> = environment.iter().map(String::as_str).collect();
    let node = Service::launch_node(&given.dir.path().join("one"), &[APP], &environment, &settings).unwrap();
    node.register(APP, &["ada"]);
    node.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    node.eventually("it is erased", |_| given.recorded("erasure.finalised") == 1);
    assert_eq!(given.keys.sql(name, "select count(*) from rollcall_vault.destruction"), "1");
    for hides in [
        "update rollcall_vault.destruction set keys_to_destroy = ''",
        "delete from rollcall_vault.destruction",
        "delete from rollcall_vault.subject_key",
        "truncate rollcall_vault.subject_key",
        "delete from rollcall_vault.vault",
    ] {
        assert!(given.keys.try_sql(name, &format!("set role keeper; {hides}")).is_err(), "{hides}");
    }
    let dir = given.dir.path().join("one");
    let doctor = |settings: &[&str]| run(&[&["doctor", "--data-dir", dir.to_str().unwrap()], settings].concat());
    // These clusters do not flush, which the doctor must not like.
    let (code, said) = doctor(&settings);
    assert!(code == Some(1) && said.contains("BAD   keys: fsync"), "{said}");
    assert!(said.contains("ok    keys: rights of the role") && said.contains("ok    keys: VAULT_ADDR"), "{said}");
    let (_, said) = doctor(&["--database", &log, "--vault-database", &owner]);
    assert!(said.contains("note  keys: rights of the role") && said.contains("BAD   keys: root cell"), "{said}");
}

#[cfg(feature = "kurrentdb")]
#[test]
fn nodes_whose_log_is_in_kurrentdb_share_it_as_well() {
    let (given, double) = (Given::nothing(), crate::kurrentdb::server::Double::start());
    let url = double.url();
    let (environment, mut settings) = (given.environment(), given.settings());
    settings.extend(["--kurrentdb".to_owned(), url]);
    let start = |name: &str| {
        let environment: Vec<_> = environment.iter().map(String::as_str).collect();
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        Service::launch_node(&given.dir.path().join(name), &[APP], &environment, &settings).unwrap()
    };
    let nodes = [start("one"), start("two")];
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let node = &nodes[caller % 2];
            scope.spawn(move || (0..30).for_each(|user| drop(token(node, APP, &format!("u{user}")).ok())));
        }
    });
    let directory = "select count(*), count(distinct tag) from rollcall_read.user_directory_v2";
    nodes[0].post(APP, "/user/info.json", &[("userId", "u0")]).ok();
    assert_eq!(given.cluster.sql(&given.names[0], directory), "30|30");
    for round in 0..10 {
        let (one, other) = (&nodes[round % 2], &nodes[(round + 1) % 2]);
        let user = format!("u{round}");
        one.post(APP, "/user/refresh.json", &[("userId", &user), ("name", "Renamed")]).ok();
        assert_eq!(name_of(other, &user), "Renamed");
        other.post(APP, "/user/deactivate.json", &[("userId", &user)]).ok();
        assert_ne!(token(one, APP, &user).status, 200);
    }
}

#[test]
fn the_brake_of_erasures_holds_over_all_nodes_also_where_it_allows_more_than_a_page_of_them() {
    let given = Given::nothing();
    let users: Vec<String> = (0..1_150).map(|number| format!("u{number}")).collect();
    let node = given.node("one", &[APP]);
    std::thread::scope(|threads| {
        for part in users.chunks(users.len() / 8 + 1) {
            let node = &node;
            threads.spawn(move || part.iter().for_each(|user| drop(token(node, APP, user).ok())));
        }
    });
    drop(node);
    let set = given.command(&["apps", "set", APP.key, "--erasures-per-minute-max", "1100"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    let deactivate = |node: &Service, users: &[String]| {
        let form: Vec<_> = users.iter().map(|user| ("userId", user.as_str())).collect();
        node.post(APP, "/user/deactivate.json", &form)
    };
    let (erased, others) = users.split_at(1_050);
    for part in erased.chunks(100) {
        deactivate(&nodes[0], part).ok();
    }
    deactivate(&nodes[1], &others[..51]).refused(429, 1008);
    deactivate(&nodes[1], &others[..50]).ok();
}
