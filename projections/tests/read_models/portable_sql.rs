//! The SQL serves `PostgreSQL` too: every table is created and every statement prepared on a throw-away cluster.

use std::fmt::Write as _;

use rollcall_projections::ALL;

#[path = "../../../tests/it/support/cluster.rs"]
pub mod cluster;
#[path = "../../../tests/it/support/relay.rs"]
pub mod relay;

use cluster::Cluster;

#[test]
fn every_schema_and_statement_is_accepted_by_postgresql() {
    let mut script = String::new();
    for model in ALL {
        script.push_str(model.schema());
        for (number, sql) in model.statements().iter().chain(model.queries()).enumerate() {
            writeln!(script, "\nPREPARE {}_{number} AS {sql};", model.name()).unwrap();
        }
    }
    let cluster = Cluster::start();
    let file = cluster.path("script.sql");
    std::fs::write(&file, script).unwrap();
    let socket = cluster.path("");
    let arguments = ["-q", "-v", "ON_ERROR_STOP=1", "-h", &socket, "-U", "rollcall", "-d", "postgres", "-f", &file];
    cluster.must("psql", &arguments);
}
