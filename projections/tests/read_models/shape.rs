//! Every read model has the same shape, and leaves nothing behind.

use std::path::Path;

use rollcall_projections::ALL;
use rusqlite::Connection;

use crate::rebuilding::store;
use crate::support::{Log, subject};

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
    let mut names: Vec<_> = ALL.iter().map(|model| model.name()).collect();
    names.sort_unstable();
    assert_eq!(folders, names, "a folder with a schema is a read model in ALL, and the other way round");
    for folder in folders {
        for file in ["mod.rs", "schema.sql", "projector.rs", "queries.rs"] {
            assert!(root.join(&folder).join(file).exists(), "{folder} lacks {file}");
        }
    }
}

#[test]
fn tables_are_named_after_their_read_model_and_its_version() {
    for model in ALL {
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
    for model in ALL {
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
    store.apply(&log.after(0), ALL).unwrap();
    for model in ALL {
        store.drop_model(model.name()).unwrap();
        assert!(store.checkpoint(model.name()).is_err());
        assert!(store.apply(&log.after(0), &[*model]).is_err());
    }
    let connection = Connection::open(files.path().join("read.db")).unwrap();
    let left: i64 = connection
        .query_row("SELECT COUNT(*) FROM sqlite_master WHERE name NOT LIKE '%store_%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    let checkpoints: i64 = connection.query_row("SELECT COUNT(*) FROM store_checkpoint", [], |row| row.get(0)).unwrap();
    assert_eq!(checkpoints, 0);
}
