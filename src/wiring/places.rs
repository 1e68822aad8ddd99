//! Where log, keys and their root are, as settings write it.

use super::{CellSpec, LogPlace};
use crate::database::{self, Database};

/// Reads which root cell is meant: `local`, `local:FILE`, `split:CELL,CELL` or `transit:KEY`.
///
/// # Errors
/// It is none of these.
pub fn root_cell(text: &str) -> Result<CellSpec, String> {
    const FORM: &str = "expected local, local:FILE, split:CELL,CELL or transit:KEY";
    match text.split_once(':') {
        None if text == "local" => Ok(CellSpec::Local),
        Some(("local", file)) if !file.is_empty() => Ok(CellSpec::File(file.into())),
        #[cfg(feature = "vault-transit")]
        Some(("transit", key))
            if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) =>
        {
            Ok(CellSpec::Transit(key.into()))
        }
        #[cfg(not(feature = "vault-transit"))]
        Some(("transit", _)) => Err("this build has no transit cell; build it with `--features vault-transit`".into()),
        Some(("split", cells)) => match cells.split(',').collect::<Vec<_>>().as_slice() {
            [first, second] if ![first, second].iter().any(|cell| cell.starts_with("split")) => {
                Ok(CellSpec::Split(Box::new(root_cell(first)?), Box::new(root_cell(second)?)))
            }
            _ => Err(format!("a root is split over two cells that are not split themselves; {FORM}")),
        },
        _ => Err(format!("there is no such root cell; {FORM}")),
    }
}

/// Reads the address of a `KurrentDB`.
///
/// # Errors
/// It is none, or this build has no `KurrentDB`.
pub fn kurrentdb(text: &str) -> Result<String, String> {
    if !["esdb://", "esdb+discover://", "kurrentdb://", "kurrentdb+discover://"]
        .iter()
        .any(|form| text.starts_with(form))
    {
        return Err("expected esdb://USER:PASSWORD@HOST:2113, several hosts with commas".into());
    }
    LogPlace::of(Some(text.into()), None).map(|_| text.into())
}

/// Reads where a log may be moved to.
///
/// # Errors
/// It is none of the backends.
pub fn target(text: &str) -> Result<LogPlace, String> {
    if text == "embedded" {
        return Ok(LogPlace::Embedded);
    }
    if text.starts_with("esdb") || text.starts_with("kurrentdb") {
        return LogPlace::of(Some(kurrentdb(text)?), None);
    }
    LogPlace::of(None, Some(text.parse().map_err(|error: database::Error| error.to_string())?))
}

/// Where keys may be moved to: a database, or the data directory.
#[derive(Debug, Clone)]
pub struct VaultTarget(pub Option<Database>);

/// Reads where keys may be moved to.
///
/// # Errors
/// It is neither.
pub fn vault_target(text: &str) -> Result<VaultTarget, String> {
    if text == "embedded" {
        return Ok(VaultTarget(None));
    }
    text.parse().map(|database| VaultTarget(Some(database))).map_err(|error: database::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_root_cell_is_local_elsewhere_or_split_over_two() {
        let file = |path: &str| CellSpec::File(path.into());
        let split = |first, second| CellSpec::Split(Box::new(first), Box::new(second));
        for (text, cell) in [
            ("local", CellSpec::Local),
            ("local:/mnt/key/root.cell", file("/mnt/key/root.cell")),
            ("local:C:odd", file("C:odd")),
            ("split:local,local:/mnt/a", split(CellSpec::Local, file("/mnt/a"))),
            ("split:local:/a,local:/b", split(file("/a"), file("/b"))),
        ] {
            assert_eq!(root_cell(text), Ok(cell), "{text}");
        }
        for bad in [
            "",
            "Local",
            "local:",
            "tpm",
            "split",
            "split:",
            "split:local",
            "split:local,",
            "split:local,local:/a,local:/b",
            "split:split:local,local:/a",
        ] {
            let refused = root_cell(bad).unwrap_err();
            assert!(refused.contains("split:CELL,CELL"), "{bad}: {refused}");
        }
    }
}
