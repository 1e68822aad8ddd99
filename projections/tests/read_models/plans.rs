//! Every statement names the index it is answered by, in `plans/sqlite.txt` and `plans/postgres.txt`.
//!
//! A statement that is new or is planned otherwise than written there is an error until somebody looked at it. Run
//! the tests with `WRITE_PLANS=1` to write the files anew, and review what changed: "SCAN", "TEMP B-TREE" and a
//! search by less than the whole key cost more with each row.

use std::fmt::Write as _;
use std::path::Path;

use rollcall_projections::store::ReadStore;
use rollcall_projections::{ALL, PAST_ONLY, Projection};
use rusqlite::Connection;

use crate::portable_sql::cluster::Cluster;
use crate::postgres::{pool, run};
use crate::seeds::script;

/// Rows of each table, so many that another index than the right one is dearer by far.
const ROWS: u32 = 20_000;

fn statements(model: &dyn Projection) -> impl Iterator<Item = &'static str> {
    model.statements().iter().chain(model.queries()).copied()
}

/// Adds the plan of a statement, unless it looks for nothing.
fn add(plans: &mut String, model: &dyn Projection, sql: &str, steps: &[String]) {
    if steps.is_empty() {
        return;
    }
    let on_one_line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    writeln!(plans, "{}: {on_one_line}", model.name()).unwrap();
    for step in steps {
        writeln!(plans, "    {step}").unwrap();
    }
    plans.push('\n');
}

/// Compares what a database plans with what is written, or writes it.
fn compare(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_models/plans").join(file);
    if std::env::var_os("WRITE_PLANS").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let is_in = |text: &str, entry: &str| text.split("\n\n").any(|other| other == entry);
    let new: Vec<_> = found.split("\n\n").filter(|entry| !is_in(&written, entry)).collect();
    let gone: Vec<_> = written.split("\n\n").filter(|entry| !is_in(found, entry)).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "{file} is not what is planned (see {}).\nPlanned now:\n{}\n\nWritten:\n{}",
        file!(),
        new.join("\n\n"),
        gone.join("\n\n")
    );
}

#[test]
fn sqlite_answers_every_statement_by_the_index_that_is_written_down() {
    let every: Vec<_> = ALL.iter().chain(PAST_ONLY).copied().collect();
    let files = tempfile::tempdir().unwrap();
    let _store = ReadStore::open_with(&files.path().join("read.db"), &every).unwrap();
    let connection = Connection::open(files.path().join("read.db")).unwrap();
    let mut plans = String::new();
    for model in every {
        for sql in statements(model) {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let steps = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
            add(&mut plans, model, sql, &steps.map(Result::unwrap).collect::<Vec<_>>());
        }
    }
    compare("sqlite.txt", plans.trim_end());
}

/// The index of a line of PostgreSQL's plan, or another way to find rows; `None`: the line tells something else.
fn way(line: &str) -> Option<String> {
    let line = line.trim_start().trim_start_matches("->").trim_start();
    let scans = line.contains("Scan") && !line.starts_with("CTE Scan") && !line.starts_with("Subquery Scan");
    let sorts = line == "Sort" || line == "Incremental Sort";
    let conditions = line.starts_with("Index Cond") || line.starts_with("Filter");
    (scans || sorts || conditions).then(|| line.to_owned())
}

#[test]
fn postgresql_answers_every_statement_by_the_index_that_is_written_down() {
    let cluster = Cluster::start();
    let plans = run(async {
        let pool = pool(&cluster, &cluster.database());
        ReadStore::connect(pool.clone(), ALL).await.unwrap();
        let client = pool.get().await.unwrap();
        client.batch_execute(&script(ROWS, "BYTEA")).await.unwrap();
        // As the connections of the store are set up; a plan for whatever parameters there will be.
        client.batch_execute("vacuum analyze").await.unwrap();
        let set = "set enable_seqscan = off; set plan_cache_mode = force_generic_plan; set jit = off";
        client.batch_execute(set).await.unwrap();
        let mut plans = String::new();
        for model in ALL {
            for sql in statements(*model) {
                client.batch_execute(&format!("PREPARE planned AS {sql}")).await.unwrap();
                let nulls = vec!["NULL"; client.prepare(sql).await.unwrap().params().len()].join(", ");
                let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
                let explain = format!("EXPLAIN (COSTS OFF) EXECUTE planned{nulls}");
                let mut steps = vec![];
                for row in client.simple_query(&explain).await.unwrap() {
                    let tokio_postgres::SimpleQueryMessage::Row(row) = row else { continue };
                    steps.extend(row.get(0).and_then(way));
                }
                client.batch_execute("DEALLOCATE planned").await.unwrap();
                add(&mut plans, *model, sql, &steps);
            }
        }
        plans
    });
    compare("postgres.txt", plans.trim_end());
}
