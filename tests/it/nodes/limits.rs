//! Rate limits on several nodes.

use std::time::Instant;

use super::{APP, Given};
use crate::support::{Reply, Service};

/// Calls within a second.
const LIMIT: u64 = 3;

fn ask(node: &Service, method: &str, path: &str, body: &str) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    node.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

#[test]
fn each_node_lets_the_limit_of_an_app_pass_and_none_more() {
    let given = Given::nothing();
    let nodes = ["one", "two"].map(|name| given.node(name, &[APP]));
    assert_eq!(ask(&nodes[0], "PATCH", "app", &format!(r#"{{"rate_limit":"{LIMIT}"}}"#)).status, 200);
    nodes[1].eventually("the other node knows of the limit", |node| {
        ask(node, "GET", "users", "").header("ratelimit-policy").is_some_and(|policy| policy.contains("q=3"))
    });
    let (began, mut passed) = (Instant::now(), [0; 2]);
    for _ in 0..100 {
        for (node, passed) in nodes.iter().zip(&mut passed) {
            let reply = ask(node, "GET", "bans", "");
            assert!(matches!(reply.status, 200 | 429), "{}", reply.text);
            *passed += u64::from(reply.status == 200);
        }
    }
    // So many at once, and as many in each second.
    let most = LIMIT * (2 + began.elapsed().as_secs());
    assert!(passed.iter().all(|passed| (LIMIT..=most).contains(passed)), "{passed:?} of {most}");
}
