//! `rollcall audit`: the tree over the log, and proofs from it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::models::{progress_bar, show};
use super::{Data, Failure, runtime};
use crate::audit::proof::Proof;
use crate::audit::tree;
use crate::audit::tree::note::{Checkpoint, Verifier};
use crate::audit::tree::verify::Verdict;
use crate::out::{self, say};

#[derive(Subcommand)]
pub(super) enum Task {
    /// Walk the whole log and name the first event that is not as it was recorded
    Verify {
        /// A copy of the signed checkpoint, kept elsewhere
        #[arg(long)]
        checkpoint_copy: Option<PathBuf>,
        #[command(flatten)]
        data: Data,
    },
    /// Print the signed checkpoint
    Checkpoint {
        #[command(flatten)]
        data: Data,
    },
    /// Print the public keys that checkpoints and reports are signed with, the newest last
    Keys {
        #[command(flatten)]
        data: Data,
    },
    /// Print the proof that the log holds an event
    Prove {
        /// Its position
        position: u64,
        /// Prove as well that the log was only added to since it held so many events
        #[arg(long, default_value_t = 0)]
        since: u64,
        #[command(flatten)]
        data: Data,
    },
    /// Check such a proof offline
    Check {
        /// The proof
        proof: PathBuf,
        /// A public key of the log, or a file that holds some
        #[arg(long, required = true)]
        key: Vec<String>,
        /// An earlier signed checkpoint that the log must still agree with
        #[arg(long)]
        earlier: Option<PathBuf>,
    },
}

pub(super) fn run(task: Task) -> Result<ExitCode, Failure> {
    match task {
        Task::Verify { checkpoint_copy, data } => verify(&data, checkpoint_copy.as_deref()),
        Task::Checkpoint { data } => {
            let data = data.open()?;
            let keeper = runtime()?.block_on(data.keeper())?;
            let signed = keeper.latest().ok_or("nothing is signed")?;
            out::print(format_args!("{}", signed.note));
            Ok(ExitCode::SUCCESS)
        }
        Task::Keys { data } => {
            let data = data.open()?;
            for (verifier, signer) in tree::verifiers(data.vault.as_ref()).iter().zip(data.vault.signers()) {
                say!("{verifier}{}", if signer.retired { "\tretired" } else { "" });
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Prove { position, since, data } => {
            let data = data.open()?;
            let proof = runtime()?.block_on(async {
                let keeper = data.keeper().await?;
                let events = data.log.read_all(position.max(1) - 1, 1).await?;
                let event = events.first().filter(|event| event.position == position);
                let event = event.ok_or_else(|| format!("the log holds {} events", data.log.head()))?;
                Ok::<_, Failure>(Proof::of(&keeper, event, since).await?)
            })?;
            say!("{}", serde_json::to_string(&proof)?);
            Ok(ExitCode::SUCCESS)
        }
        Task::Check { proof, key, earlier } => check(&proof, &key, earlier.as_deref()),
    }
}

fn verify(data: &Data, copy: Option<&Path>) -> Result<ExitCode, Failure> {
    let data = data.open()?;
    let bar = progress_bar("events");
    let progress = |done, all| show(&bar, done, all);
    let tree = data.tree();
    let walk = tree::verify::verify(&tree, copy, &data.log, data.vault.as_ref(), &progress);
    let verdict = runtime()?.block_on(walk)?;
    bar.finish_and_clear();
    match verdict {
        Verdict::Whole { events, attached, checkpoints, root } => {
            say!("whole: {events} events and {attached} attached values are as they were recorded");
            say!("{checkpoints} signed checkpoints agree; root {}", hex::encode(root));
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Broken { position, until, reason } if position == until => {
            Err(format!("the log is broken at position {position}: {reason}").into())
        }
        Verdict::Broken { position, until, reason } => {
            Err(format!("the log is broken between position {position} and {until}: {reason}").into())
        }
    }
}

fn check(proof: &Path, keys: &[String], earlier: Option<&Path>) -> Result<ExitCode, Failure> {
    let trusted = trusted(keys)?;
    let proof: Proof = serde_json::from_slice(&std::fs::read(proof)?)?;
    let earlier = match earlier {
        Some(path) => Some(Checkpoint::read(&std::fs::read_to_string(path)?, &trusted)?),
        None => None,
    };
    let checkpoint = proof.check(&trusted, earlier.as_ref())?;
    say!("event {} is in the log {} of {} events", proof.position, checkpoint.origin, checkpoint.size);
    Ok(ExitCode::SUCCESS)
}

/// The keys that are given, each as itself or as a file with one in each line.
pub(super) fn trusted(keys: &[String]) -> Result<Vec<Verifier>, Failure> {
    let mut trusted = Vec::new();
    for key in keys {
        if let Ok(verifier) = key.parse() {
            trusted.push(verifier);
            continue;
        }
        let unusable = |why: &dyn std::fmt::Display| {
            format!("{key:?} is neither a public key as `rollcall audit keys` prints it nor a file with some: {why}")
        };
        for line in std::fs::read_to_string(key).map_err(|error| unusable(&error))?.lines() {
            let word = line.split_whitespace().next().unwrap_or_default();
            if !word.is_empty() {
                trusted.push(word.parse().map_err(|error| unusable(&error))?);
            }
        }
    }
    Ok(trusted)
}
