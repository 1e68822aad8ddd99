//! `rollcall copy`: to another backend.

use std::process::ExitCode;

use super::models::{progress_bar, show};
use super::wiring::LogPlace;
use super::{Data, Failure, runtime};
use crate::audit::moving;
use crate::engine::rebuild;

pub(super) fn run(data: &Data, to: LogPlace) -> Result<ExitCode, Failure> {
    let place = data.place();
    if place.log == to {
        return Err("source and target are the same".into());
    }
    let from = data.open()?;
    let target = from.beside(to)?;
    let runtime = runtime()?;
    let bar = progress_bar();
    let progress = |done, all| show(&bar, done, all);
    runtime.block_on(moving::copy(from.log.as_ref(), target.log.as_ref(), &progress))?;
    eprintln!("copied; now every event is compared");
    let (events, root) = runtime.block_on(moving::compare(from.log.as_ref(), target.log.as_ref(), &progress))?;
    // What the service had not applied when it stopped is no difference.
    let models = rollcall_projections::ALL;
    runtime.block_on(rebuild::catch_up(&from.log, &from.vault, &from.read, models, &progress))?;
    runtime.block_on(rebuild::catch_up(&target.log, &from.vault, &target.read, models, &progress))?;
    bar.finish_and_clear();
    for model in models {
        let (ours, theirs) =
            runtime.block_on(async { (from.read.digest(model.name()).await, target.read.digest(model.name()).await) });
        if ours? != theirs? {
            let name = model.name();
            return Err(format!("the read model {name} differs in the target; run `rollcall verify` on both").into());
        }
    }
    println!("{events} events, root {}", hex::encode(root));
    println!("{} read models have the same rows", models.len());
    println!(
        "keys stay in {}; start the service with the target, and never again with the source",
        place.dir.display()
    );
    Ok(ExitCode::SUCCESS)
}
