//! Checks of what must hold for a data directory, however the process that wrote it ended.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::Service;

/// Fails unless every read model of the stopped service is what a rebuild makes of its log.
#[track_caller]
pub fn verified(service: &Service) {
    let output = service.command(&["verify"]);
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    let models: Vec<_> = said.lines().collect();
    assert!(models.len() > 5, "{said}");
    for model in models {
        assert!(model.contains("\tequal\t") && model.ends_with("parked 0"), "{said}");
    }
}

/// Fails unless every read model of the stopped service can be built anew.
#[track_caller]
pub fn rebuilt(service: &Service) {
    let output = service.command(&["rebuild", "all"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn open(data: &Path) -> Connection {
    Connection::open_with_flags(data.join("log.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// How many events of a name the log holds; the service may be running.
pub fn recorded(data: &Path, name: &str) -> u64 {
    let count = "select count(*) from event join event_name on event_name.number = event.name
        where event_name.name = ?1";
    open(data).query_row(count, [name], |row| row.get(0)).unwrap()
}

/// Fails unless positions are gapless from 1, so are revisions per stream, and no event stands twice; answers how many
/// events there are.
#[track_caller]
pub fn log_is_gapless(data: &Path) -> u64 {
    let log = open(data);
    let one = |query: &str| log.query_row(query, [], |row| row.get::<_, u64>(0)).unwrap();
    let events = one("select count(*) from event");
    assert_eq!((one("select min(position) from event"), one("select max(position) from event")), (1, events));
    let streams_with_gaps = "select count(*) from (select 1 from event group by stream
        having min(revision) <> 1 or max(revision) <> count(*) or count(distinct revision) <> count(*))";
    assert_eq!(one(streams_with_gaps), 0, "streams with gaps");
    assert_eq!(one("select count(distinct id) from event"), events, "an event stands twice");
    let check: String = log.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    events
}
