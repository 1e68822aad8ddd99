//! `rollcall copy`: to another backend.

use std::process::ExitCode;

use clap::Args;

use super::models::{progress_bar, show};
use super::{Data, Failure, places, runtime, secret_file};
use crate::audit::moving;
use crate::engine::rebuild;
use crate::out::{say, tell};
use crate::wiring::{self, CellSpec, DataDir, KeyOptions, LogPlace, Place};

#[derive(Args)]
pub(super) struct Options {
    /// Where the log goes, and the read models: embedded, postgres://… or esdb://…
    #[arg(long, value_name = "WHERE", value_parser = places::target, required_unless_present_any = ["vault_to", "vault_to_file", "to_file"])]
    to: Option<LogPlace>,
    /// File that holds the value of --to and nothing else
    #[arg(long, value_name = "FILE", value_parser = secret_file::target, conflicts_with = "to")]
    to_file: Option<LogPlace>,
    /// Where the keys go: embedded (the data directory) or postgres://…; they are replaced by new ones there, and the old
    /// ones are destroyed
    #[arg(long, value_name = "WHERE", value_parser = places::vault_target, group = "where-the-keys-go")]
    vault_to: Option<places::VaultTarget>,
    /// File that holds the value of --vault-to and nothing else
    #[arg(long, value_name = "FILE", value_parser = secret_file::vault_target, group = "where-the-keys-go")]
    vault_to_file: Option<places::VaultTarget>,
    /// Where the root of the keys goes: local, local:FILE, split:CELL,CELL or transit:KEY
    #[arg(long, value_name = "CELL", value_parser = places::root_cell, requires = "where-the-keys-go", default_value = "local")]
    root_cell_to: CellSpec,
    #[command(flatten)]
    data: Data,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let place = options.data.place();
    if let Some(to) = options.to.as_ref().or(options.to_file.as_ref()) {
        copy_log(&place, to, &options.data)?;
    }
    let Some(places::VaultTarget(database)) = options.vault_to.as_ref().or(options.vault_to_file.as_ref()) else {
        say!(
            "keys stay in {}; start the service with the target, and never again with the source",
            place.dir.display()
        );
        return Ok(ExitCode::SUCCESS);
    };
    let keys = KeyOptions { database: database.clone(), cell: options.root_cell_to.clone(), ..place.keys.clone() };
    if (&keys.database, &keys.cell) == (&place.keys.database, &place.keys.cell) {
        return Err("the keys are there already; name another --vault-to or --root-cell-to".into());
    }
    wiring::move_keys(&place, &keys)?;
    say!("the keys are moved and replaced; the old ones open nothing any more. Start the service with the target");
    Ok(ExitCode::SUCCESS)
}

/// Rewrites a log that an earlier version has written, in the place where it is.
fn convert_log(place: &Place) -> Result<(), Failure> {
    let same = || Failure::from("source and target are the same; name another --to");
    if place.log != LogPlace::Embedded {
        return Err(same());
    }
    let bar = progress_bar("events");
    let converted = wiring::convert_log(place, &|done, all| show(&bar, done, all))?;
    bar.finish_and_clear();
    let events = converted.ok_or_else(same)?;
    say!("{events} events, rewritten in the format of this version and compared one by one");
    Ok(())
}

fn copy_log(place: &Place, to: &LogPlace, data: &Data) -> Result<(), Failure> {
    if place.log == *to {
        return convert_log(place);
    }
    let from = DataDir::open_to_copy(&data.place())?;
    let target = from.in_place(to.clone())?;
    let runtime = runtime()?;
    let bar = progress_bar("events");
    let progress = |done, all| show(&bar, done, all);
    runtime.block_on(moving::copy(from.log.as_ref(), target.log.as_ref(), &progress))?;
    tell!("copied; now every event is compared");
    let (events, root) = runtime.block_on(moving::compare(from.log.as_ref(), target.log.as_ref(), &progress))?;
    // What the service had not applied when it stopped is no difference.
    let models = rollcall_projections::ALL;
    runtime.block_on(target.read.skip_as(&from.read))?;
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
    say!("{events} events, root {}", hex::encode(root));
    say!("{} read models have the same rows", models.len());
    Ok(())
}
