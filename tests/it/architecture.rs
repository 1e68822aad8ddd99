//! The house rules that a compiler cannot hold: which room may use which, and how large a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn sources(below: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), &mut found);
    assert!(!found.is_empty(), "{below} has no source");
    found
}

/// The rooms of `src` a file names, as `crate::room`.
fn rooms_named(source: &str) -> Vec<String> {
    source
        .split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let list = rest.strip_prefix('{').map_or(rest, |list| list.split("};").next().unwrap_or(list));
            let words: Vec<_> = if rest.starts_with('{') { list.split(", ").collect() } else { vec![list] };
            words
                .into_iter()
                .map(|word| word.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>())
                .collect::<Vec<_>>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// `cli → bench → wiring → http → { audit | delivery | live | transfer } → engine → { domain | eventlog | privacy }`.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("eventlog", &[]),
    ("privacy", &[]),
    ("engine", &["domain", "eventlog", "privacy"]),
    ("audit", &["engine", "domain", "eventlog", "privacy"]),
    ("live", &["engine", "domain", "eventlog", "privacy"]),
    ("delivery", &["engine", "domain", "eventlog", "privacy"]),
    ("transfer", &["engine", "domain"]),
    ("http", &["audit", "delivery", "live", "transfer", "engine", "domain"]),
    ("wiring", &["http", "audit", "delivery", "live", "engine", "domain", "eventlog", "privacy"]),
    ("bench", &["wiring", "http", "audit", "delivery", "live", "engine", "domain", "eventlog", "privacy"]),
    (
        "cli",
        &[
            "bench", "wiring", "http", "audit", "delivery", "live", "transfer", "engine", "domain", "eventlog",
            "privacy",
        ],
    ),
];

/// Folders whose modules must not import each other in a circle. Those of the domain do: a decision sees the states of
/// other aggregates through its unit of work, which knows all of them.
const WITHOUT_CIRCLES: &[&str] = &[
    "src/audit",
    "src/audit/as_of",
    "src/bench",
    "src/cli",
    "src/delivery",
    "src/delivery/webhooks",
    "src/engine",
    "src/eventlog",
    "src/eventlog/embedded",
    "src/http",
    "src/live",
    "src/transfer",
    "src/privacy/key_tree",
    "src/wiring",
    "projections/store",
    "projections/store/postgres",
    "projections/store/sqlite",
];

