//! Every read model has the same shape, and leaves nothing behind.

use std::path::Path;

use rollcall_projections::store::ReadStore;
use rollcall_projections::{
    ALL, Changes, Declaration, Entry, Inconsistent, PAST_ONLY, Projection, Reads, apps, user_directory,
};
use rusqlite::Connection;

use crate::rebuilding::store;
use crate::support::{Log, now, subject};

#[test]
fn every_read_model_is_a_folder_of_the_same_four_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<String> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("schema.sql").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut names: Vec<_> = ALL.iter().chain(PAST_ONLY).map(|model| model.name()).collect();
    names.sort_unstable();
    assert_eq!(folders, names, "a folder with a schema is a read model in ALL or PAST_ONLY, and the other way round");
    for folder in folders {
        for file in ["mod.rs", "schema.sql", "projector.rs", "queries.rs"] {
            assert!(root.join(&folder).join(file).exists(), "{folder} lacks {file}");
        }
    }
}

#[test]
fn tables_are_named_after_their_read_model_and_its_version() {
    for model in ALL.iter().chain(PAST_ONLY) {
        for table in model.tables() {
            assert!(table.starts_with(model.name()), "{table} is not of {}", model.name());
            assert!(table.ends_with(&format!("_v{}", model.version())), "{table} does not carry its version");
        }
        assert_eq!(model.schema().matches("CREATE TABLE").count(), model.tables().len());
        assert_eq!(model.schema().matches("PRIMARY KEY").count(), model.tables().len());
        for other in ALL.iter().filter(|other| other.name() != model.name()) {
            for sql in model.statements().iter().chain(model.queries()) {
                let foreign = other
                    .tables()
                    .iter()
                    .find(|table| sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == **table));
                assert_eq!(foreign, None, "{} touches a table of {}", model.name(), other.name());
            }
        }
    }
}

#[test]
fn parameters_appear_in_the_order_of_their_numbers() {
    for model in ALL.iter().chain(PAST_ONLY) {
        for sql in model.statements().iter().chain(model.queries()) {
            let mut seen = 0;
            for part in sql.split('$').skip(1) {
                let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
                let number: u32 = digits.parse().unwrap();
                assert!(number <= seen + 1, "{sql}");
                seen = seen.max(number);
            }
        }
    }
}

#[test]
fn a_dropped_read_model_leaves_nothing_behind() {
    let (files, store) = store();
    let mut log = Log::default();
    log.register(subject(1));
    now(store.apply(&log.after(0), ALL)).unwrap();
    for model in ALL {
        now(store.drop_model(model.name())).unwrap();
        assert!(store.checkpoint(model.name()).is_err());
        assert!(now(store.apply(&log.after(0), &[*model])).is_err());
    }
    let connection = Connection::open(files.path().join("read.db")).unwrap();
    let left: i64 = connection
        .query_row("SELECT COUNT(*) FROM sqlite_master WHERE name NOT LIKE '%store_%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    let checkpoints: i64 = connection.query_row("SELECT COUNT(*) FROM store_checkpoint", [], |row| row.get(0)).unwrap();
    assert_eq!(checkpoints, 0);
}

#[test]
fn no_statement_walks_a_whole_table_or_sorts_in_memory() {
    let (files, _store) = store();
    let connection = Connection::open(files.path().join("read.db")).unwrap();
    for model in ALL {
        for sql in model.statements().iter().chain(model.queries()) {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let steps = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
            for step in steps.map(Result::unwrap) {
                // To count and to find a quantile, all that is asked about must be looked at.
                let counts = sql.contains("GROUP BY") || sql.contains("ROW_NUMBER()");
                if counts && (step.contains("subquery") || step.ends_with("ranked")) {
                    continue;
                }
                // A scan along an index stops at the LIMIT; a subquery that is named `page` has one of its own.
                let walks = step.starts_with("SCAN")
                    && step != "SCAN page"
                    && !step.contains("USING")
                    && !step.contains("CONSTANT")
                    && !step.contains("VALUES");
                assert!(!walks, "{}: {step}: {sql}", model.name());
                assert!(counts || !step.contains("TEMP B-TREE"), "{}: {step}: {sql}", model.name());
            }
        }
    }
}

#[test]
fn every_question_is_asked_by_the_service() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let asked = sources(&root.join("../src"));
    for model in ALL.iter().chain(PAST_ONLY) {
        let folder = std::fs::read_to_string(root.join(model.name()).join("mod.rs")).unwrap();
        let (_, questions) = folder.split_once("pub use queries::").unwrap();
        let names = questions.split(|c: char| !c.is_alphanumeric() && c != '_');
        for question in names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())) {
            let call = format!("{}::{question}(", model.name());
            assert!(
                asked.contains(&call),
                "nobody asks {call}); remove it, and the statements and indexes that it alone needs"
            );
        }
    }
}

/// The text of every source file under a directory.
fn sources(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: std::path::PathBuf| match path.is_dir() {
        true => sources(&path),
        false => std::fs::read_to_string(path).unwrap(),
    };
    entries.map(text).collect()
}

/// The ban list as a later version could be.
struct Later;

impl Projection for Later {
    fn declared(&self) -> &'static Declaration {
        &Declaration {
            name: "banned_users",
            version: 5,
            schema: "CREATE TABLE banned_users_v5 (subject BYTEA NOT NULL, PRIMARY KEY (subject)) /*clustered*/;",
            tables: &["banned_users_v5"],
            statements: &[],
            queries: &[],
            remains: &[],
            reads: Reads::Only(&[]),
        }
    }
    fn project(&self, _: &Entry<'_>, _: &mut Changes) -> Result<(), Inconsistent> {
        Ok(())
    }
}

#[test]
fn a_read_model_of_another_version_is_dropped_and_starts_at_its_beginning() {
    let (files, store) = store();
    let mut log = Log::default();
    log.register(subject(1));
    now(store.apply(&log.after(0), ALL)).unwrap();
    drop(store);
    let path = files.path().join("read.db");
    let store = ReadStore::open_with(&path, &[&Later]).unwrap();
    assert_eq!(store.checkpoint("banned_users").unwrap(), 0);
    now(store.apply(&log.after(0), &[&Later])).unwrap();
    drop(store);
    let connection = Connection::open(&path).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'banned_users%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(tables, ["banned_users_v5"]);
    let store = ReadStore::open(&path).unwrap();
    assert_eq!(store.checkpoint("banned_users").unwrap(), 0);
    assert_eq!(store.checkpoint("blocklists").unwrap(), 1, "the others stay");
}

#[tokio::test]
async fn one_store_is_asked_from_many_tasks_while_it_is_written() {
    let (_files, store) = store();
    let store = std::sync::Arc::new(store);
    let mut log = Log::default();
    for number in 0..50 {
        log.register(subject(number));
    }
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move {
                let app = crate::support::app("app-one");
                let asked: Vec<_> = (0..50).map(subject).collect();
                user_directory::by_subjects(&store, &app, &asked).await.unwrap();
                apps::of(&store, &app).await.unwrap();
            })
        })
        .collect();
    for arrival in log.after(0) {
        now(store.apply(&[arrival], ALL)).unwrap();
        tokio::task::yield_now().await;
    }
    for task in asking {
        task.await.unwrap();
    }
    assert_eq!(store.checkpoint("user_directory").unwrap(), 50);
}
