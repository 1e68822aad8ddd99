//! What a query costs depends on what it answers, not on how much else there is.
//!
//! The measure is the number of steps that `SQLite`'s virtual machine takes, which is the same on every machine.

use rollcall_projections::{ALL, Value};
use rusqlite::{Connection, StatementStatus, params_from_iter};

use crate::rebuilding::store;
use crate::seeds::{BEGAN_AT, EACH, key, script};

const SMALL: u32 = 2_000;
const LARGE: u32 = 200_000;
/// Rows of a page.
const PAGE: u32 = 20;
/// Steps for a row that a numbered page skips: one look at its entry in an index, and nothing of the table.
const SKIP_MAX: i64 = 6;

struct Tables {
    _files: tempfile::TempDir,
    connection: Connection,
}

impl Tables {
    fn with(rows: u32) -> Self {
        let (files, store) = store();
        drop(store);
        let connection = Connection::open(files.path().join("read.db")).unwrap();
        connection.execute_batch(&format!("PRAGMA synchronous = OFF; {}", script(rows, "BLOB"))).unwrap();
        Self { _files: files, connection }
    }

    /// How many rows a statement finds, and in how many steps.
    fn ask(&self, sql: &str, params: &[Value]) -> (usize, i64) {
        let mut statement = self.connection.prepare(sql).unwrap();
        let mut rows = statement.query(params_from_iter(params)).unwrap();
        let mut found = 0;
        while rows.next().unwrap().is_some() {
            found += 1;
        }
        drop(rows);
        (found, i64::from(statement.get_status(StatementStatus::VmStep)))
    }
}

/// The one query of a read model that contains all these parts.
fn query(model: &str, parts: &[&str]) -> &'static str {
    let model = ALL.iter().find(|found| found.name() == model).unwrap();
    let found: Vec<_> = model.queries().iter().filter(|sql| parts.iter().all(|part| sql.contains(part))).collect();
    assert_eq!(found.len(), 1, "{parts:?}: {found:?}");
    found[0]
}

fn app() -> Value {
    Value::Text("app-one".into())
}

fn reference(number: u32) -> Value {
    Value::Bytes(key(number.into()))
}

fn at(row: u32) -> Value {
    Value::Int(BEGAN_AT + i64::from(row) * EACH)
}

#[test]
fn the_last_page_of_a_list_costs_what_the_first_one_does() {
    let tables = Tables::with(LARGE);
    let (low, high): (Value, Value) = (0_u32.into(), LARGE.into());
    let size = || Value::from(PAGE);
    let cases = [
        (
            query("user_directory", &["registered_position > $2"]),
            [app(), low.clone(), size()],
            [app(), 180_000_u32.into(), size()],
        ),
        (
            query("user_directory", &["registered_position < $2"]),
            [app(), high.clone(), size()],
            [app(), 5_000_u32.into(), size()],
        ),
        (
            query("erasure_ledger", &["requested_position < $2"]),
            [app(), high.clone(), size()],
            [app(), 5_000_u32.into(), size()],
        ),
        (query("data_requests", &["received_position < $2"]), [app(), high, size()], [app(), 5_000_u32.into(), size()]),
        (
            query("erasure_ledger", &["requested_position >= $2"]),
            [app(), low.clone(), size()],
            [app(), 180_000_u32.into(), size()],
        ),
        (
            query("data_requests", &["received_position >= $2"]),
            [app(), low.clone(), size()],
            [app(), 180_000_u32.into(), size()],
        ),
        (
            query("deactivated_users", &["deactivated_position >= $2"]),
            [app(), low, size()],
            [app(), 180_000_u32.into(), size()],
        ),
    ];
    for (sql, first, last) in cases {
        let (first, last) = (tables.ask(sql, &first), tables.ask(sql, &last));
        assert_eq!(first.0, PAGE as usize, "{sql}");
        assert_eq!(first, last, "{sql}");
    }
    let due = query("data_requests", &["is_open = 1", "> ($3, $4)"]);
    let page = |row: u32| [app(), at(LARGE), at(row), row.into(), size()];
    assert_eq!(tables.ask(due, &page(0)), tables.ask(due, &page(180_000)));
    let due = query("data_requests", &["is_open = 1", "<= ($2, $3)"]);
    let page = |row: u32| [app(), at(row), row.into(), size()];
    assert_eq!(tables.ask(due, &page(LARGE)), tables.ask(due, &page(5_000)));
    // Those that are to begin are stepped over, and lie unevenly.
    for (compared, near, far) in [("(until_at, subject) >=", 1, 180_000), ("(until_at, subject) <", LARGE, 20_000)] {
        let running = query("banned_users", &[compared]);
        let page = |row: u32| [app(), at(0), at(row), reference(0), size()];
        let (near, far) = (tables.ask(running, &page(near)), tables.ask(running, &page(far)));
        assert_eq!((near.0, far.0), (PAGE as usize, PAGE as usize), "{compared}");
        assert!((far.1 - near.1).abs() < near.1 / 2, "{compared}: {near:?} {far:?}");
    }
}

