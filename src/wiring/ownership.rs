//! Whose a log in `KurrentDB` is: with another vault than the one it was written with, nothing in it could be read.

use std::collections::HashSet;

use rollcall_schemas::ids::{AppId, ErasureId, SubjectRef};

use super::Error;
use crate::eventlog::kurrentdb::Kurrent;
use crate::eventlog::{self, EventLog as _};
use crate::privacy::{self, Vault};

/// Events that are looked at together.
const PAGE_MAX: usize = 1_000;

/// Sees to it that a log is that of this vault. One that says nothing yet is, if it is empty or the vault has keys for it.
pub(super) async fn claim(log: &Kurrent, vault: &dyn Vault) -> Result<(), Error> {
    let ours = vault.id();
    let owner = match log.owner()? {
        Some(owner) => owner,
        None if log.head() == 0 || has_keys_for(log, vault).await? => log.claim(ours).await?,
        None => return Err(refused("was written with another vault", ours)),
    };
    if owner == ours {
        Ok(())
    } else {
        Err(refused(&format!("belongs to the vault {}", uuid::Uuid::from_bytes(owner)), ours))
    }
}

fn refused(whose: &str, ours: [u8; 16]) -> Error {
    let reason = format!(
        "the log in this KurrentDB {whose}, and the keys here are those of the vault {}: use the data directory or the \
         --vault-database that the log was made with, or another KurrentDB",
        uuid::Uuid::from_bytes(ours)
    );
    eventlog::Error::Unavailable(reason).into()
}

/// Whether a vault has keys of anybody in the log, or destroyed them for an erasure in it: subjects and erasures are random
/// numbers, which no other vault knows. In a log without people it is the secret of an app that tells.
async fn has_keys_for(log: &Kurrent, vault: &dyn Vault) -> Result<bool, Error> {
    let erased = erasures(vault)?;
    let (mut after, mut people, mut apps) = (0, false, HashSet::new());
    while after < log.head() {
        let events = log.read_all(after, PAGE_MAX).await?;
        let Some(last) = events.last() else { break };
        after = last.position;
        for event in events.iter().filter(|event| event.revision == 1) {
            match event.stream.split_once('-') {
                Some(("user", id)) => {
                    people = true;
                    if let Ok(subject) = id.parse::<SubjectRef>()
                        && vault.epoch(subject)?.is_some()
                    {
                        return Ok(true);
                    }
                }
                Some(("erasure", id)) if id.parse().is_ok_and(|id| erased.contains(&id)) => return Ok(true),
                Some(("app", id)) => apps.extend(id.parse::<AppId>()),
                _ => {}
            }
        }
    }
    if people {
        return Ok(false);
    }
    for app in apps {
        if !vault.secrets(&app)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The erasures for which a vault destroyed keys.
fn erasures(vault: &dyn Vault) -> Result<HashSet<ErasureId>, privacy::Error> {
    let (mut erased, mut after) = (HashSet::new(), 0);
    loop {
        let page = vault.destructions(after, 1_000)?;
        let Some((last, _)) = page.last() else { return Ok(erased) };
        after = *last;
        erased.extend(page.iter().map(|(_, destruction)| destruction.keys_to_destroy.erasure));
    }
}
