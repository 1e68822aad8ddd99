//! Keeps other processes from reading this one's memory, which holds keys, tokens and names in the clear.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::Failure;

/// Set to `1` or `true` to debug a process: it may then dump core and be attached to.
const ALLOW: &str = "ROLLCALL_ALLOW_CORE_DUMPS";

/// Has the process leave no core dump and let nobody of its user attach to it, unless the environment allows it.
///
/// # Errors
/// The kernel refuses, and the memory could end up on a disk.
pub(super) fn no_core_dumps() -> Result<(), Failure> {
    if std::env::var(ALLOW).is_ok_and(|value| matches!(value.as_str(), "1" | "true")) {
        return Ok(());
    }
    let failed = |error| format!("core dumps cannot be switched off: {error}; set {ALLOW}=1 to run nevertheless");
    // Where the kernel hands dumps to a program, it asks for dumpability alone; where it writes a file, for the limit too.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_process_cannot_dump_core_and_cannot_allow_it_again() {
        no_core_dumps().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let Rlimit { current, maximum } = getrlimit(Resource::Core);
        assert_eq!((current, maximum), (Some(0), Some(0)));
    }
}
