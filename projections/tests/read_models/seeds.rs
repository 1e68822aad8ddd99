//! Large tables with skew, written straight into the tables: what a query costs can be told only where there is much
//! that it must not touch.
//!
//! A table has a row in [`script`] where its queries depend on how often a value occurs; any other is filled by the types
//! of its columns. One script for both databases. Row `i` has the reference [`key`]`(i)`; nine of ten rows are of `app-one`.

use rollcall_projections::{ALL, Projection};

/// The first 16 digits of a row's number, so that every reference is 16 bytes.
const FIRST: u64 = 1_000_000_000_000_000;
/// When the first row was recorded, in milliseconds since 1970; each row follows a minute after the one before.
pub const BEGAN_AT: i64 = 1_600_000_000_000;
/// Milliseconds from one row to the next.
pub const EACH: i64 = 60_000;

/// The reference of a row.
pub fn key(number: u64) -> Vec<u8> {
    (FIRST + number).to_string().into_bytes()
}

/// What fills every table with so many rows: as a table's row here says, else as the types of its columns allow. `bytes` is what the database calls a column of bytes.
pub fn script(rows: u32, bytes: &str) -> String {
    let key = |number: &str| format!("CAST(CAST({FIRST} + {number} AS TEXT) AS {bytes})");
    let (of, other) = (key("i"), key("(i + 1)"));
    let (owner, asked, content) = (key("(i / 2000)"), key("(i / 100)"), format!("CAST('sealed' AS {bytes})"));
    // Everybody has as many friends as everybody else, and they are not neighbours.
    let about = key("(i * 7919 % 2000)");
    let app = "CASE WHEN i % 10 = 0 THEN 'app-two' ELSE 'app-one' END";
    let at = format!("{BEGAN_AT} + i * {EACH}");
    let tables = [
        ("allowlists_vN", format!("{owner}, {other}, i")),
        ("allowlists_enabled_vN", format!("{of}, i")),
        ("apps_vN", format!("'app-' || i, {at}, 'production', 'pro', '{{}}', 0, NULL")),
        ("apps_secrets_vN", "'app-' || i, 1".into()),
        ("apps_fields_vN", "'app-' || i, 'user', 'ext_a'".into()),
        ("apps_api_keys_vN", "'app-' || i, 1, '{}'".into()),
        ("audit_trail_vN", format!("{}, i", key("(i / 20)"))),
        ("banned_users_vN", {
            let until = format!("{BEGAN_AT} + i * 7919 % {rows} * {EACH}");
            // One of a hundred is to begin.
            let starts = format!("CASE WHEN i % 100 = 0 THEN {until} - 1 ELSE {BEGAN_AT} END");
            format!(
                "{of}, {app}, {at}, {starts}, {until}, CASE WHEN i % 100 = 0 THEN {until} - 1 ELSE {until} END, \
                 CASE WHEN i % 100 = 0 THEN {until} - 1 ELSE NULL END, \
                 {content}, NULL, 'server:1', {of}, {at}, i"
            )
        }),
        (
            "banned_users_ended_vN",
            format!(
                "{owner}, {app}, {at}, {at}, {at}, {content}, NULL, 'server:1', {of}, {at}, i, {at}, 'system', 'expired', i"
            ),
        ),
        ("blocklists_vN", format!("{owner}, {other}, i")),
        ("client_rules_vN", "'app-' || i, 'several', 0, 0, 0".into()),
        ("rate_limits_vN", "'app-' || i, 'platform'".into()),
        ("data_requests_vN", format!("{of}, {app}, {other}, 'access', i, {at}, {at}, 'received', i % 2, NULL")),
        (
            "deactivated_users_vN",
            format!("{of}, {app}, {at}, i, 'op-' || i, CASE WHEN i % 100 = 0 THEN 1 ELSE 0 END, {of}, 'server:1'"),
        ),
        (
            "erasure_ledger_vN",
            format!(
                "{of}, {app}, {}, 'forget', 'op-' || (i / 10), i, {at}, {at}, 'account_closed', \
                 CASE WHEN i % 100 = 1 THEN 'drill' ELSE 'controller' END, 'finalised', {at}, {at}, 0, \
                 CASE WHEN i % 50 = 0 THEN 0 ELSE 1 END, {at}, {at}, {at} + i % 1000, {at} + i % 5000, i, 'final', \
                 CASE WHEN i % 50 = 0 THEN NULL ELSE {at} END",
                key("(i / 3)")
            ),
        ),
        ("friend_graph_vN", format!("{owner}, {other}, {at}, i")),
        (
            "friend_graph_requests_vN",
            format!(
                "i, {app}, {of}, {asked}, {at}, {at}, CASE WHEN i % 10 = 0 THEN 'pending' ELSE 'expired' END, \
                 CASE WHEN i % 10 = 0 THEN NULL ELSE {at} END, {content}"
            ),
        ),
        ("friend_graph_descriptions_vN", format!("{owner}, {about}, '', {content}")),
        ("friend_groups_vN", format!("{owner}, i, {content}")),
        ("friend_groups_members_vN", format!("{owner}, i % 10, {other}")),
        ("hosted_profiles_vN", format!("{of}, {app}, i, 1, CASE WHEN i % 2 = 0 THEN 1 ELSE 0 END")),
        ("hosted_profiles_fields_vN", format!("{of}, 'name', {content}")),
        ("invalidated_tokens_apps_vN", format!("'app-' || i, {at}")),
        ("mutes_vN", format!("{of}, {app}, {at}, CASE WHEN i % 100 = 0 THEN {at} + i ELSE NULL END, i, i")),
        ("mutes_count_vN", "'app-' || i, 1".into()),
        ("remarks_vN", format!("{owner}, {other}, i, {content}")),
        ("user_directory_vN", format!("{of}, {app}, {of}, {content}, i, {content}, NULL, 0, {at}, i, 0")),
        ("user_directory_count_vN", "'app-' || i, 1".into()),
        ("user_settings_vN", format!("{of}, {app}, NULL, NULL, NULL, NULL, NULL")),
        ("user_tags_vN", format!("{of}, {app}, {content}")),
    ];
    let numbers = format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
    let all: Vec<_> = ALL.iter().flat_map(|model| model.tables().iter().map(move |table| (*model, *table))).collect();
    let versioned = |name: &str, model: &dyn Projection| name.replace("_vN", &format!("_v{}", model.version()));
    for (name, _) in &tables {
        assert!(all.iter().any(|(model, table)| versioned(name, *model) == *table), "no read model has {name}");
    }
    let insert = |(model, table): &(&dyn Projection, &str)| {
        let skewed = tables.iter().find(|(name, _)| versioned(name, *model) == **table);
        let columns = skewed.map_or_else(|| plain_row(*model, table, &of, app), |(_, columns)| columns.clone());
        format!("INSERT INTO {table} {numbers} SELECT {columns} FROM n;\n")
    };
    all.iter().map(insert).collect()
}

