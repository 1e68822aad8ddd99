//! `rollcall keys`: the key tree of a stopped data directory.

use std::process::ExitCode;
use std::time::Instant;

use super::{Failure, KeysTask};
use crate::out::say;
use chrono::SecondsFormat;

use crate::audit::tree;
use crate::privacy::{Rotated, Vault};
use crate::wiring::Place;

pub(super) fn run(task: &KeysTask) -> Result<ExitCode, Failure> {
    match task {
        KeysTask::Show { data } => show(data.open()?.vault.as_ref(), &data.place())?,
        KeysTask::Rotate { data } => rotate(data.open()?.vault.as_ref())?,
        KeysTask::AddSigner { data } => {
            let data = data.open()?;
            let added = data.vault.add_signer()?;
            let verifiers = tree::verifiers(data.vault.as_ref());
            say!("signing key {} is added: {}", added.id, verifiers.last().ok_or("there is no key")?);
            say!("reports and checkpoints are signed by it as well; publish it before you retire another");
        }
        KeysTask::RetireSigner { number, data } => {
            if !data.open()?.vault.retire_signer(*number)? {
                return Err(
                    format!("signing key {number} does not exist, or is the last one; add another first").into()
                );
            }
            say!("signing key {number} signs no more");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(vault: &dyn Vault, place: &Place) -> Result<(), Failure> {
    say!("finality class: {}", vault.finality().class().letter());
    say!("root cell:      {}", vault.cell());
    for (file, _) in place.keys.cell.files(&place.dir) {
        say!("  in            {}", file.display());
    }
    say!("generation:     {}", vault.generation());
    say!("last rotation:  {}", vault.last_rotation()?.to_rfc3339_opts(SecondsFormat::Secs, true));
    for (signer, verifier) in vault.signers().iter().zip(tree::verifiers(vault)) {
        say!("signing key {}:  {verifier}{}", signer.id, if signer.retired { "  (retired)" } else { "" });
    }
    Ok(())
}

fn rotate(vault: &dyn Vault) -> Result<(), Failure> {
    let began = Instant::now();
    let Rotated { generation_before, generation_after } = vault.rotate()?;
    say!("rotated generation {generation_before} -> {generation_after} in {:.2?}", began.elapsed());
    Ok(())
}