#[test]
fn what_is_asked_of_one_costs_the_same_however_many_others_there_are() {
    let tables = [Tables::with(SMALL), Tables::with(LARGE)];
    let (size, newest) = (|| Value::from(PAGE), || Value::from(LARGE));
    let cases = [
        (query("erasure_ledger", &["operation = "]), vec![app(), Value::Text("op-7".into()), size()]),
        (query("erasure_ledger", &["WHERE subject = $1"]), vec![reference(7), size()]),
        (query("erasure_ledger", &["AS overdue"]), vec![at(100), at(90), app(), at(10), at(60)]),
        (query("erasure_ledger", &["scrubbed_at - requested_at"]), vec![app(), at(10), at(60)]),
        (query("audit_trail", &["subject = $1", "position > $2"]), vec![reference(7), 0_u32.into(), size()]),
        (query("audit_trail", &["subject = $1", "position <= $2"]), vec![reference(7), newest(), size()]),
        (query("user_directory", &["SELECT introduced_position, subject FROM", "tag = $1"]), vec![reference(7), app()]),
        (query("friend_graph", &["befriended_position <"]), vec![reference(0), newest(), size()]),
        (query("blocklists", &["sequence <"]), vec![reference(0), newest(), size()]),
        (query("allowlists", &["sequence <"]), vec![reference(0), newest(), size()]),
        (query("blocklists", &["sequence >="]), vec![reference(0), 0_u32.into(), size()]),
        (query("allowlists", &["sequence >="]), vec![reference(0), 0_u32.into(), size()]),
        (query("banned_users", &["acts_at <= $1"]), vec![at(50), size()]),
        (query("deactivated_users", &["restricted = 1"]), vec![reference(1), 5_u32.into()]),
    ];
    for (sql, params) in cases {
        let (small, large) = (tables[0].ask(sql, &params), tables[1].ask(sql, &params));
        assert!(small.0 > 0, "{sql}");
        assert_eq!(small, large, "{sql}");
    }
}

#[test]
fn what_was_requested_lately_is_counted_without_what_was_requested_before() {
    let counted = [SMALL, LARGE].map(|rows| {
        let sql = query("erasure_ledger", &["MIN(requested_at)", "requested_at > $2"]);
        Tables::with(rows).ask(sql, &[app(), at(rows - 100)])
    });
    assert_eq!(counted[0], counted[1]);
}

#[test]
fn a_numbered_page_steps_over_entries_of_an_index_alone() {
    const SKIPPED: u32 = 10_000;
    let tables = Tables::with(LARGE);
    let numbered: Vec<_> = ALL.iter().flat_map(|model| model.queries()).filter(|sql| sql.contains("OFFSET")).collect();
    assert!(numbered.len() >= 7, "{numbered:?}");
    for sql in numbered {
        let mut params = match sql {
            sql if sql.contains("owner = $1") => vec![reference(7)],
            _ => vec![app()],
        };
        if ["until_at > $2", "ends_at > $2"].iter().any(|time| sql.contains(time)) {
            params.push(at(0));
        }
        let skipped = if sql.contains("owner = $1") { 1_000 } else { SKIPPED };
        let of_page = |skipped: u32| {
            let params: Vec<_> = params.iter().cloned().chain([PAGE.into(), skipped.into()]).collect();
            tables.ask(sql, &params)
        };
        let (first, later) = (of_page(0), of_page(skipped));
        assert_eq!((first.0, later.0), (PAGE as usize, PAGE as usize), "{sql}");
        let each = (later.1 - first.1) / i64::from(skipped);
        assert!(each <= SKIP_MAX, "{each} steps for each skipped row: {sql}");
    }
}
