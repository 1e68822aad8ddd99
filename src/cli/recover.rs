//! `rollcall recover`.

use std::path::Path;
use std::process::ExitCode;

use rollcall_projections::ALL;

use super::models::{progress_bar, show};
use super::{Data, Failure, runtime};
use crate::audit::merkle;
use crate::audit::recovery::Lost;
use crate::audit::{erasure, recovery};
use crate::engine::rebuild;
use crate::out::say;
use crate::privacy::Witnessed;
use crate::wiring::DataDir;

pub(super) fn run(data: &Data) -> Result<ExitCode, Failure> {
    let data = DataDir::open_to_recover(&data.place())?;
    let runtime = runtime()?;
    let incident = data.incidents.open()?;
    let tree = data.tree();
    let lost = recovery::lost(&tree, data.log.as_ref(), data.vault.as_ref(), incident.as_ref());
    // First: whoever is interrupted has seen it, and is told again.
    report_loss(runtime.block_on(lost)?);
    let found = data.log.head();
    let bar = progress_bar("events");
    let progress = |done, all| show(&bar, done, all);
    runtime.block_on(rebuild::rebuild(&data.log, &data.vault, &data.read, ALL, &progress))?;
    bar.finish_and_clear();
    let service = runtime.block_on(data.start_unproven())?;
    let erased = runtime.block_on(async {
        let erased = recovery::reapply_erasures(&service.engine).await?;
        // What was seen of the log before is forgotten last: a recovery that is interrupted is begun again.
        set_aside(&data.tree())?;
        data.vault.witness(Witnessed { size: 0, root: merkle::empty() })?;
        data.incidents.close()?;
        let keeper = data.keeper().await?;
        while erasure::advance_all(&service.engine, &keeper).await? > 0 {}
        keeper.close().await?;
        Ok::<_, Failure>(erased)
    });
    service.stop();
    say!("recovered {found} events; {} were added, {} erasures hold", data.log.head() - found, erased?);
    Ok(ExitCode::SUCCESS)
}

fn report_loss(lost: Option<Lost>) {
    match lost {
        Some(Lost { first, last }) => {
            let count = last - first + 1;
            say!("lost: the {count} events at the positions {first} to {last}, which had been acknowledged");
            say!("a checkpoint that was signed for them will not match this log");
        }
        None => say!("nothing is lost of what is known of the log"),
    }
}

/// Keeps the tree of the log that is lost, as evidence.
fn set_aside(tree: &Path) -> Result<(), std::io::Error> {
    for number in 1_u32.. {
        let aside = tree.with_extension(number.to_string());
        if !aside.exists() {
            return match std::fs::rename(tree, aside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
    }
    Ok(())
}
