//! What `rollcall doctor` looks at in KurrentDB.

use super::{Failure, Found, Visit};
use crate::eventlog::kurrentdb;

pub(super) fn visit(visit: &mut Visit, address: &str) -> Result<(), Failure> {
    let metadata = crate::cli::runtime()?.block_on(kurrentdb::metadata(address, kurrentdb::stream(address)));
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => {
            visit.say(Found::Bad, "KurrentDB", error);
            return Ok(());
        }
    };
    match metadata.danger() {
        Some(danger) => visit.say(Found::Bad, "retention of the log's stream", danger),
        None => visit.say(Found::Good, "retention of the log's stream", "none: every entry is kept"),
    }
    let user = kurrentdb::has_user(address);
    let advice = match user {
        true => {
            "every user of the server may write to it, and one such entry breaks the log: set $r, $w, $d, $mr and $mw"
        }
        false => "nothing here identifies who writes: give the service a user of its own, as esdb://USER:PASSWORD@HOST",
    };
    let is = if metadata.has_acl() { "the stream has one" } else { "the stream has none" };
    visit.should(metadata.has_acl() && user, "$acl of the log's stream", is, advice);
    Ok(())
}
