//! What holds for webhooks over files holds over a server, and where another node leads.

use super::suite::again;
use crate::support::Cluster;
use crate::support::service::{SERVER, TWO_NODES};
use crate::support::transit::{TOKEN, Transit};

const TESTS: &[&str] = &["webhooks::a_receiver_is_told", "webhooks::crashes::a_receiver", "webhooks::what_a_receiver"];

#[test]
fn webhooks_are_told_from_a_server_as_from_files() {
    let cluster = Cluster::start_with("max_connections=400");
    let tests = [TESTS, &["webhooks::crashes::a_sender"]].concat();
    again(&tests, &[(SERVER, &cluster.path(""))], &[], tests.len());
}

#[test]
fn webhooks_are_told_by_the_node_that_leads() {
    let (cluster, transit) = (Cluster::start_with("max_connections=400"), Transit::start());
    let settings =
        [(SERVER, &*cluster.path("")), (TWO_NODES, "1"), ("VAULT_ADDR", &transit.address), ("VAULT_TOKEN", TOKEN)];
    again(TESTS, &settings, &[], TESTS.len());
}
