//! Read models on a server are built anew over REST by whichever node is asked.

use serde_json::Value;

use super::{APP, Given, token};
use crate::support::{App, Reply, Service};

fn ask(node: &Service, key: &str, method: &str, path: &str) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {key}"))];
    node.request(method, &format!("/api/v1/{path}"), &headers, b"")
}

fn begin(node: &Service, key: &str, model: &str) -> Reply {
    ask(node, key, "POST", &format!("read-models/{model}/rebuild"))
}

/// What a node tells of how a read model is built anew.
fn state(node: &Service, key: &str, model: &str) -> Value {
    let models = ask(node, key, "GET", "read-models").json();
    let models = models["read_models"].as_array().unwrap();
    models.iter().find(|told| told["name"] == model).unwrap()["rebuild"]["state"].clone()
}

/// Stops the service of one node with two apps and two users, and answers the key of an operator.
fn stopped(given: &Given) -> String {
    let mut node = given.node("one", &[APP, App::OTHER]);
    node.register(APP, &["ada", "bob"]);
    node.stop();
    let added = given.command(&["apps", "add-key", APP.key, "--scope", "operator"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    String::from_utf8(added.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_read_model_is_built_anew_by_the_node_that_is_asked_and_every_node_follows() {
    let given = Given::nothing();
    let key = stopped(&given);
    let sql = |sql: &str| given.cluster.sql(&given.names[0], sql);
    // What no event made, and what is missing: a rebuild mends both.
    sql("update rollcall_read.user_directory_count_v2 set registered = 7777");
    sql(&format!("delete from rollcall_read.apps_v3 where app = '{}'", App::OTHER.key));
    let nodes = ["one", "two"].map(|name| given.node(name, &[APP]));
    assert!(nodes.iter().all(|node| token(node, App::OTHER, "eve").status != 200), "the app is not there");
    assert!(nodes.iter().all(|node| state(node, &key, "apps").is_null()));
    for (model, asked, other) in [("user_directory", 0, 1), ("apps", 1, 0)] {
        assert_eq!(begin(&nodes[asked], &key, model).status, 202, "{model}");
        nodes[other]
            .eventually("the other node tells that it took its place", |node| state(node, &key, model) == "done");
    }
    for node in &nodes {
        node.eventually("the app is there", |node| token(node, App::OTHER, "eve").status == 200);
    }
    nodes[0].register(APP, &["eve"]);
    nodes[1].eventually("all are counted, and nobody else", |_| {
        sql("select string_agg(registered::text, ' ' order by registered) from rollcall_read.user_directory_count_v2")
            == "1 3"
    });
    // The command tells as well.
    let rebuilt = given.command(&["rebuild", "mutes"]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert_eq!(state(&nodes[0], &key, "mutes"), "done");
    drop(nodes);
    let verified = given.command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_read_model_whose_builder_is_killed_is_as_it_was_and_another_node_builds_it() {
    let given = Given::nothing();
    let key = stopped(&given);
    let [mut first, second] = ["one", "two"].map(|name| given.node(name, &[APP]));
    let sql = |sql: &str| given.cluster.sql(&given.names[0], sql);
    let sleeping = "pid from pg_stat_activity where wait_event = 'PgSleep'";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hold = "begin; select 1 from rollcall_read.store_checkpoint where model = 'friend_graph' for update;
                select pg_sleep(60)";
            assert!(given.cluster.try_sql(&given.names[0], hold).is_err(), "it is ended");
        });
        second.eventually("nobody can take the place of the live one", |_| {
            !sql(&format!("select {sleeping}")).is_empty()
        });
        assert_eq!(begin(&first, &key, "friend_graph").status, 202);
        let is_under_way =
            |node: &Service| ["applying", "copying"].iter().any(|word| state(node, &key, "friend_graph") == *word);
        second.eventually("both nodes tell that it is built", |second| is_under_way(&first) && is_under_way(second));
        let refused = begin(&second, &key, "mutes");
        assert_eq!((refused.status, &refused.json()["type"]), (409, &"urn:rollcall:problem:rebuild-runs".into()));
        assert_eq!(begin(&second, &key, "friend_graph").status, 202, "asking again changes nothing");
        first.kill();
        second.eventually("it is told that it failed", |node| state(node, &key, "friend_graph") == "failed");
        sql(&format!("select pg_terminate_backend(pid) from (select {sleeping}) as held"));
    });
    second.register(APP, &["eve"]);
    assert_eq!(begin(&second, &key, "friend_graph").status, 202);
    second.eventually("it took its place", |node| state(node, &key, "friend_graph") == "done");
    drop((first, second));
    let verified = given.command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
