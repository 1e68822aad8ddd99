//! Settings that are secrets, read from files that hold nothing else: neither the list of processes nor an environment
//! that is handed down shows them.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use super::app_spec::AppSpec;
use crate::database::Database;
use crate::wiring::LogPlace;
use crate::wiring::places::{self, VaultTarget};

/// More than any secret needs: another file was meant.
const BYTES_MAX: u64 = 1 << 20;

/// Reads such a file, without the line break at its end.
///
/// # Errors
/// It cannot be read, is empty, or is no text. No error shows what is in it.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let failed = |why: &dyn Display| format!("the file {} cannot be used: {why}", path.display());
    let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > BYTES_MAX {
        return Err(failed(&"it is larger than a secret is"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(failed(&"it is empty")),
        text => Ok(text.to_owned()),
    }
}

fn parsed<T, E: Display>(path: &Path, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, String> {
    let text = read(path)?;
    parse(&text).map_err(|error| format!("the file {} is not valid: {error}", path.display()))
}

/// Reads the address of a database.
pub(super) fn database(path: &str) -> Result<Database, String> {
    parsed(Path::new(path), Database::from_str)
}

/// Reads the address of a `KurrentDB`.
pub(super) fn kurrentdb(path: &str) -> Result<String, String> {
    parsed(Path::new(path), places::kurrentdb)
}

/// Reads where a log may be moved to.
pub(super) fn target(path: &str) -> Result<LogPlace, String> {
    parsed(Path::new(path), places::target)
}

/// Reads where keys may be moved to.
pub(super) fn vault_target(path: &str) -> Result<VaultTarget, String> {
    parsed(Path::new(path), places::vault_target)
}

/// The apps a file names.
#[derive(Debug, Clone)]
pub(super) struct Apps(pub(super) Vec<AppSpec>);

/// Reads apps, one a line; an empty line or one that starts with `#` is none.
pub(super) fn apps(path: &str) -> Result<Apps, String> {
    parsed(Path::new(path), |text| {
        let lines = text.lines().map(str::trim).enumerate();
        let named = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let spec =
            |(at, line): (usize, &str)| line.parse::<AppSpec>().map_err(|reason| format!("line {}: {reason}", at + 1));
        named.map(spec).collect::<Result<_, _>>().map(Apps)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    fn path(file: &tempfile::NamedTempFile) -> &str {
        file.path().to_str().unwrap()
    }

    #[test]
    fn a_file_holds_one_setting_and_may_end_in_a_line_break() {
        for end in ["", "\n", "\r\n"] {
            let address = file(&format!("postgres://ada:geheim@example.org/rollcall{end}"));
            assert_eq!(
                database(path(&address)),
                "postgres://ada:geheim@example.org/rollcall".parse().map_err(|_| String::new())
            );
        }
    }

    #[test]
    fn apps_stand_one_a_line_and_an_error_names_the_line_and_no_secret() {
        let two = file("# of the shop\nshop:short\n\nforum:sixteen-and-more:production:pro\n");
        let keys: Vec<_> = apps(path(&two)).unwrap().0.iter().map(|app| app.key.to_string()).collect();
        assert_eq!(keys, ["shop", "forum"]);
        let bad = apps(path(&file("shop:short\nforum:hunter2:moon\n"))).unwrap_err();
        assert!(bad.contains("line 2") && !bad.contains("hunter2"), "{bad}");
    }

    #[test]
    fn a_missing_an_empty_and_a_wrong_file_are_told_without_what_they_hold() {
        let missing = database("/nothing/there").unwrap_err();
        assert!(missing.contains("/nothing/there"), "{missing}");
        let empty = database(path(&file("\n"))).unwrap_err();
        assert!(empty.contains("empty"), "{empty}");
        let wrong = database(path(&file("postgres://ada:geheim@example.org/rollcall?frobnicate=1"))).unwrap_err();
        assert!(!wrong.contains("geheim"), "{wrong}");
        let wrong = kurrentdb(path(&file("http://admin:geheim@example.org"))).unwrap_err();
        assert!(!wrong.contains("geheim"), "{wrong}");
    }
}