/// A row of a table that needs no skew, by the types of its columns: every row differs from every other one in each
/// column, apart from `app`. It is enough for a table whose rows are found by its whole key.
fn plain_row(model: &dyn Projection, table: &str, bytes: &str, app: &str) -> String {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch(model.schema()).unwrap();
    let mut columns = database.prepare("SELECT name, type FROM pragma_table_info($1)").unwrap();
    let value = |name: &str, of_type: &str| match (name, of_type) {
        ("app", _) => app.to_owned(),
        (_, "TEXT") => "'text-' || i".to_owned(),
        (_, "BYTEA") => bytes.to_owned(),
        (_, "BIGINT") => "i".to_owned(),
        (name, other) => panic!("{table}.{name} is of the type {other}: add it here"),
    };
    let values =
        columns.query_map([table], |row| Ok(value(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?))).unwrap();
    values.collect::<Result<Vec<_>, _>>().unwrap().join(", ")
}

#[test]
fn a_table_without_a_row_of_its_own_is_filled_by_the_types_of_its_columns() {
    let seeded = script(10, "BLOB");
    assert_eq!(seeded.matches("INSERT INTO ").count(), ALL.iter().map(|model| model.tables().len()).sum::<usize>());
    let ids = seeded.lines().find(|line| line.starts_with("INSERT INTO unique_ids_v1 ")).unwrap();
    let bytes = "CAST(CAST(1000000000000000 + i AS TEXT) AS BLOB)";
    let row = format!("SELECT {bytes}, CASE WHEN i % 10 = 0 THEN 'app-two' ELSE 'app-one' END, {bytes}, i FROM n;");
    assert!(ids.ends_with(&row), "{ids}");
}