#[test]
fn a_room_uses_only_the_rooms_below_it() {
    for (room, allowed) in ROOMS {
        for file in sources(&format!("src/{room}")) {
            for named in rooms_named(&fs::read_to_string(&file).unwrap()) {
                let known = ROOMS.iter().any(|(room, _)| *room == named);
                assert!(
                    !known || named == *room || allowed.contains(&named.as_str()),
                    "{} uses {named}, which {room} must not",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_check_of_rooms_sees_a_forbidden_use() {
    assert_eq!(rooms_named("use crate::engine::Engine;"), ["engine"]);
    assert_eq!(rooms_named("use crate::{audit, engine, http};"), ["audit", "engine", "http"]);
    assert_eq!(rooms_named("let x = crate::eventlog::embedded::open();"), ["eventlog"]);
}

/// The modules of a folder, each with its files.
fn modules(folder: &str) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found = BTreeMap::<String, Vec<PathBuf>>::new();
    for file in sources(folder) {
        let inside = file.strip_prefix(root().join(folder)).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let name = first.trim_end_matches(".rs");
        if name != "mod" && !name.starts_with("tests") {
            found.entry(name.into()).or_default().push(file.clone());
        }
    }
    found
}

/// What a source names behind `prefix`, one by one or in a list, without what its tests name.
fn named_behind(source: &str, prefix: &str) -> Vec<String> {
    let word = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let without_tests = source.split("#[cfg(test)]").next().unwrap_or_default();
    without_tests
        .split(prefix)
        .skip(1)
        .flat_map(|rest| {
            let Some(list) = rest.strip_prefix('{') else { return vec![word(rest)] };
            let (mut depth, mut start, mut items) = (0, 0, vec![]);
            for (at, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    ',' | '}' if depth == 0 => {
                        items.push(word(&list[start..at]));
                        start = at + 1;
                        if c == '}' {
                            break;
                        }
                    }
                    _ => {}
                }
            }
            items
        })
        .collect()
}

/// The modules that import themselves over others.
fn in_circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<&str> {
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = next.pop() {
            for named in imports.get(&module).into_iter().flatten() {
                if seen.insert(named.clone()) {
                    next.push(named.clone());
                }
            }
        }
        seen
    };
    imports.keys().map(String::as_str).filter(|module| reached(module).contains(*module)).collect()
}

#[test]
fn modules_of_a_folder_do_not_import_each_other_in_a_circle() {
    for folder in WITHOUT_CIRCLES {
        let modules = modules(folder);
        let behind = [format!("{}::", folder.rsplit('/').next().unwrap()), "super::".to_owned()];
        let imports: BTreeMap<_, BTreeSet<_>> = modules
            .iter()
            .map(|(module, files)| {
                let sources = files.iter().map(|file| fs::read_to_string(file).unwrap());
                let named = sources.flat_map(|source| behind.each_ref().map(|prefix| named_behind(&source, prefix)));
                let of_folder = named.flatten().filter(|named| named != module && modules.contains_key(named));
                (module.clone(), of_folder.collect())
            })
            .collect();
        assert_eq!(in_circles(&imports), [""; 0], "{folder}: {imports:?}");
    }
}

#[test]
fn the_check_of_circles_sees_one() {
    assert_eq!(named_behind("use super::{a::{B, C}, d, E};\nsuper::f::g();", "super::"), ["a", "d", "E", "f"]);
    assert_eq!(named_behind("use super::a;\n#[cfg(test)]\nmod tests { use super::b; }", "super::"), ["a"]);
    let imports = |pairs: &[(&str, &str)]| {
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for (from, to) in pairs {
            found.entry((*from).into()).or_default().insert((*to).into());
        }
        found
    };
    assert_eq!(in_circles(&imports(&[("a", "b"), ("b", "c")])), [""; 0]);
    assert_eq!(in_circles(&imports(&[("a", "b"), ("b", "c"), ("c", "b")])), ["b", "c"]);
}

#[test]
fn the_faces_do_not_know_each_other() {
    const FACES: [&str; 4] = ["server_v1", "server_v4", "rest", "client"];
    for face in FACES {
        for file in sources(&format!("src/http/{face}")) {
            let source = fs::read_to_string(&file).unwrap();
            for other in FACES.iter().filter(|other| **other != face) {
                for path in [format!("http::{other}"), format!("super::{other}"), format!("super::super::{other}")] {
                    assert!(!source.contains(&path), "{} uses the face {other}", file.display());
                }
            }
        }
    }
}

#[test]
fn a_face_opens_personal_values_only_where_the_read_is_recorded() {
    for file in sources("src/http") {
        let source = fs::read_to_string(&file).unwrap();
        for forbidden in ["open_text(", "open_value(", "engine.user_ids(", ".open_stored("] {
            assert!(!source.contains(forbidden), "{} calls {forbidden} past Engine::disclose", file.display());
        }
    }
}

#[test]
fn the_domain_asks_for_no_time_no_chance_and_no_disk() {
    for file in sources("src/domain") {
        let source = fs::read_to_string(&file).unwrap();
        for forbidden in ["Utc::now", "new_v4", "now_v7", "std::fs", "std::net", "tokio", "async fn", "rand::"] {
            assert!(!source.contains(forbidden), "{} contains {forbidden}", file.display());
        }
    }
}

/// `_ =>` hides what is new: an event, a state or a command that nobody decided about.
#[test]
fn no_match_of_the_domain_has_an_arm_for_whatever_else_there_is() {
    for file in sources("src/domain") {
        // What callers say is text and JSON: there is always something else.
        if file.ends_with("values.rs") {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        for arm in ["_ =>", "_ if ", "(_, _) =>"] {
            let found = source.lines().find(|line| line.trim_start().starts_with(arm));
            assert!(found.is_none(), "{} has the arm {found:?}", file.display());
        }
    }
}

#[test]
fn only_the_composition_root_names_an_adapter() {
    for (room, _) in ROOMS.iter().filter(|(room, _)| !["wiring", "eventlog", "privacy"].contains(room)) {
        for file in sources(&format!("src/{room}")) {
            let source = fs::read_to_string(&file).unwrap();
            // A test of a room may run over a real adapter.
            let is_test = file.file_name().is_some_and(|name| name == "tests.rs");
            let tested = source.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(is_test || !tested.contains("embedded::"), "{} names an adapter", file.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_600_lines() {
    for below in ["src", "schemas", "projections", "tests"] {
        for file in sources(below) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= 600, "{} has {lines} lines", file.display());
        }
    }
}

#[test]
fn every_read_model_has_the_same_four_files() {
    for model in rollcall_projections::ALL {
        for file in ["mod.rs", "schema.sql", "projector.rs", "queries.rs"] {
            let path = root().join("projections").join(model.name()).join(file);
            assert!(path.is_file(), "{} is missing", path.display());
        }
    }
}

#[test]
fn every_aggregate_has_a_folder_of_schemas_and_a_file_of_decisions() {
    for declaration in rollcall_schemas::Event::declarations() {
        let aggregate = declaration.name.split('.').next().unwrap();
        assert!(root().join("schemas").join(aggregate).join("mod.rs").is_file(), "schemas/{aggregate}");
        assert!(root().join("src/domain").join(format!("{aggregate}.rs")).is_file(), "src/domain/{aggregate}.rs");
    }
}
