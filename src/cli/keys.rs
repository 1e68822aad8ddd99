//! `rollcall keys`: the key tree of a stopped data directory.

use std::process::ExitCode;
use std::time::Instant;

use super::{Failure, KeysTask};
use crate::privacy::{Rotated, Vault};

pub(super) fn run(task: &KeysTask) -> Result<ExitCode, Failure> {
    match task {
        KeysTask::Show { data } => show(data.open()?.vault.as_ref()),
        KeysTask::Rotate { data } => rotate(data.open()?.vault.as_ref())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(vault: &dyn Vault) {
    println!("finality class: {}", vault.finality().class().letter());
    println!("root cell:      {}", vault.cell());
    println!("generation:     {}", vault.generation());
}

fn rotate(vault: &dyn Vault) -> Result<(), Failure> {
    let began = Instant::now();
    let Rotated { generation_before, generation_after } = vault.rotate()?;
    println!("rotated generation {generation_before} -> {generation_after} in {:.2?}", began.elapsed());
    Ok(())
}
