//! What processes have spent on the processors, in themselves and in the kernel.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What a clock tick of `/proc` is on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// This process.
pub(crate) fn of_this_process() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let spent = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(spent)?))
}

/// A process with its children, those that have ended too; in steps of 10 ms for each.
pub(crate) fn of_family(parent: u32) -> Result<Duration> {
    let mut ticks = stat(parent).context("the server has ended")?.ticks;
    for entry in std::fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        // One that has ended meanwhile is counted with its parent the next time.
        if let Some(child) = pid.and_then(|pid| stat(pid).ok())
            && child.parent == parent
        {
            ticks += child.ticks;
        }
    }
    Ok(TICK * u32::try_from(ticks)?)
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the program's name, which may hold spaces: the state, the parent, and from the twelfth on the ticks of user and
    // system, of itself and of the children that were waited for.
    let fields: Vec<&str> = text.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
    let number = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a short stat")?.parse()?) };
    let ticks = (11..15).map(number).sum::<Result<u64>>()?;
    Ok(Stat { parent: u32::try_from(number(1)?)?, ticks })
}
