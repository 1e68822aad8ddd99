//! What a registration leaves on the disk.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::Error;
use super::figures::{Figure, Figures, Unit};
use crate::out::say;

/// What is in a database file, as the newest transaction left it: its pages, whether they stand in the file already or
/// in the WAL only. Free pages count; they are on the disk too.
fn bytes(file: &Path) -> Result<u64, rusqlite::Error> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    Ok(number("pragma page_count")? * number("pragma page_size")?)
}

/// Measures how many bytes each registration takes in the files of a data directory.
///
/// # Errors
/// A file cannot be read.
pub(super) fn measure(data: &Path, registered: u64, figures: &mut Figures) -> Result<(), Error> {
    let mut parts = Vec::new();
    for (what, file) in [("log", "log.db"), ("read models", "read.db"), ("vault", "vault.db")] {
        #[allow(clippy::cast_precision_loss)]
        let each = bytes(&data.join(file))? as f64 / registered as f64;
        figures.add(&format!("bytes per registration, {what}"), Figure::once(each, Unit::Bytes));
        parts.push(format!("{what} {each:.0} B"));
    }
    say!("{:<44} {}", "  on the disk, each", parts.join("  "));
    Ok(())
}
