//! `rollcall rebuild` and `rollcall verify`.

use std::path::Path;
use std::process::ExitCode;

use rollcall_projections::{ALL, Projection};

use super::{Data, Failure, runtime, several_subjects};
use crate::engine::rebuild;
use crate::engine::rebuild_live::Progress;
use crate::out::say;
pub(super) use crate::progress::{progress_bar, show};

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
    let (bar, rows_bar) = (progress_bar("events"), progress_bar("rows"));
    let events = |done, all| show(&bar, done, all);
    let rows = |done, all| show(&rows_bar, done, all);
    let held = runtime()?.block_on(data.rebuild(&models, Progress { events: &events, rows: &rows }))?;
    rows_bar.finish_and_clear();
    bar.finish_and_clear();
    say!("rebuilt {model} from {} events", data.log.head());
    if let Some(held) = held {
        say!("a live read model was held for {} ms at most while another took its place", held.as_millis());
    }
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
    let bar = progress_bar("events");
    let progress = |done, all| show(&bar, done, all);
    let verified =
        runtime.block_on(rebuild::verify(&data.log, &data.vault, &data.read, &scratch.join("read.db"), &progress))?;
    bar.finish_and_clear();
    remove(&scratch)?;
    // Nothing is wrong with the read models then, and only an erasure ends it.
    let several = runtime.block_on(several_subjects::say_all(&data.read))?;
    if several > 0 {
        say!(
            "{several} userIds have several subjects; deactivating, erasing or exporting one covers all of its subjects"
        );
    }
    let mut sound = true;
    for model in verified {
        let word = if model.equal { "equal" } else { "DIFFERENT" };
        say!("{}\t{word}\tparked {}", model.name, model.parked);
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
