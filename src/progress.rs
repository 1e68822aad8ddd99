//! How far a long command is: a bar on a terminal, else a line from time to time.

use indicatif::{ProgressBar, ProgressStyle};

use crate::out::tell;

/// A bar that counts something.
pub(crate) fn progress_bar(of: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {msg}  {per_sec}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(of)
}

/// Shows how much of all is done.
pub(crate) fn show(bar: &ProgressBar, done: u64, all: u64) {
    const EVERY: u64 = 100_000;
    let (before, is_begun) = (bar.position(), bar.length() != Some(0));
    bar.set_length(all);
    bar.set_position(done);
    if !is_begun || done < before {
        // Work that an earlier process did is not counted in the rate.
        bar.reset_eta();
        return;
    }
    // Without a terminal, a line is printed from time to time instead of a bar.
    if bar.is_hidden() && done != before && (done == all || done / EVERY != before / EVERY) {
        let of = bar.message();
        tell!("{done} of {all} {of}, {:.0}/s, {} s left", bar.per_sec(), bar.eta().as_secs());
    }
}
