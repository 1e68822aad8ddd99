//! States recorded while several nodes change the same streams.

use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};

use super::{APP, Given, Service, token};
use crate::engine::loads::every_snapshot_is_what_the_events_make;

#[test]
fn states_recorded_while_nodes_contend_for_a_stream_are_what_the_events_make() {
    let given = Given::nothing();
    let mut nodes = [given.node("one", &[APP]), given.node("two", &[APP])];
    token(&nodes[0], APP, "ada").ok();
    token(&nodes[0], APP, "bob").ok();
    std::thread::scope(|scope| {
        for caller in 0..6 {
            let node = &nodes[caller % 2];
            scope.spawn(move || {
                for round in 0..60 {
                    let (owner, other) = if (caller + round) % 3 == 0 { ("ada", "bob") } else { ("bob", "ada") };
                    let list = if round % 2 == 0 { "add" } else { "remove" };
                    let path = format!("/user/blacklist/{list}.json");
                    // Busy is an answer too: what matters is what was recorded.
                    node.post(APP, &path, &[("userId", owner), ("blackUserId", other)]);
                    let tags = if round % 4 == 0 { "a" } else { "" };
                    node.post(APP, "/user/tag/set.json", &[("userId", owner), ("tags", tags)]);
                    token(node, APP, owner);
                }
            });
        }
    });
    nodes.iter_mut().for_each(Service::stop);
    let database: Database = given.cluster.address(&given.names[0]).parse().unwrap();
    crate::eventlog_contract::runtime().block_on(async {
        let log = Postgres::open(&database, Mode::Read).await.unwrap();
        let recorded = every_snapshot_is_what_the_events_make(&log).await;
        assert!(recorded > 5, "only {recorded} states were recorded");
    });
}
