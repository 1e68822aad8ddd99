//! The modules of the store over `PostgreSQL` import each other in one direction only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules beside it that a source imports: `use super::one::Thing;` and `use super::{one, two::Thing};`.
fn imported(source: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let mut found = BTreeSet::new();
    for rest in source.split("super::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split('}').next().unwrap().split(',').map(|part| word(part.trim()))),
            None => drop(found.insert(word(rest))),
        }
    }
    found.remove("super");
    found
}

/// Modules that import each other in a circle, the first of them again at the end.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(at: &str, imports: &BTreeMap<String, BTreeSet<String>>, way: &mut Vec<String>) -> bool {
        let is_back = way.iter().any(|passed| passed == at);
        way.push(at.to_owned());
        if is_back || imports.get(at).into_iter().flatten().any(|next| walk(next, imports, way)) {
            return true;
        }
        way.pop();
        false
    }
    imports.keys().find_map(|start| {
        let mut way = vec![];
        walk(start, imports, &mut way).then_some(way)
    })
}

#[test]
fn the_modules_of_the_store_over_postgres_import_each_other_in_no_circle() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("store/postgres");
    let mut imports = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // It only says which modules there are, and what of them others see.
        if name != "mod" {
            imports.insert(name, imported(&std::fs::read_to_string(&path).unwrap()));
        }
    }
    for (module, imported) in &imports {
        let unknown = imported.iter().find(|name| !imports.contains_key(*name));
        assert_eq!(unknown, None, "{module} imports something that is not of a module beside it");
    }
    assert_eq!(circle(&imports), None);
}

#[test]
fn the_check_for_circles_sees_one() {
    let imports = |modules: &[(&str, &str)]| {
        modules.iter().map(|(module, source)| ((*module).to_owned(), imported(source))).collect::<BTreeMap<_, _>>()
    };
    let (a, b) = (("a", "use super::{b, c::C};"), ("b", "use super::c::{self, C};"));
    assert_eq!(circle(&imports(&[a, b, ("c", "use crate::b;")])), None);
    assert_eq!(circle(&imports(&[a, b, ("c", "fn f(x: super::b::B) {}")])).unwrap(), ["a", "b", "c", "b"]);
}
