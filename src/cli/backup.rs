//! `rollcall backup` and `rollcall restore`.

use std::path::Path;
use std::process::ExitCode;

use super::models::{progress_bar, show};
use super::{Data, Failure, recover, runtime};
use crate::audit::tree;
use crate::engine::clock::Clock;
use crate::out::{say, tell};
use crate::wiring::{DataDir, backup};

pub(super) fn back_up(to: &Path, data: &Data) -> Result<ExitCode, Failure> {
    let bar = progress_bar("events");
    let progress = |done, all| show(&bar, done, all);
    let manifest = runtime()?.block_on(backup::back_up(&data.place(), to, Clock::default().now(), &progress))?;
    bar.finish_and_clear();
    say!("{} events, root {}: whole, and as the signed checkpoint says", manifest.events, manifest.root);
    tell!(
        "The keys are not in {}. Replicate vault.db and root.cell to another machine as they change, and archive them never: a \
         copy opens nothing once a user was erased or the keys were rotated since, which is what makes an erasure final. \
         Without a replica that is up to date, nothing personal in this backup can be read.",
        to.display()
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(from: &Path, data: &Data) -> Result<ExitCode, Failure> {
    let place = data.place();
    let manifest = backup::put_back(from, &place)?;
    {
        let restored = DataDir::open_to_recover(&place)?;
        let origin = tree::origin(restored.vault.as_ref());
        if origin != manifest.origin {
            return Err(format!(
                "the backup is of {}, and the keys in {} are of {origin}: nothing of it could be read; remove log.db there, and \
                 put the keys of the backup's service in their place",
                manifest.origin,
                place.dir.display()
            )
            .into());
        }
    }
    say!("put back: {} events as of {}", manifest.events, manifest.taken_at.format("%Y-%m-%dT%H:%M:%SZ"));
    recover::run(data)
}
