//! `rollcall rebuild` and `rollcall verify`.

use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use rollcall_projections::{ALL, Projection};

use super::{Data, Failure, runtime};
use crate::engine::rebuild;

pub(super) fn rebuild(model: &str, data: &Data) -> Result<ExitCode, Failure> {
    let models: Vec<&'static dyn Projection> = match model {
        "all" => ALL.to_vec(),
        name => ALL.iter().copied().filter(|model| model.name() == name).collect(),
    };
    if models.is_empty() {
        let names: Vec<_> = ALL.iter().map(|model| model.name()).collect();
        return Err(format!("there is no read model {model:?}; there are: all, {}", names.join(", ")).into());
    }
    let data = data.open()?;
    let bar = progress_bar();
    let progress = |done, all| show(&bar, done, all);
    runtime()?.block_on(async {
        match data.shadow(&models).await? {
            Some(shadow) => {
                // What the service had not applied when it stopped: the new one takes the place of a live one that is as far.
                rebuild::catch_up(&data.log, &data.vault, &data.read, &models, &progress).await?;
                rebuild::beside(&data.log, &data.vault, &data.read, &shadow, &models, &progress).await?;
                let dropped = shadow.drop_before().await?;
                eprintln!("dropped what was there before: {}", dropped.join(", "));
            }
            None => rebuild::rebuild(&data.log, &data.vault, &data.read, &models, &progress).await?,
        }
        Ok::<_, Failure>(())
    })?;
    bar.finish_and_clear();
    println!("rebuilt {model} from {} events", data.log.head());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(data: &Data) -> Result<ExitCode, Failure> {
    let data = data.open()?;
    let runtime = runtime()?;
    // What the service had not applied when it stopped is no difference.
    runtime.block_on(data.start())?.stop();
    let scratch = data.path().join("verify");
    remove(&scratch)?;
    std::fs::create_dir_all(&scratch)?;
    let bar = progress_bar();
    let progress = |done, all| show(&bar, done, all);
    let verified =
        runtime.block_on(rebuild::verify(&data.log, &data.vault, &data.read, &scratch.join("read.db"), &progress))?;
    bar.finish_and_clear();
    remove(&scratch)?;
    let mut sound = true;
    for model in verified {
        let word = if model.equal { "equal" } else { "DIFFERENT" };
        println!("{}\t{word}\tparked {}", model.name, model.parked);
        sound &= model.equal && model.parked == 0;
    }
    if sound {
        return Ok(ExitCode::SUCCESS);
    }
    Err("a read model is not what a rebuild makes of the log; run `rollcall rebuild NAME`".into())
}

fn remove(scratch: &Path) -> Result<(), std::io::Error> {
    match std::fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} events  {per_sec}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub(super) fn show(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
    // Without a terminal there is no bar: a plain line now and then.
    if bar.is_hidden() && (done == all || done.is_multiple_of(100_000)) {
        eprintln!("{done} of {all} events, {:.0}/s, {} s left", bar.per_sec(), bar.eta().as_secs());
    }
}
