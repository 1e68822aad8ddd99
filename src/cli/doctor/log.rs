//! Whether the log is what was seen of it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{Found, Visit};
use crate::audit::incident::{Error, Incidents};
use crate::cli::database_client::Client;
#[cfg(feature = "kurrentdb")]
use crate::eventlog::{self, kurrentdb};
#[cfg(feature = "kurrentdb")]
use crate::tasks::Runtime;

const STEPS: &str = "see docs/broken-log.md";

/// Whether a node found the log broken.
pub(super) fn incident(visit: &mut Visit, dir: &Path) {
    match Incidents::of(dir).open() {
        Ok(None) => {}
        Ok(Some(incident)) => {
            let how = format!("{incident}. The service does not start on it; {}; {STEPS}", incident.remedy());
            visit.say(Found::Bad, "incident", how);
        }
        Err(error @ (Error::File { .. } | Error::Open { .. } | Error::Log(_))) => {
            visit.say(Found::Bad, "incident", error);
        }
    }
}

/// How many events a log holds, against what its signed checkpoint has seen.
fn length(visit: &mut Visit, dir: &Path, head: u64) {
    let checkpoint = dir.join("tree").join("checkpoint");
    let seen = std::fs::read_to_string(&checkpoint).ok();
    let seen = seen.and_then(|note| note.lines().nth(1)?.parse::<u64>().ok()).unwrap_or(0);
    let is = format!("{head} events, of {seen} that {} has seen", checkpoint.display());
    let remedy =
        format!("it was put back to an earlier state: put back the newest one, or run `rollcall recover`; {STEPS}");
    visit.must(head >= seen, "length of the log", is, &remedy);
}

/// The log in the data directory, which a running service may be writing.
pub(super) fn embedded(visit: &mut Visit, dir: &Path) {
    let file = dir.join("log.db");
    if !file.is_file() {
        return;
    }
    let head = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|log| log.query_row("select coalesce(max(position), 0) from event", [], |row| row.get(0)));
    match head {
        Ok(head) => length(visit, dir, head),
        Err(error) => visit.say(Found::Bad, "log", format!("{} cannot be read: {error}", file.display())),
    }
}

const OF_SERVER: &str =
    "select coalesce((select max(position) from rollcall_log.event), 0), (select vault from rollcall_log.epoch)";

/// The log in a database.
///
/// # Errors
/// The server does not answer.
pub(super) fn postgres(visit: &mut Visit, client: &mut Client, dir: &Path) -> Result<(), crate::database::Error> {
    let row = client.query_typed_one(OF_SERVER, &[])?;
    let (head, owner): (i64, Option<uuid::Uuid>) = (row.try_get(0)?, row.try_get(1)?);
    length(visit, dir, u64::try_from(head).unwrap_or(0));
    if let Some((owner, vault)) = owner.zip(vault(dir)) {
        let remedy = format!("the data directory holds the vault {vault}: use the one that the log was made with");
        visit.must(owner == vault, "vault of the log", owner, &remedy);
    }
    Ok(())
}

/// The vault in the data directory, if it holds one.
fn vault(dir: &Path) -> Option<uuid::Uuid> {
    let file = dir.join("vault.db");
    let vault = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let id = vault.query_row("select vault from vault", [], |row| row.get::<_, [u8; 16]>(0)).optional().ok()??;
    Some(uuid::Uuid::from_bytes(id))
}

/// The log in `KurrentDB`, against the replica in the data directory, which a running service may be writing.
#[cfg(feature = "kurrentdb")]
pub(super) fn kurrent(visit: &mut Visit, address: &str, dir: &Path) {
    let (stream, replica) = (kurrentdb::stream(address), kurrentdb::replica(address, dir));
    let runtime = match Runtime::start(1) {
        Ok(runtime) => runtime,
        Err(error) => return visit.say(Found::Bad, "KurrentDB", error),
    };
    match runtime.block_on(kurrentdb::inspect(address, stream, &replica)) {
        Ok(()) => visit.say(Found::Good, "stream", format!("{stream} holds what its replica knows")),
        Err(eventlog::Error::Corrupt { position, reason }) => {
            let code = reason.damage.code();
            visit.say(Found::Bad, "stream", format!("{code} at position {position}: {reason}; {STEPS}"));
        }
        Err(error) => visit.say(Found::Bad, "KurrentDB", error),
    }
}
